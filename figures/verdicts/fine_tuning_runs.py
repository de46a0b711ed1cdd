"""Fine-tuning runs as the records hold them: groups of seeds, each a curve of evaluations.

Windows and contexts are in tokens, losses in nats; a perplexity over seeds is exp of the mean loss.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from experiments.records.record import Record

Best = Literal["perplexity", "k_max"]


@dataclass(frozen=True)
class Value:
    """A perplexity over seeds, and its sample standard deviation, None where all seeds agree, as one does."""

    perplexity: float
    spread: float | None

    def __str__(self) -> str:
        if self.perplexity >= 1e4:
            return f"{self.perplexity:.0e}"
        decimals = max(0, 3 - math.floor(math.log10(self.perplexity)))  # four digits
        return over_seeds(self.perplexity, self.spread, f".{decimals}f")


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
        """As in "PI ×2"."""
        return f"{'PI' if self.method == 'linear' else 'direct'} ×{self.factor:g}"

    @property
    def steps(self) -> list[int]:
        """The steps after which every seed was evaluated, rising."""
        return sorted(set.intersection(*({entry["step"] for entry in curve} for curve in self.curves)))

    def at(self, step: int) -> list[dict[str, Any]]:
        """The evaluations after a step, one a seed; none where a run of theirs was not evaluated then."""
        return [entry for curve in self.curves for entry in curve if step in self.steps and entry["step"] == step]

    def last(self) -> list[dict[str, Any]]:
        """The evaluations after the last of these steps, one a seed."""
        return self.at(self.steps[-1])


def all_groups(record: Record) -> list[Group]:
    """Every method, factor and peak learning rate: by rising factor and rate, direct before PI."""
    window = record["metrics"]["model"]["window_tokens"]
    curves: dict[tuple[float, float, bool, str], list[tuple[dict[str, Any], ...]]] = {}
    for run in record["metrics"]["runs"]:
        curve = tuple(sorted(run["curve"], key=lambda entry: entry["step"]))
        key = (run["factor"], run["peak_lr"], run["method"] == "linear", run["method"])
        curves.setdefault(key, []).append(curve)
    return [
        Group(method, factor, round(factor * window), peak_lr, tuple(seeds))
        for (factor, peak_lr, _, method), seeds in sorted(curves.items())
    ]


def groups(record: Record, *, best: Best = "perplexity") -> list[Group]:
    """Direct and PI runs by rising factor, direct first; of several peak learning rates each shows its best.

    Args:
        record: of a study of runs.
        best: at the end, the lowest perplexity at the extended window on the first corpus, or the longest k_max.
    """
    corpus = next(iter(record["metrics"]["base"]["perplexity"]))

    def rank(group: Group) -> tuple[float, float]:
        found = value(group.last(), corpus, group.context_tokens)
        perplexity = math.inf if found is None else found.perplexity
        reach = statistics.fmean(entry["k_max"] for entry in group.last()) if best == "k_max" else 0.0
        return -reach, perplexity

    chosen: dict[tuple[str, float], Group] = {}
    for group in all_groups(record):
        other = chosen.setdefault((group.method, group.factor), group)
        if rank(group) < rank(other):
            chosen[group.method, group.factor] = group
    return sorted(chosen.values(), key=lambda group: (group.method == "linear", group.factor))


def rates(record: Record) -> list[float]:
    """The peak learning rates that were tried, rising."""
    return sorted({run["peak_lr"] for run in record["metrics"]["runs"]})


def label(group: Group, record: Record) -> str:
    """The name of a row: with the peak rate, where there are several."""
    rate = f", rate {group.peak_lr:g}" if len(rates(record)) > 1 else ""
    return f"{group.name} to {group.context_tokens}{rate}"


def how(record: Record, best: Best | None = None) -> str:
    """Sentences of a caption: how rows were chosen, of several rates, and what ± is, of several seeds."""
    chosen = {
        "perplexity": "Each row is at the peak rate that ends with the lowest perplexity at its L' on books. ",
        "k_max": "Each row is at the peak rate that ends with the longest k_max, not with the lowest perplexity. ",
    }
    several = any(len(group.curves) > 1 for group in all_groups(record))
    return (chosen[best] if best and len(rates(record)) > 1 else "") + (
        "Means over seeds; ± is their standard deviation, left out where all agree. " if several else ""
    )


def value(entries: Sequence[dict[str, Any]], corpus: str, window: int, part: str = "perplexity") -> Value | None:
    """Perplexity over seeds on a corpus at a window, or None where no seed was measured there.

    ``part`` is "perplexity", or "last" where the last tokens of each window were scored by themselves.
    """
    found = losses(entries, corpus, window, part)
    if not found:
        return None
    return Value(math.exp(statistics.fmean(found)), deviation([math.exp(loss) for loss in found]))


def losses(entries: Sequence[dict[str, Any]], corpus: str, window: int, part: str = "perplexity") -> list[float]:
    """In nats, one a seed that was measured there."""
    return [
        measured["loss_nats"]
        for entry in entries
        if (measured := entry[part].get(corpus, {}).get(str(window))) is not None
    ]


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation; None where all agree, as one does."""
    return statistics.stdev(values) if len(set(values)) > 1 else None


def over_seeds(mean: float, spread: float | None, form: str) -> str:
    """As in "25.90 ± 0.12", both in the format ``form``."""
    return f"{mean:{form}}" if spread is None else f"{mean:{form}} ± {spread:{form.lstrip('+')}}"


def windows(entries: Sequence[dict[str, Any]], corpus: str) -> list[int]:
    """The windows in tokens at which any of these evaluations scored a corpus, rising."""
    return sorted({int(window) for entry in entries for window in entry["perplexity"].get(corpus, {})})


def seeds(record: Record) -> str:
    """How many seeds, as in "3 seeds" or "3 seeds at ×4, 1 at ×2, ×8"."""
    factors: dict[int, list[float]] = {}
    for group in groups(record):
        of_number = factors.setdefault(len(group.curves), [])
        of_number += [group.factor] * (group.factor not in of_number)
    said = [
        (f"{number} seed{'s' * (number > 1)}", f"{number}", ", ".join(f"×{factor:g}" for factor in sorted(of_number)))
        for number, of_number in sorted(factors.items(), reverse=True)
    ]
    if len(said) == 1:
        return said[0][0]
    return ", ".join(f"{words if not n else number} at {where}" for n, (words, number, where) in enumerate(said))


def scale(record: Record) -> str:
    """At what scale a record's runs are: model, tokens, seeds, documents, hardware."""
    base, of_model = record["metrics"]["base"], record["metrics"]["model"]
    parts = [f"{of_model['name']}, {of_model['parameters'] / 1e6:.1f}M parameters, window {of_model['window_tokens']}"]
    if runs := record["metrics"].get("runs"):
        steps = max(entry["step"] for run in runs for entry in run["curve"])
        cut = record["config"].get("sequence_tokens")  # where training windows are shorter than L'
        shorter = f" in windows of {cut}" if cut else ""
        parts.append(f"{steps} steps of {record['metrics']['steps_tokens']} tokens{shorter}, {seeds(record)}")
        tried = rates(record)
        parts.append(f"peak learning rate{'s' * (len(tried) > 1)} {', '.join(f'{rate:g}' for rate in tried)}")
    scored = {corpus: max(row["documents"] for row in by.values()) for corpus, by in base["perplexity"].items()}
    parts.append(f"scored on {documents(scored)}")
    return "; ".join([*parts, record["device"]])


def step(found: int | None) -> str:
    """A step as a cell; None is one that never came."""
    return "never" if found is None else str(found)


def documents(counts: dict[str, int]) -> str:
    """By corpus, as in "3 documents of books, 1 of code"."""
    said = [f"{count} of {corpus}" for corpus, count in counts.items()]
    return ", ".join(said).replace(" of", " documents of" if next(iter(counts.values())) > 1 else " document of", 1)
