"""What studies of models read, by hash: a record is redone when one of these changed."""

from collections.abc import Iterable

from experiments.records.record import digest
from pi_model.data.corpora import CORPORA
from pi_model.files import sha256_file
from pi_model.models.sources import EMBEDDED, local_folder


def smollm2_checkpoint() -> dict[str, str]:
    """The archive that SmolLM2-135M comes from, for studies that read no documents."""
    return {"checkpoint": EMBEDDED["smollm2-135m"][0].sha256}


def smollm2_and_corpora(corpora: Iterable[str] = tuple(CORPORA)) -> dict[str, str]:
    """The archives that SmolLM2-135M and the documents of these corpora come from."""
    package = EMBEDDED["smollm2-135m"][0]
    return {package.requirement: package.sha256} | _archives(corpora)


def tiny_llama_heads() -> dict[str, str]:
    """The weights of the tiny LLaMA, and the archives of books and code: what the studies of its heads read."""
    weights = {"checkpoint": sha256_file(local_folder("tiny-llama") / "model.safetensors")}
    return weights | _archives(("books", "code"))


def tiny_llama_and_corpora() -> dict[str, str]:
    """Every file of the tiny LLaMA, and the archives of all corpora: what the studies of its training read."""
    folder = local_folder("tiny-llama")
    files = [sha256_file(folder / name) for name in ("config.json", "model.safetensors", "tokenizer.json")]
    return {"checkpoint": digest(files)} | _archives(CORPORA)


def _archives(corpora: Iterable[str]) -> dict[str, str]:
    return {package.requirement: package.sha256 for corpus in corpora for package in CORPORA[corpus].packages}
