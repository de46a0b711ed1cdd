"""Perplexity of SmolLM2-135M by context, without fine-tuning: as trained, and extended x2 by PI, NTK-aware and YaRN.

The truncated sweep: each document cut to each window, all windows from one pass. At 135M parameters and this many
documents it shows directions and sizes, not third digits; the standard error over documents says how far to trust it.
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pi_model.data import Selection, Source, load_documents, tokenizer_sha256
from pi_model.evaluation.perplexity import truncated_perplexity
from pi_model.extension import extend_checkpoint
from pi_model.files import sha256_file
from pi_model.model import load_checkpoint, local_folder
from pi_theory.scaling import scaling_by_name

CONFIG: dict[str, Any] = {
    "model": "smollm2-135m",
    "factor": 2.0,
    "methods": ["none", "linear", "ntk", "yarn"],
    "windows": [1024, 2048, 4096, 8192, 10240, 12288, 14336, 16384],
    "corpora": {"books": 1, "code": 1},
    "split": "test",
    "seed": 0,
    "averaging": "token",
    "dtype": "float32",
}


def metrics(config: dict[str, Any], *, progress_folder: Path, progress: bool = True) -> dict[str, Any]:
    """Perplexity by method, corpus and window; resumes by document when interrupted.

    Returns:
        ``perplexity[method][corpus]``, a list over windows of {window, loss_nats, perplexity, tokens, documents,
        loss_nats_stderr}, and ``inputs``, hashes of what it was measured on.
    """
    longest = max(config["windows"])
    out: dict[str, Any] = {"perplexity": {}, "inputs": {}}
    for method in config["methods"]:
        with TemporaryDirectory() as name:
            folder: str | Path = config["model"]
            if method != "none":
                folder = Path(name) / method
                extend_checkpoint(config["model"], scaling_by_name(method, config["factor"]), folder)
            checkpoint = load_checkpoint(folder, dtype=config["dtype"])
            out["perplexity"][method] = {}
            for corpus, samples in config["corpora"].items():
                selection = Selection(longest, longest, samples, config["seed"])
                documents = load_documents(Source(corpus, split=config["split"]), checkpoint.tokenizer, selection)
                out["inputs"][corpus] = {"documents": list(documents.names), "sha256": documents.sha256}
                results = truncated_perplexity(
                    checkpoint.model,
                    documents.tokens,
                    windows=config["windows"],
                    bos_id=checkpoint.bos_id,
                    averaging=config["averaging"],
                    names=documents.names,
                    progress_folder=progress_folder / f"{method}-{corpus}",
                    progress=progress,
                )
                out["perplexity"][method][corpus] = [
                    {
                        "window": result.window,
                        "loss_nats": result.loss_nats,
                        "loss_nats_stderr": result.loss_nats_stderr,
                        "perplexity": result.perplexity,
                        "tokens": result.tokens,
                        "documents": len(result.document_loss_nats),
                    }
                    for result in results
                ]
                print(method, corpus, *(f"{r.window}: {r.perplexity:.4g}" for r in results), flush=True)
            out["inputs"]["tokenizer"] = tokenizer_sha256(checkpoint.tokenizer)
    out["inputs"]["checkpoint"] = sha256_file(local_folder(config["model"]) / "model.safetensors")
    return out
