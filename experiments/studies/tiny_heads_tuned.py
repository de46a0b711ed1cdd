"""Position Interpolation seen in the heads: their coefficients h before and after a short fine-tuning.

Both models read the same documents in the extended window, with positions divided by the factor, and the same pairs of
tokens are compared.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from experiments.measurement.extended_model import extended_model
from experiments.measurement.heads.unextended_model import held_out_documents
from experiments.measurement.pinned_inputs import tiny_llama_heads
from experiments.records.study import Study
from pi_model.evaluation.perplexity import truncated_perplexity
from pi_model.examine.heads import queries_and_keys
from pi_model.models.loading import load_checkpoint
from pi_model.training.config import MixturePart
from pi_model.training.loop import train
from pi_model.training.recipes import tiny


def run(config: dict[str, Any]) -> dict[str, Any]:
    """`compare` of config["model"] extended by PI with what a short fine-tuning makes of it."""
    with extended_model(config["model"], "linear", config["factor"]) as before, TemporaryDirectory() as temporary:
        recipe = replace(
            tiny(config["factor"]),
            model=config["model"],
            window_tokens=load_checkpoint(before).extension.window_tokens,
            data=tuple(MixturePart(name=name, weight=weight) for name, weight in config["training"].items()),
            seed=config["seed"],
            steps=config["steps"],
            device="cpu",
            global_batch=config["batch"],
            micro_batch=config["batch"],
            peak_lr=config["peak_lr"],
            warmup_steps=config["warmup_steps"],
            checkpoint_every=config["steps"],
        )
        after = train(recipe, Path(temporary) / "run").model
        return compare(before, after, config)


def compare(before: Path, after: Path, config: dict[str, Any]) -> dict[str, Any]:
    """The sizes of h_j in two checkpoints, on the same documents and pairs of tokens.

    Returns:
        ``heads``: a list of {layer, head, before, after, moved}; each of the last three holds, by frequency j, fastest
        first, a root mean square over pairs: of h_j before, of h_j after, and of their difference. ``loss_nats``: the
        loss on the documents, before and after. ``measured_on``: hashes of what was read.
    """
    checkpoints = [load_checkpoint(folder, dtype="float32") for folder in (before, after)]
    found, measured_on = held_out_documents(checkpoints[0], config)
    rng = np.random.default_rng(config["seed"])
    squares: list[np.ndarray] = []
    for ids in found:
        query = rng.integers(0, len(ids), config["pairs"])
        key = np.floor(rng.random(config["pairs"]) * (query + 1)).astype(int)
        h = []
        for checkpoint in checkpoints:
            q_NHTJ, k_NHTJ = queries_and_keys(checkpoint.model, ids)
            h.append(q_NHTJ[:, :, query].astype(complex) * k_NHTJ[:, :, key].conj())
        squares.append(np.stack([np.abs(x) ** 2 for x in (h[0], h[1], h[1] - h[0])]).mean(axis=3))
    size = np.sqrt(np.mean(squares, axis=0))  # (before, after, moved), layer, head, frequency
    return {
        "heads": [
            {"layer": layer, "head": head}
            | {name: size[n, layer, head].tolist() for n, name in enumerate(("before", "after", "moved"))}
            for layer in range(size.shape[1])
            for head in range(size.shape[2])
        ],
        "loss_nats": [
            truncated_perplexity(checkpoint.model, found, windows=[config["tokens"]], bos_id=None)[0].loss_nats
            for checkpoint in checkpoints
        ],
        "measured_on": measured_on,
    }


STUDY = Study(
    name="tiny_heads_tuned",
    says="Fine-tuning after Position Interpolation changes the heads' coefficients h; this shows which "
    "ones and by how much",
    config={
        "model": "tiny-llama",
        "factor": 2,
        "training": {"books": 0.5, "code": 0.5},
        "steps": 40,
        "batch": 4,  # windows a step
        "peak_lr": 5e-4,
        "warmup_steps": 5,
        "corpora": {"books": 2, "code": 2},  # held-out documents of each
        "split": "test",
        "seed": 0,
        "tokens": 512,  # of each document
        "pairs": 512,  # of query and key, of each head and each document
    },
    run=run,
    inputs=tiny_llama_heads,
    window=256,
    lengths=("tokens",),
    live=False,
    minutes=1.0,
    profiles={"toy": {"steps": 2, "corpora": {"books": 1, "code": 1}, "pairs": 16}},
)
