"""Perplexity of SmolLM2-135M by context without fine-tuning: as trained, and extended x2 by PI, NTK-aware and YaRN.

Each document is cut to each window, and all windows are measured in one pass. At 135M parameters and with so few
documents this shows directions and sizes, not third digits; the standard error over documents says how far to trust it.
"""

import shutil
from typing import Any

from experiments.measurement.extended_model import extended_model
from experiments.measurement.kept import study_folder
from experiments.measurement.pinned_inputs import smollm2_and_corpora
from experiments.measurement.training.fine_tuning import row
from experiments.records.study import Study
from pi_model.data.documents import Selection, Source, load_documents, tokenizer_sha256
from pi_model.evaluation.perplexity import truncated_perplexity
from pi_model.files import sha256_file
from pi_model.models.loading import load_checkpoint
from pi_model.models.sources import local_folder


def run(config: dict[str, Any], *, progress: bool = True) -> dict[str, Any]:
    """Perplexity by method, corpus and window; an interrupted run goes on with the next document.

    Returns:
        ``perplexity[method][corpus]["whole" or "last"]``, over all tokens of each cut or over its last ones: a list by
        window of {window} and a `row`; ``trained_window_tokens``;
        ``measured_on``, the documents and hashes of what was read; and ``resumed``, whether part of it was kept from an
        earlier start, which the wall time then leaves out.
    """
    folder = study_folder("smollm2_perplexity", config)
    longest = max(config["windows"])
    out: dict[str, Any] = {"perplexity": {}, "measured_on": {}, "resumed": folder.exists()}
    for method in config["methods"]:
        with extended_model(config["model"], method, config["factor"]) as model:
            checkpoint = load_checkpoint(model, dtype=config["dtype"], device=config.get("device", "cpu"))
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
                        progress_folder=folder / f"{method}-{corpus}",
                        progress=progress,
                    )
                    out["perplexity"][method].setdefault(corpus, {})[name] = [
                        {"window": result.window, **row(result)} for result in results
                    ]
            out["measured_on"]["tokenizer"] = tokenizer_sha256(checkpoint.tokenizer)
    out["measured_on"]["checkpoint"] = sha256_file(local_folder(config["model"]) / "model.safetensors")
    shutil.rmtree(folder, ignore_errors=True)
    return out


def conclusion(metrics: dict[str, Any]) -> str:
    """The perplexity of each method over whole cuts at the longest window, on the first corpus."""
    said = {method: next(iter(found.items())) for method, found in metrics["perplexity"].items()}
    corpus, first = next(iter(said.values()))
    values = ", ".join(f"{method} {found['whole'][-1]['perplexity']:.1f}" for method, (_, found) in said.items())
    return f"perplexity on {corpus} at {first['whole'][-1]['window']} tokens: {values}"


STUDY = Study(
    name="smollm2_perplexity",
    says="The perplexity of SmolLM2-135M by context is measured as trained and extended x2 by PI, "
    "NTK-aware and YaRN, without fine-tuning",
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
    inputs=smollm2_and_corpora,
    window=8192,
    lengths=("windows", "last_tokens"),
    live=False,
    conclusion=conclusion,
    minutes=40,
    profiles={
        "gpu": {"device": "cuda", "corpora": {"books": 20, "code": 20}},
        "toy": {"windows": [128, 256], "last_tokens": 64},
    },
)
