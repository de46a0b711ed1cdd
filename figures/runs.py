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
    """Direct and PI runs by rising factor, direct first; of several peak learning rates each shows its best.

    The best is that with the lowest loss at the extended window at the end, on the first corpus.
    """
    window = record["metrics"]["model"]["window_tokens"]
    corpus = next(iter(record["metrics"]["base"]["perplexity"]))
    curves: dict[tuple[str, float, float], list[tuple[dict[str, Any], ...]]] = {}
    for run in record["metrics"]["runs"]:
        curve = tuple(sorted(run["curve"], key=lambda entry: entry["step"]))
        curves.setdefault((run["method"], run["factor"], run["peak_lr"]), []).append(curve)
    best: dict[tuple[str, float], Group] = {}
    for (method, factor, peak_lr), seeds in curves.items():
        group = Group(method, factor, round(factor * window), peak_lr, tuple(seeds))
        other = best.get((method, factor))
        if other is None or _final(group, corpus) < _final(other, corpus):
            best[method, factor] = group
    return sorted(best.values(), key=lambda group: (group.method == "linear", group.factor))


def _final(group: Group, corpus: str) -> float:
    found = value(group.last(), corpus, group.context_tokens)
    return math.inf if found is None else found.perplexity


def value(entries: Sequence[dict[str, Any]], corpus: str, window: int, part: str = "perplexity") -> Value | None:
    """Perplexity over seeds on a corpus at a window, or None where no seed was measured there.

    ``part`` is "perplexity", or "last" where the last tokens of each window were scored by themselves.
    """
    losses = [
        measured["loss_nats"]
        for entry in entries
        if (measured := entry[part].get(corpus, {}).get(str(window))) is not None
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
        seeds = [len(group.curves) for group in groups(record)]
        said = (
            f"{min(seeds)} to {max(seeds)} seeds" if len(set(seeds)) > 1 else f"{seeds[0]} seed" + "s" * (seeds[0] > 1)
        )
        cut = record["config"].get("sequence_tokens")  # where training windows are shorter than L'
        shorter = f" in windows of {cut}" if cut else ""
        parts.append(f"{steps} steps of {record['metrics']['steps_tokens']} tokens{shorter}, {said}")
        rates = sorted({run["peak_lr"] for run in runs})
        parts.append(
            f"peak learning rate {', '.join(f'{rate:g}' for rate in rates)}" + (": the best" * (len(rates) > 1))
        )
    return "; ".join([*parts, record["device"]])
