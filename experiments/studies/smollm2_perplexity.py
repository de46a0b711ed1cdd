"""Perplexity of SmolLM2-135M by context, without fine-tuning: as trained, and extended x2 by PI, NTK-aware and YaRN.

The truncated sweep: each document cut to each window, all windows from one pass. At 135M parameters and this many
documents it shows directions and sizes, not third digits; the standard error over documents says how far to trust it.
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from experiments.records.record import digest
from experiments.records.study import Study
from pi_model.data.corpora import CORPORA
from pi_model.data.documents import Selection, Source, load_documents, tokenizer_sha256
from pi_model.evaluation.perplexity import WindowResult, truncated_perplexity
from pi_model.files import cache_dir, sha256_file
from pi_model.models.extension import extend_checkpoint
from pi_model.models.loading import EMBEDDED, load_checkpoint, local_folder
from pi_theory.scaling import scaling_by_name


def run(config: dict[str, Any], *, progress: bool = True) -> dict[str, Any]:
    """Perplexity by method, corpus and window; an interrupted run goes on with the next document.

    Returns:
        ``perplexity[method][corpus]["whole" or "last"]``, over all tokens of each cut or its last ones: a list over
        windows of {window, loss_nats, perplexity, tokens, documents, loss_nats_stderr}; ``trained_window_tokens``;
        ``measured_on``, hashes; and
        ``resumed``, whether part of it was kept from an earlier start, which the wall time then leaves out.
    """
    progress_folder = cache_dir() / "runs" / f"smollm2_perplexity-{digest(config)[:16]}"
    longest = max(config["windows"])
    out: dict[str, Any] = {"perplexity": {}, "measured_on": {}, "resumed": progress_folder.exists()}
    for method in config["methods"]:
        with TemporaryDirectory() as temporary:
            extended = Path(temporary) / method
            if method != "none":
                extend_checkpoint(config["model"], scaling_by_name(method, config["factor"]), extended)
            source, device = config["model"] if method == "none" else extended, config.get("device", "cpu")
            checkpoint = load_checkpoint(source, dtype=config["dtype"], device=device)
            out["trained_window_tokens"] = checkpoint.extension.window_tokens
            out["perplexity"][method] = {}
            for corpus, samples in config["corpora"].items():
                selection = Selection(longest, longest, samples, config["seed"])
                documents = load_documents(Source(corpus, split=config["split"]), checkpoint.tokenizer, selection)
                out["measured_on"][corpus] = {"documents": list(documents.names), "sha256": documents.sha256}
                for name, last_tokens in (("whole", None), ("last", config["last_tokens"])):
                    results = truncated_perplexity(
                        checkpoint.model,
                        documents.tokens,
                        windows=config["windows"],
                        last_tokens=last_tokens,
                        bos_id=checkpoint.bos_id,
                        averaging=config["averaging"],
                        names=documents.names,
                        progress_folder=progress_folder / f"{method}-{corpus}",
                        progress=progress,
                    )
                    out["perplexity"][method].setdefault(corpus, {})[name] = [_row(result) for result in results]
            out["measured_on"]["tokenizer"] = tokenizer_sha256(checkpoint.tokenizer)
    out["measured_on"]["checkpoint"] = sha256_file(local_folder(config["model"]) / "model.safetensors")
    shutil.rmtree(progress_folder, ignore_errors=True)
    return out


def _row(result: WindowResult) -> dict[str, Any]:
    return {
        "window": result.window,
        "loss_nats": result.loss_nats,
        "loss_nats_stderr": result.loss_nats_stderr,
        "perplexity": result.perplexity,
        "tokens": result.tokens,
        "documents": len(result.document_loss_nats),
    }


def inputs() -> dict[str, str]:
    """The pinned archives that checkpoint and documents come from."""
    archives = [EMBEDDED["smollm2-135m"][0], *(package for corpus in CORPORA.values() for package in corpus.packages)]
    return {package.requirement: package.sha256 for package in archives}


STUDY = Study(
    name="smollm2_perplexity",
    says="Perplexity of SmolLM2-135M by context, as trained and extended x2 by PI, NTK-aware and YaRN, not fine-tuned",
    config={
        "model": "smollm2-135m",
        "factor": 2.0,
        "methods": ["none", "linear", "ntk", "yarn"],
        "windows": [1024, 2048, 4096, 8192, 10240, 12288, 14336, 16384],
        "corpora": {"books": 1, "code": 1},  # documents drawn from each
        "split": "test",
        "seed": 0,
        "averaging": "token",
        "last_tokens": 256,  # the paper's stride: what one window of its sliding evaluation scores
        "dtype": "float32",
    },
    run=run,
    inputs=inputs,
    live=False,
    minutes=40,
    profiles={"gpu": {"device": "cuda", "corpora": {"books": 20, "code": 20}}},
)
