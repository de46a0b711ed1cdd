"""Position Interpolation seen in the heads: h before and after a short fine-tuning.

Both models read the same documents in the extended window, positions divided by the factor, and the same pairs of
tokens are compared.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from experiments.measurement.head_scores import queries_and_keys
from experiments.records.study import Study
from experiments.studies.tiny_heads import documents, inputs
from pi_model.evaluation.perplexity import truncated_perplexity
from pi_model.models.extension import extend_checkpoint
from pi_model.models.loading import load_checkpoint
from pi_model.training.config import MixturePart
from pi_model.training.loop import train
from pi_model.training.recipes import tiny
from pi_theory.scaling import LinearPI


def run(config: dict[str, Any]) -> dict[str, Any]:
    """`compare` of config["model"], extended, and the same after a short fine-tuning."""
    with TemporaryDirectory() as temporary:
        before = Path(temporary) / "before"
        extension = extend_checkpoint(config["model"], LinearPI(float(config["factor"])), before)
        recipe = replace(
            tiny(config["factor"]),
            model=config["model"],
            window_tokens=extension.window_tokens,
            data=tuple(MixturePart(name=name, weight=weight) for name, weight in config["training"].items()),
            seed=config["seed"],
            steps=config["steps"],
            global_batch=config["batch"],
            micro_batch=config["batch"],
            peak_lr=config["peak_lr"],
            warmup_steps=config["warmup_steps"],
            checkpoint_every=config["steps"],
        )
        after = train(recipe, Path(temporary) / "run").model
        return compare(before, after, config)


def compare(before: Path, after: Path, config: dict[str, Any]) -> dict[str, Any]:
    """|h_j| of two checkpoints on the same documents and pairs of tokens.

    Returns:
        ``heads``: a list of {layer, head, before, after, moved}: by frequency j, fastest first, the root mean square
        of h_j over pairs, before and after, and of their difference. ``loss_nats``: of the documents, before and after.
        ``measured_on``.
    """
    checkpoints = [load_checkpoint(folder, dtype="float32") for folder in (before, after)]
    found, measured_on = documents(checkpoints[0], config)
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
    says="What fine-tuning by Position Interpolation changes in the heads' coefficients h",
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
        "tokens": 512,  # of each
        "pairs": 512,  # of query and key, of each head and each document
    },
    run=run,
    inputs=inputs,
    minutes=1.0,
)
