"""Every head of the tiny LLaMA, its scores on real queries and keys against every bound."""

from typing import Any

import numpy as np

from experiments.measurement.head_scores import Bounds, measure_heads
from experiments.records.study import Study
from pi_model.data.corpora import CORPORA
from pi_model.data.documents import Selection, Source, load_documents, tokenizer_sha256
from pi_model.errors import UsageError
from pi_model.files import sha256_file
from pi_model.models.loading import Checkpoint, load_checkpoint, local_folder
from pi_theory.scaling import NoScaling


def run(config: dict[str, Any]) -> dict[str, Any]:
    """`measure_heads` of config["model"], any unextended LLaMA, with ``model`` and ``measured_on``."""
    checkpoint, bounds = unextended(config)
    found, measured_on = documents(checkpoint, config)
    measured = measure_heads(
        checkpoint.model, found, bounds, pairs=config["pairs"], programs=config["programs"], seed=config["seed"]
    )
    return measured | {"model": described(checkpoint, config), "measured_on": measured_on}


def unextended(config: dict[str, Any]) -> tuple[Checkpoint, Bounds]:
    """The checkpoint, and the bounds at its head dimension, base and window."""
    checkpoint = load_checkpoint(config["model"], dtype="float32")
    extension = checkpoint.extension
    if not isinstance(extension.scaling, NoScaling):
        raise UsageError(f"model: {config['model']} is extended; give the checkpoint that it was extended from")
    return checkpoint, Bounds(
        head_dim=extension.head_dim,
        base=extension.base,
        window=extension.window_tokens,
        factor=config["factor"],
        beyond=config["beyond"],
    )


def described(checkpoint: Checkpoint, config: dict[str, Any]) -> dict[str, Any]:
    extension = checkpoint.extension
    return {
        "name": str(config["model"]),
        "parameters": checkpoint.model.num_parameters(),
        "window_tokens": extension.window_tokens,
        "head_dim": extension.head_dim,
        "base": extension.base,
        "layers": checkpoint.model.config.num_hidden_layers,
        "heads": checkpoint.model.config.num_attention_heads,
    }


def documents(checkpoint: Checkpoint, config: dict[str, Any]) -> tuple[list[np.ndarray], dict[str, Any]]:
    """The first config["tokens"] tokens, BOS included, of held-out documents of each corpus; and what they are."""
    bos = np.array([] if checkpoint.bos_id is None else [checkpoint.bos_id], dtype=np.uint32)
    tokens = config["tokens"] - len(bos)
    cut: list[np.ndarray] = []
    read: dict[str, Any] = {
        "checkpoint": sha256_file(checkpoint.folder / "model.safetensors"),
        "tokenizer": tokenizer_sha256(checkpoint.tokenizer),
    }
    for corpus, samples in config["corpora"].items():
        selection = Selection(tokens, tokens, samples, config["seed"])
        found = load_documents(Source(corpus, split=config["split"]), checkpoint.tokenizer, selection)
        cut += [np.concatenate([bos, ids]) for ids in found.tokens]
        read[corpus] = {"documents": list(found.names), "sha256": found.sha256}
    return cut, read


def inputs() -> dict[str, str]:
    """The tiny LLaMA, and the pinned archives that documents come from."""
    archives = [package for corpus in ("books", "code") for package in CORPORA[corpus].packages]
    weights = {"checkpoint": sha256_file(local_folder("tiny-llama") / "model.safetensors")}
    return weights | {package.requirement: package.sha256 for package in archives}


STUDY = Study(
    name="tiny_heads",
    says="Every head of the tiny LLaMA against every bound of its scores",
    config={
        "model": "tiny-llama",
        "corpora": {"books": 6, "code": 6},  # documents drawn from each
        "split": "test",
        "seed": 0,
        "tokens": 256,  # of each document
        "pairs": 64,  # of query and key, of each draw, each head and each document
        "factor": 8,  # interpolated positions are eighths
        "beyond": [2, 4, 8],  # extrapolation is followed to these multiples of the window
        "programs": 24,
    },
    run=run,
    inputs=inputs,
    minutes=0.3,
)
