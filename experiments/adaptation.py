"""The claim of Section 3 that PI adapts at once where direct fine-tuning lags, as a rule over fine-tuning curves.

The paper's Table 3 has PI within 5% of its final perplexity at the first fifth of its steps, and Table 4 has PI
retrieving from the whole window by then, direct fine-tuning not even at the end.
"""

from collections.abc import Sequence
from typing import Any

WITHIN = 0.05  # of the lowest perplexity at L' that either method reaches in the same number of steps
AT_ONCE = 0.2  # of the steps


def adaptation(runs: Sequence[dict[str, Any]], window_tokens: int, *, corpus: str) -> list[dict[str, Any]]:
    """Where the claim holds, by factor and learning rate.

    Args:
        runs: as `experiments.tuning.measured_runs` gives them; those of PI (``linear``) and direct (``none``) with the
            same factor, learning rate and seed are compared.
        window_tokens: L.
        corpus: whose perplexity is compared.

    Returns:
        One a factor and peak learning rate: {factor, peak_lr, seeds, ``linear`` and ``none``: {``steps``, by seed the
        first step measured at which the perplexity at L' is within 5% of the lowest of both runs, None if never, and
        ``k_max``, by seed a list over the steps measured}, ``perplexity``, ``retrieval``: a verdict}. ``perplexity``
        holds for a seed where PI gets there in the first fifth of the steps and direct fine-tuning does not;
        ``retrieval`` where PI's k_max is L' from then on, and direct's is shorter at the end, and is not tested where
        PI's never is L'.
    """
    cases: dict[tuple[int, float], dict[int, dict[str, list]]] = {}
    for run in runs:
        if run["method"] in ("linear", "none"):
            case = cases.setdefault((run["factor"], run["peak_lr"]), {})
            case.setdefault(run["seed"], {})[run["method"]] = run["curve"]
    found = []
    for (factor, peak_lr), by_seed in sorted(cases.items()):
        pairs = {seed: pair for seed, pair in sorted(by_seed.items()) if len(pair) == 2}
        if not pairs:
            continue
        context = factor * window_tokens
        steps = [_steps_needed(pair, corpus, str(context)) for pair in pairs.values()]
        soon = [AT_ONCE * pair["linear"][-1]["step"] for pair in pairs.values()]
        by_loss = [
            _within(needed["linear"], limit) and not _within(needed["none"], limit)
            for needed, limit in zip(steps, soon, strict=True)
        ]
        able = [any(entry["k_max"] == context for entry in pair["linear"]) for pair in pairs.values()]
        by_passkey = [
            all(entry["k_max"] == context for entry in pair["linear"] if entry["step"] >= limit)
            and pair["none"][-1]["k_max"] < context
            for pair, limit in zip(pairs.values(), soon, strict=True)
        ]
        row: dict[str, Any] = {"factor": factor, "peak_lr": peak_lr, "seeds": list(pairs)}
        for method in ("linear", "none"):
            row[method] = {
                "steps": [needed[method] for needed in steps],
                "k_max": [[entry["k_max"] for entry in pair[method]] for pair in pairs.values()],
            }
        row["perplexity"] = verdict(by_loss)
        row["retrieval"] = verdict(by_passkey) if any(able) else "not tested"
        found.append(row)
    return found


def verdict(outcomes: Sequence[bool]) -> str:
    """Of a claim tried several times: reproduced every time, refuted every time, or partly."""
    if not outcomes:
        return "not tested"
    return "reproduced" if all(outcomes) else "partly" if any(outcomes) else "refuted"


def _steps_needed(pair: dict[str, list], corpus: str, window: str) -> dict[str, int | None]:
    curves = {
        method: [(entry["step"], entry["perplexity"][corpus][window]["perplexity"]) for entry in curve]
        for method, curve in pair.items()
    }
    target = (1 + WITHIN) * min(perplexity for curve in curves.values() for _, perplexity in curve)
    return {
        method: next((step for step, perplexity in curve if perplexity <= target), None)
        for method, curve in curves.items()
    }


def _within(step: int | None, limit: float) -> bool:
    return step is not None and step <= limit
