"""Every head of the tiny LLaMA against the bounds, and which of them its loss beyond the window comes from."""

from typing import Any

import numpy as np

from experiments.head_positions import Jump, loss_jump
from experiments.heads import Bounds, measure_heads
from experiments.study import Study
from pi_model.data import Selection, Source, load_documents, tokenizer_sha256
from pi_model.files import sha256_file
from pi_model.model import Checkpoint, load_checkpoint, local_folder
from pi_theory.scaling import NoScaling


def run(config: dict[str, Any]) -> dict[str, Any]:
    """Any unextended LLaMA as config["model"]; see `measure_heads` and `loss_jump` for what comes back."""
    checkpoint = load_checkpoint(config["model"], dtype="float32")
    extension = checkpoint.extension
    if not isinstance(extension.scaling, NoScaling):
        raise ValueError(f"model: {config['model']} is already extended; give the checkpoint it was extended from")
    bounds = Bounds(
        head_dim=extension.head_dim,
        base=extension.base,
        window=extension.window_tokens,
        factor=config["factor"],
        beyond=config["beyond"],
    )
    short, names = documents(checkpoint, config, config["tokens"])
    metrics = measure_heads(
        checkpoint.model, short, bounds, pairs=config["pairs"], programs=config["programs"], seed=config["seed"]
    )
    metrics["model"] = {
        "name": str(config["model"]),
        "parameters": checkpoint.model.num_parameters(),
        "window_tokens": extension.window_tokens,
        "head_dim": extension.head_dim,
        "base": extension.base,
    }
    metrics["measured_on"] = names
    asked = config["jump"]
    long, metrics["jump_measured_on"] = documents(checkpoint, config | asked, asked["tokens"])
    jump = Jump(
        checkpoint.model,
        long,
        theta_J=bounds.theta,
        window=extension.window_tokens,
        last_tokens=asked["last_tokens"],
        factor=asked["tokens"] / extension.window_tokens,
    )
    excess = np.array([row["uniform"][f"excess_{bounds.beyond[0]}"]["median"] for row in metrics["heads"]])
    metrics["jump"] = loss_jump(
        jump,
        {"excess": excess},
        counts=asked["counts"],
        draws=asked["draws"],
        alone=asked["alone"],
        bos=checkpoint.bos_id is not None,
        seed=config["seed"],
    )
    return metrics


def documents(
    checkpoint: Checkpoint, config: dict[str, Any], tokens: int
) -> tuple[list[np.ndarray], dict[str, dict[str, Any]]]:
    """The first `tokens` tokens, BOS included, of held-out documents of each corpus; and their names and hash."""
    bos = [] if checkpoint.bos_id is None else [checkpoint.bos_id]
    cut: list[np.ndarray] = []
    read: dict[str, dict[str, Any]] = {
        "checkpoint": {"sha256": sha256_file(local_folder(config["model"]) / "model.safetensors")},
        "tokenizer": {"sha256": tokenizer_sha256(checkpoint.tokenizer)},
    }
    for corpus, samples in config["corpora"].items():
        selection = Selection(tokens - len(bos), tokens - len(bos), samples, config["seed"])
        found = load_documents(Source(corpus, split=config["split"]), checkpoint.tokenizer, selection)
        cut += [np.concatenate([np.array(bos, dtype=np.uint32), ids]) for ids in found.tokens]
        read[corpus] = {"documents": list(found.names), "sha256": found.sha256}
    return cut, read


STUDY = Study(
    name="tiny_heads",
    says="Every head of the tiny LLaMA against the bounds, and the heads that its loss beyond the window comes from",
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
        "jump": {
            "tokens": 512,
            "last_tokens": 128,
            "counts": [1, 2, 3, 4, 6, 8, 12, 16],
            "draws": 4,
            "alone": True,
        },
    },
    run=run,
    minutes=1.0,
)
