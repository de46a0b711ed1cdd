"""Fine-tuning runs as the records hold them: groups of seeds, each a curve of evaluations.

Windows and contexts are in tokens, losses in nats, perplexities over seeds are exp of the mean loss.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.record import Record


@dataclass(frozen=True)
class Value:
    """Mean and sample standard deviation of a perplexity over seeds; the latter None for one seed."""

    perplexity: float
    spread: float | None

    def __str__(self) -> str:
        if self.perplexity >= 1e4:
            return f"{self.perplexity:.0e}"
        text = f"{self.perplexity:.4g}"
        return text if self.spread is None else f"{text} ± {self.spread:.1g}"


@dataclass(frozen=True)
class Group:
    """The runs of one method and factor, one a seed.

    Attributes:
        context_tokens: L', which direct fine-tuning reaches without scaling positions.
        curves: for each seed, its evaluations by rising step.
    """

    method: str
    factor: float
    context_tokens: int
    peak_lr: float
    curves: tuple[tuple[dict[str, Any], ...], ...]

    @property
    def name(self) -> str:
        return f"{'PI' if self.method == 'linear' else 'direct'} ×{self.factor:g}"

    @property
    def steps(self) -> list[int]:
        return sorted(set.intersection(*({entry["step"] for entry in curve} for curve in self.curves)))

    def at(self, step: int) -> list[dict[str, Any]]:
        """The evaluations after a step, one a seed; none where a run of theirs was not evaluated then."""
        return [entry for curve in self.curves for entry in curve if step in self.steps and entry["step"] == step]

    def last(self) -> list[dict[str, Any]]:
        return self.at(self.steps[-1])


def groups(record: Record) -> list[Group]:
    """PI and direct runs by rising factor, direct first."""
    window, keys = record["metrics"]["model"]["window_tokens"], set()
    runs: dict[tuple[float, str], list[dict[str, Any]]] = {}
    for run in record["metrics"]["runs"]:
        runs.setdefault((run["factor"], run["method"]), []).append(run)
        keys.add((run["factor"], run["method"]))
    return [
        Group(
            method=method,
            factor=factor,
            context_tokens=round(factor * window),
            peak_lr=runs[factor, method][0]["peak_lr"],
            curves=tuple(tuple(sorted(run["curve"], key=lambda entry: entry["step"])) for run in runs[factor, method]),
        )
        for factor, method in sorted(keys, key=lambda key: (key[1] == "linear", key[0]))
    ]


def value(entries: Sequence[dict[str, Any]], corpus: str, window: int) -> Value | None:
    """Perplexity over seeds on a corpus at a window, or None where no seed was measured there."""
    losses = [
        measured["loss_nats"]
        for entry in entries
        if (measured := entry["perplexity"].get(corpus, {}).get(str(window))) is not None
    ]
    if not losses:
        return None
    perplexities = [math.exp(loss) for loss in losses]
    spread = statistics.stdev(perplexities) if len(perplexities) > 1 else None
    return Value(math.exp(statistics.fmean(losses)), spread)


def windows(entries: Sequence[dict[str, Any]], corpus: str) -> list[int]:
    return sorted({int(window) for entry in entries for window in entry["perplexity"].get(corpus, {})})


def scale(record: Record) -> str:
    """At what scale a record's runs are: model, tokens, seeds, hardware."""
    model, runs = record["metrics"]["model"], record["metrics"].get("runs", [])
    parts = [f"{model['name']}, {model['parameters'] / 1e6:.1f}M parameters, window {model['window_tokens']}"]
    if runs:
        steps = max(entry["step"] for run in runs for entry in run["curve"])
        seeds = len({run["seed"] for run in runs})
        per_step = record["metrics"]["steps_tokens"]
        parts.append(f"{steps} steps of {per_step} tokens, {seeds} seed{'s' if seeds > 1 else ''}")
    return "; ".join([*parts, record["device"]])
