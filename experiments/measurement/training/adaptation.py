"""The paper's claim that PI adapts at once where direct fine-tuning lags (Section 3), as a rule over curves.

The paper's Table 3 has PI within 5% of its final perplexity at the first fifth of its steps, and Table 4 has PI
retrieving from the whole window by then, direct fine-tuning not even at the end.
"""

from collections.abc import Sequence
from typing import Any

WITHIN = 0.05  # how far above the lowest perplexity at L' that either method reaches in the same number of steps
AT_ONCE = 0.2  # the share of the steps that counts as at once


def adaptation(
    runs: Sequence[dict[str, Any]], base: dict[str, Any], window_tokens: int, *, corpus: str
) -> list[dict[str, Any]]:
    """Where the claim holds, by factor and learning rate.

    Perplexity: PI is *at once* within 5% of the lowest perplexity at L' of both runs if it is in the first fifth of the
    steps, and direct fine-tuning *lags* if it gets there later than PI or never. Retrieval: PI's k_max is L' *at once*
    if it is from the first fifth of the steps on, and direct fine-tuning *lags* if its k_max is shorter than PI's at
    the end; not tested on a model that does not retrieve from all of its own window.

    Args:
        runs: as `experiments.measurement.training.fine_tuning.measured_runs` gives them; those of PI (``linear``) and
            of direct fine-tuning (``none``) with the same factor, learning rate and seed are compared.
        base: the measurement of the unextended model.
        window_tokens: L.
        corpus: whose perplexity is compared.

    Returns:
        A list with one entry for each factor and peak learning rate: {factor, peak_lr, seeds, linear, none, perplexity,
        retrieval}. ``linear`` and ``none`` hold ``steps``, for each seed the first step measured within 5% (None if
        there is none), and ``k_max``, for each seed a list over the steps measured. ``perplexity`` and ``retrieval``
        hold ``at_once`` and ``lags``, for each seed whether it is so, and ``verdict``.
    """
    pairs: dict[tuple[int, float], dict[int, dict[str, list]]] = {}
    for run in runs:
        of_case = pairs.setdefault((run["factor"], run["peak_lr"]), {})
        of_case.setdefault(run["seed"], {})[run["method"]] = run["curve"]
    found = []
    for (factor, peak_lr), by_seed in sorted(pairs.items()):
        compared = {seed: pair for seed, pair in sorted(by_seed.items()) if {"linear", "none"} <= pair.keys()}
        cases = [_case(pair, factor * window_tokens, corpus) for pair in compared.values()]
        row: dict[str, Any] = {"factor": factor, "peak_lr": peak_lr, "seeds": list(compared)}
        for method in ("linear", "none"):
            row[method] = {what: [case[method][what] for case in cases] for what in ("steps", "k_max")}
        for what in ("perplexity", "retrieval"):
            parts = {part: [case[what][part] for case in cases] for part in ("at_once", "lags")}
            tested = what == "perplexity" or base["k_max"] == window_tokens
            outcomes = [*parts["at_once"], *parts["lags"]]
            row[what] = {**parts, "verdict": verdict(outcomes) if tested else "not tested"}
        found.append(row)
    return found


def verdict(outcomes: Sequence[bool]) -> str:
    """A claim whose parts were tried on every seed is reproduced if all hold, refuted if none does, else partly."""
    if not outcomes:
        return "not tested"
    return "reproduced" if all(outcomes) else "partly" if any(outcomes) else "refuted"


def _case(pair: dict[str, list], context: int, corpus: str) -> dict[str, Any]:
    """Whether each part of the claim holds for one seed, and the steps and k_max that say so."""
    soon = AT_ONCE * pair["linear"][-1]["step"]
    needed = _steps_needed(pair, corpus, str(context))
    k_max = {method: [entry["k_max"] for entry in pair[method]] for method in ("linear", "none")}
    ours, theirs = needed["linear"], needed["none"]
    return {
        "linear": {"steps": ours, "k_max": k_max["linear"]},
        "none": {"steps": theirs, "k_max": k_max["none"]},
        "perplexity": {
            "at_once": ours is not None and ours <= soon,
            "lags": ours is not None and (theirs is None or theirs > ours),
        },
        "retrieval": {
            # from the last measurement that is in the first fifth
            "at_once": all(
                entry["k_max"] == context
                for entry, after in zip(pair["linear"], [*pair["linear"][1:], None], strict=True)
                if after is None or after["step"] > soon
            ),
            "lags": k_max["none"][-1] < k_max["linear"][-1],
        },
    }


def _steps_needed(pair: dict[str, list], corpus: str, window: str) -> dict[str, int | None]:
    """For each method the first step measured within 5% of the lowest perplexity of both, None if there is none."""
    curves = {
        method: [(entry["step"], entry["perplexity"][corpus][window]["perplexity"]) for entry in curve]
        for method, curve in pair.items()
        if method in ("linear", "none")
    }
    target = (1 + WITHIN) * min(perplexity for curve in curves.values() for _, perplexity in curve)
    return {
        method: next((step for step, perplexity in curve if perplexity <= target), None)
        for method, curve in curves.items()
    }
