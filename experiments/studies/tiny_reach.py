"""Where the loss of the tiny LLaMA rises in a long text, for every scaling method, beside the reach that it predicts.

A text of one and a half times the extended window is read once; the loss of each token is compared with that of the
unextended model which reads only the last half to whole window before it.
"""

import math
from typing import Any

import numpy as np

from experiments.measurement.extended_model import extended_model
from experiments.measurement.heads.unextended_model import described, held_out_documents
from experiments.measurement.pinned_inputs import tiny_llama_heads
from experiments.measurement.predictions.position_loss import by_bucket, onset, recent_losses
from experiments.measurement.predictions.rank_correlation import over_documents, spearman
from experiments.measurement.predictions.unscaled_checkpoint import unscaled_checkpoint
from experiments.records.study import Study
from pi_model.evaluation.perplexity import losses_by_token
from pi_model.models.loading import load_checkpoint
from pi_theory.reach import reach
from pi_theory.scaling import scaling_by_name


def run(config: dict[str, Any]) -> dict[str, Any]:
    """The loss by position of config["methods"] at config["factors"], on config["model"], which is not extended.

    Returns:
        ``curves``: a list of {method, factor, read_tokens, reach_tokens, excess, onset}; ``reach_tokens`` is predicted
        from the configuration at the length that is read, ``excess`` in nats by bucket of positions, mean over
        documents, and ``onset`` from where on it stays above its level inside the window, None within the
        text. ``rank_correlation``: of the onset with the
        reach, and with the extended window that the method promises, where the text shows an onset; over documents.
        ``error``: the median over these curves of |log2(onset / prediction)|, for both. ``model``, ``measured_on``.
    """
    checkpoint = unscaled_checkpoint(config["model"])
    extension = checkpoint.extension
    window, bucket = extension.window_tokens, config["bucket"]
    longest = math.floor(config["read"] * max(config["factors"]) * window)
    documents, measured_on = held_out_documents(checkpoint, {**config, "tokens": longest})
    recent_NT = np.stack(
        [recent_losses(checkpoint.model, ids, window, checkpoint.bos_id is not None) for ids in documents]
    )
    curves, excesses = [], []
    scalings: list[tuple[str, float]] = [("none", 1)] * ("none" in config["methods"])
    scalings += [(m, f) for f in config["factors"] for m in config["methods"] if m != "none"]
    for method, factor in scalings:
        tokens = longest if method == "none" else math.floor(config["read"] * factor * window)
        with extended_model(config["model"], method, factor) as folder:
            model = load_checkpoint(folder, dtype="float32").model
            losses_NT = np.stack([losses_by_token(model, ids[:tokens]) for ids in documents])
        excess_NB = by_bucket(losses_NT - recent_NT[:, : tokens - 1], bucket)
        predicted = reach(
            scaling_by_name(method, factor),
            head_dim=extension.head_dim,
            base=extension.base,
            window=window,
            context=tokens,
        ).tokens
        excesses.append(excess_NB)
        curves.append(
            {"method": method, "factor": factor, "read_tokens": tokens, "reach_tokens": predicted}
            | {"excess": excess_NB.mean(axis=0).tolist()}
        )

    def onsets(chosen: np.ndarray) -> list[int | None]:
        rise = config["rise_nats"]
        return [onset(one[chosen].mean(axis=0), bucket=bucket, window=window, rise=rise) for one in excesses]

    everything = np.arange(len(documents))
    for curve, found in zip(curves, onsets(everything), strict=True):
        curve["onset"] = found
    predictions = {
        "reach": [curve["reach_tokens"] for curve in curves],
        "extended window": [curve["factor"] * window for curve in curves],
    }

    def pairs(prediction: list[Any], chosen: np.ndarray) -> list[tuple[float, float]]:
        return [(p, o) for p, o in zip(prediction, onsets(chosen), strict=True) if p is not None and o is not None]

    def correlation(prediction: list[Any], chosen: np.ndarray) -> float | None:
        found = pairs(prediction, chosen)
        return spearman(*zip(*found, strict=True)) if found else None

    return {
        "curves": curves,
        "rank_correlation": {
            name: over_documents(
                lambda chosen, p=p: correlation(p, chosen),  # type: ignore[misc]
                len(documents),
                draws=config["bootstrap"],
                seed=config["seed"],
            )
            for name, p in predictions.items()
        },
        "error": {
            name: float(np.median([abs(math.log2(o / q)) for q, o in matched]))
            if (matched := pairs(p, everything))
            else None
            for name, p in predictions.items()
        },
        "model": described(checkpoint, config),
        "measured_on": measured_on,
    }


STUDY = Study(
    name="tiny_reach",
    says="The loss of the tiny LLaMA by position under every scaling method, beside the reach that the theory predicts",
    config={
        "model": "tiny-llama",
        "corpora": {"books": 12, "code": 12},  # documents drawn from each
        "split": "test",
        "seed": 1,  # the onset was defined on documents of seed 0
        "methods": ["none", "linear", "ntk", "dynamic", "yarn", "llama3"],
        "factors": [2, 4, 8],
        "read": 1.5,  # times the extended window
        "bucket": 64,  # positions
        "rise_nats": 0.25,  # over the level inside the window, by which the loss has risen
        "bootstrap": 1000,
    },
    run=run,
    inputs=tiny_llama_heads,
    window=256,
    lengths=("bucket",),
    live=False,
    minutes=6,
    profiles={"toy": {"corpora": {"books": 1, "code": 1}, "factors": [2], "bootstrap": 20}},
)
