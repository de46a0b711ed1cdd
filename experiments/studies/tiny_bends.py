"""How sharply the heads of the tiny LLaMA point under every scaling method, and what interpolating them costs."""

from typing import Any

import numpy as np

from experiments.measurement.heads.bends import Inside, attended_bends, loss_by_sharpest, units_of
from experiments.measurement.heads.unextended_model import described, held_out_documents
from experiments.measurement.pinned_inputs import tiny_llama_heads
from experiments.measurement.predictions.unscaled_checkpoint import unscaled_checkpoint
from experiments.records.study import Study
from pi_theory.displacement import change
from pi_theory.resolution import resolution
from pi_theory.scaling import NoScaling, scaling_by_name


def run(config: dict[str, Any]) -> dict[str, Any]:
    """Bends by head and method, and the loss inside the window with the sharpest units left unscaled.

    Returns:
        ``methods``: a list of {method, factor, bend, cap, predicted}: the medians over heads of what is left of the
        mean bend and of its cap, and what `pi_theory.resolution` says of any head. ``heads``: a list of {layer, head,
        bend, cap} of the unextended model, in logits. ``interpolated``: by corpus and factor, see `loss_by_sharpest`.
        ``model``, ``measured_on``.
    """
    checkpoint = unscaled_checkpoint(config["model"])
    model, extension = checkpoint.model, checkpoint.extension
    kind: dict[str, Any] = {"head_dim": extension.head_dim, "base": extension.base, "window": extension.window_tokens}
    scalings = {
        (method, factor): scaling_by_name(method, factor)
        for factor in config["factors"]
        for method in config["methods"]
    }
    changes = {f"{method} {factor}": change(scaling, **kind) for (method, factor), scaling in scalings.items()}
    changes["none"] = change(NoScaling(), **kind)
    documents, measured_on = held_out_documents(checkpoint, config)
    found = attended_bends(model, documents, changes, queries=config["queries"], seed=config["seed"])
    own = found["none"]
    methods = [
        {"method": method, "factor": factor}
        | {name: float(np.median(found[f"{method} {factor}"][name] / own[name])) for name in ("bend", "cap")}
        | {"predicted": vars(resolution(scaling, **kind))}
        for (method, factor), scaling in scalings.items()
    ]
    units = units_of(model, config["by"])
    bend_U = np.array([np.mean([own["bend"][head] for head in unit]) for unit in units])
    interpolated, first = [], 0
    for corpus, samples in config["corpora"].items():
        texts = documents[first : first + samples]
        first += samples
        inside = Inside(model, texts, theta_J=changes["none"].theta, window=extension.window_tokens, units=units)
        for factor in config["interpolated"]:
            measured = loss_by_sharpest(
                inside,
                bend_U,
                factor=factor,
                counts=config["counts"],
                draws=config["draws"],
                alone=config["alone"],
                seed=config["seed"],
            )
            interpolated.append({"corpus": corpus} | measured)
    return {
        "methods": methods,
        "heads": [
            {"layer": layer, "head": head} | {name: float(own[name][layer, head]) for name in ("bend", "cap")}
            for layer, head in np.ndindex(*own["bend"].shape)
        ],
        "interpolated": interpolated,
        "model": described(checkpoint, config),
        "measured_on": measured_on,
    }


STUDY = Study(
    name="tiny_bends",
    says="How sharply each head of the tiny LLaMA points, what every scaling method leaves of it, and what "
    "interpolating the sharpest heads costs",
    config={
        "model": "tiny-llama",
        "corpora": {"books": 6, "code": 6},  # documents drawn from each
        "split": "test",
        "seed": 0,
        "tokens": 256,  # of each document
        "queries": 64,  # of each document, at which bends are measured
        "methods": ["linear", "ntk", "dynamic", "yarn", "llama3"],
        "factors": [2, 4, 8],
        "by": "head",  # or "group": heads that share keys are treated together
        "interpolated": [2, 4],  # the factors at which heads are left unscaled
        "counts": [1, 2, 3, 4, 6, 9],
        "draws": 8,
        "alone": True,
    },
    run=run,
    inputs=tiny_llama_heads,
    window=256,
    lengths=("tokens",),
    live=False,
    minutes=2,
    profiles={
        "toy": {
            "corpora": {"books": 1, "code": 1},
            "queries": 8,
            "factors": [2],
            "interpolated": [4],
            "counts": [1, 3],
            "draws": 2,
        }
    },
)
