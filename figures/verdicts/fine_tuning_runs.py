"""Fine-tuning runs as the records hold them: a group for each method, factor and learning rate, a curve for each seed.

Windows and contexts are in tokens, losses in nats; a perplexity over several seeds is exp of their mean loss.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from experiments.records.record import Record, read
from figures.verdicts.intervals import Interval, Loss, difference, share
from figures.verdicts.method_names import METHODS

Part = Literal["whole", "last"]

WAYS = {"none": "direct", "linear": "PI"}  # what rows call the two ways to fine-tune


def way(method: str) -> str:
    """What rows call a way to extend a model that is, or could be, fine-tuned."""
    return WAYS.get(method) or METHODS[method]


@dataclass(frozen=True)
class Evaluation:
    """One measurement of a model.

    Attributes:
        step: after how many fine-tuning steps.
        whole: loss over all tokens of the windows, by corpus and window.
        last: loss over the last tokens of each window alone, by corpus and window; empty where it was not measured.
        k_max: the farthest distance from which a passkey is found; None where it was not measured.
        accuracy: the share of trials in which a passkey is found, by distance.
        seed: that of the run; None for a model that no run trained.
    """

    step: int
    whole: dict[str, dict[int, Loss]]
    last: dict[str, dict[int, Loss]]
    k_max: int | None
    accuracy: dict[int, float] = field(default_factory=dict)
    seed: int | None = None

    def measured(self, corpus: str, window: int, part: Part = "whole") -> Loss | None:
        """The loss with what is known of its error, or None where it was not measured."""
        found: dict[str, dict[int, Loss]] = getattr(self, part)
        return found.get(corpus, {}).get(window)

    def loss(self, corpus: str, window: int, part: Part = "whole") -> float | None:
        """The loss in nats, or None where it was not measured."""
        found = self.measured(corpus, window, part)
        return None if found is None else found.nats

    def perplexity(self, corpus: str, window: int) -> float:
        """Over all tokens; NaN where it was not measured."""
        loss = self.loss(corpus, window)
        return math.nan if loss is None else math.exp(loss)


def evaluation(
    entry: dict[str, Any], texts: Mapping[str, Sequence[str]] | None = None, seed: int | None = None
) -> Evaluation:
    """A measurement as records write it.

    Args:
        entry: the measurement.
        texts: by corpus, the name of the text that each scored document is from.
        seed: that of the run.
    """
    whole, last = (
        {
            corpus: {int(window): recorded_loss(row, (texts or {}).get(corpus, ())) for window, row in rows.items()}
            for corpus, rows in entry.get(part, {}).items()
        }
        for part in ("perplexity", "last")
    )
    accuracy = {int(k): share for k, share in entry.get("accuracy", {}).items()}
    return Evaluation(entry.get("step", 0), whole, last, entry.get("k_max"), accuracy, seed)


def texts_of(metrics: dict[str, Any]) -> dict[str, list[str]]:
    """By corpus, the name of the text that each scored document is from, where a record says it."""
    measured_on = metrics.get("measured_on", {}).items()
    return metrics.get("texts") or {
        corpus: said["documents"] for corpus, said in measured_on if isinstance(said, dict) and "documents" in said
    }


def recorded_loss(row: dict[str, Any], texts: Sequence[str]) -> Loss:
    """A loss as records write it."""
    means = by_text(row.get("document_loss_nats", ()), texts)
    return Loss(row["loss_nats"], row.get("loss_nats_stderr"), row.get("documents", 1), means)


def by_text(losses: Sequence[float], texts: Sequence[str]) -> tuple[float, ...]:
    """The mean loss of each text: its excerpts are no independent samples, so that an interval counts texts."""
    found: dict[str, list[float]] = {}
    for name, nats in zip(texts, losses, strict=False):
        found.setdefault(name, []).append(nats)
    return tuple(map(statistics.fmean, found.values()))


@dataclass(frozen=True)
class Value:
    """A perplexity over seeds, and its sample standard deviation: None where all seeds agree, as a single one does."""

    perplexity: float
    spread: float | None

    def __str__(self) -> str:
        if self.perplexity >= 1e4:
            return f"{self.perplexity:.0e}"
        decimals = max(0, 3 - math.floor(math.log10(self.perplexity)))  # four digits
        return over_seeds(self.perplexity, self.spread, f".{decimals}f")


@dataclass(frozen=True)
class Group:
    """The runs of one method, factor and peak learning rate.

    Attributes:
        context_tokens: L', which direct fine-tuning reaches without scaling positions.
        curves: for each seed, its evaluations by rising step.
    """

    method: str
    factor: float
    context_tokens: int
    peak_lr: float
    curves: tuple[tuple[Evaluation, ...], ...]

    @property
    def name(self) -> str:
        """As in "PI ×2"."""
        return f"{way(self.method)} ×{self.factor:g}"

    @property
    def steps(self) -> list[int]:
        """The steps after which every seed was evaluated, rising."""
        return sorted(set.intersection(*({one.step for one in curve} for curve in self.curves)))

    def at(self, step: int) -> list[Evaluation]:
        """The evaluations after a step, one a seed; none where one of the seeds was not evaluated then."""
        return [one for curve in self.curves for one in curve if step in self.steps and one.step == step]

    def last(self) -> list[Evaluation]:
        """The evaluations after the last of these steps, one a seed."""
        return self.at(self.steps[-1])


@dataclass(frozen=True)
class Runs:
    """What a record of fine-tuning runs holds.

    Attributes:
        record: the whole record.
        window: the trained window L.
        base: the measurement of the untouched model.
        groups: every method, factor and rate: by rising factor and rate, direct fine-tuning before PI.
        untuned: the scaling methods measured without fine-tuning, each as a group with one evaluation.
        gaps: the steps that the study asks for and its record lacks, by method and factor.
    """

    record: Record
    window: int
    base: Evaluation
    groups: tuple[Group, ...]
    untuned: tuple[Group, ...]
    gaps: dict[tuple[str, float], tuple[int, ...]]

    @property
    def corpora(self) -> list[str]:
        """What was scored, in the record's order."""
        return list(self.base.whole)

    @property
    def rates(self) -> list[float]:
        """The peak learning rates that were tried, rising."""
        return sorted({group.peak_lr for group in self.groups})

    @property
    def factors(self) -> list[float]:
        """By how much the window was extended, rising."""
        return sorted({group.factor for group in self.groups})

    @property
    def rate(self) -> float | None:
        """The peak rate at which direct fine-tuning and PI end lowest; None where there is no run.

        As in the paper there is one for both ways and all factors, so that whatever is compared differs in nothing
        else. It ends with the lowest loss at the extended window on the first corpus, on average over ways and factors.
        """
        ends: dict[float, list[float]] = {}
        for group in self.groups:
            found = losses(group.last(), self.corpora[0], group.context_tokens)
            if group.method in WAYS and found:
                ends.setdefault(group.peak_lr, []).append(statistics.fmean(found))
        most = max(map(len, ends.values()), default=0)
        whole = {rate: statistics.fmean(found) for rate, found in ends.items() if len(found) == most}
        return min(whole, key=whole.__getitem__, default=None)

    def best(self) -> list[Group]:
        """Direct and PI runs at the best `rate`, by rising factor, direct first."""
        rate = self.rate
        found = [group for group in self.groups if group.method in WAYS and group.peak_lr == rate]
        return sorted(found, key=lambda group: (group.method == "linear", group.factor))

    @property
    def pairs(self) -> dict[tuple[float, float], tuple[Group, Group]]:
        """The runs by PI and by direct fine-tuning at the same factor and rate, by both, rising."""
        of = {(group.factor, group.peak_lr, group.method): group for group in self.groups}
        return {
            (factor, rate): (of[factor, rate, "linear"], of[factor, rate, "none"])
            for factor in self.factors
            for rate in self.rates
            if {(factor, rate, "linear"), (factor, rate, "none")} <= of.keys()
        }

    def best_pairs(self) -> list[tuple[Group, Group]]:
        """PI and direct fine-tuning at the best `rate`, by rising factor."""
        best = self.rate
        return [pair for (_, rate), pair in self.pairs.items() if rate == best]

    def label(self, group: Group) -> str:
        """The name of a row; it has the peak rate where there are several."""
        rate = f", rate {group.peak_lr:g}" if len(self.rates) > 1 else ""
        return f"{group.name} to {group.context_tokens}{rate}"

    def how(self, *, chosen: bool = False) -> str:
        """Sentences of a caption: which of several rates its rows have, if one, and what ± is with several seeds."""
        several = any(len(group.curves) > 1 for group in self.groups)
        rate = f"All rows have the peak rate {self.rate:g}, at which both ways together end lowest at L' on books. "
        return (rate if chosen and len(self.rates) > 1 else "") + (
            "Means over seeds; ± is their standard deviation, left out where all agree. " if several else ""
        )

    @property
    def seeds(self) -> str:
        """How many seeds, as in "3 seeds" or "3 seeds at ×4, 1 at ×2, ×8"."""
        factors: dict[int, list[float]] = {}
        for group in self.best():
            of_number = factors.setdefault(len(group.curves), [])
            of_number += [group.factor] * (group.factor not in of_number)
        said = [
            (f"{number} seed{'s' * (number > 1)}", f"{number}", ", ".join(f"×{factor:g}" for factor in sorted(found)))
            for number, found in sorted(factors.items(), reverse=True)
        ]
        if len(said) == 1:
            return said[0][0]
        return ", ".join(f"{words if not n else number} at {where}" for n, (words, number, where) in enumerate(said))

    @property
    def scale(self) -> str:
        """At what scale the runs are: model, training, documents scored, machine and day."""
        metrics, model = self.record["metrics"], self.record["metrics"]["model"]
        parts = [f"{model['name']}, {model['parameters'] / 1e6:.1f}M parameters, trained window {self.window} tokens"]
        if self.groups:
            steps = max(one.step for group in self.groups for curve in group.curves for one in curve)
            cut = self.record["config"].get("sequence_tokens")  # where training windows are shorter than L'
            shorter = f" in windows of {cut}" if cut else ""
            tried = self.rates
            parts.append(
                f"{steps} steps of {metrics['steps_tokens']} tokens{shorter}, {self.seeds}, "
                f"peak learning rate{'s' * (len(tried) > 1)} {', '.join(f'{rate:g}' for rate in tried)}"
            )
        scored = {
            corpus: max(row["documents"] for row in rows.values())
            for corpus, rows in metrics["base"]["perplexity"].items()
        }
        return "; ".join([*parts, f"scored on {documents(scored)}", measured_on(self.record)])


def read_runs(study: str) -> Runs:
    """The runs of a study's record. Raises RecordError as `read` does."""
    return runs_in(read(study))


def runs_in(record: Record) -> Runs:
    """The runs in a record."""
    metrics = record["metrics"]
    window, texts = metrics["model"]["window_tokens"], texts_of(metrics)
    curves: dict[tuple[float, float, bool, str], list[tuple[Evaluation, ...]]] = {}
    for run in metrics.get("runs", ()):
        entries = (evaluation(entry, texts, run["seed"]) for entry in run["curve"])
        curve = tuple(sorted(entries, key=lambda one: one.step))
        key = (run["factor"], run["peak_lr"], run["method"] == "linear", run["method"])
        curves.setdefault(key, []).append(curve)
    groups = tuple(
        Group(method, factor, round(factor * window), peak_lr, tuple(seeds))
        for (factor, peak_lr, _, method), seeds in sorted(curves.items())
    )
    untuned = tuple(
        Group(entry["method"], entry["factor"], round(entry["factor"] * window), 0.0, ((evaluation(entry, texts),),))
        for entry in metrics.get("zero_shot", ())
    )
    gaps = {(gap["method"], gap["factor"]): tuple(gap["steps"]) for gap in metrics.get("not_measured", ())}
    return Runs(record, window, evaluation(metrics["base"], texts), groups, untuned, gaps)


def value(found: Sequence[Evaluation], corpus: str, window: int, part: Part = "whole") -> Value | None:
    """Perplexity over seeds on a corpus at a window, or None where no seed was measured there."""
    measured = losses(found, corpus, window, part)
    if not measured:
        return None
    return Value(math.exp(statistics.fmean(measured)), deviation([math.exp(loss) for loss in measured]))


def change(
    found: Sequence[Evaluation],
    to: int,
    other: Sequence[Evaluation],
    of: int,
    corpus: str,
    part: Part = "whole",
) -> Interval | None:
    """By how many nats the first loss is above the other, or None where either was not measured.

    Args:
        found: one evaluation a seed.
        to: its window.
        other: the same seeds, or a single model that all are compared with.
        of: the window of that.
        corpus: what was scored.
        part: over which tokens.
    """
    found, other = paired(found, other)
    ours = [loss for one in found if (loss := one.measured(corpus, to, part)) is not None]
    theirs = [loss for one in other if (loss := one.measured(corpus, of, part)) is not None]
    return difference(ours, theirs) if ours and theirs else None


def paired(found: Sequence[Evaluation], other: Sequence[Evaluation]) -> tuple[list[Evaluation], list[Evaluation]]:
    """Those of the seeds that both have, in the same order. A model that no run trained goes with every seed."""
    one, two = ({model.seed: model for model in models} for models in (found, other))
    if None in one or None in two:
        return [*found], [*other]
    common = sorted(one.keys() & two.keys(), key=str)
    return [one[seed] for seed in common], [two[seed] for seed in common]


def hits_at(found: Sequence[Evaluation], distances: Sequence[int], trials: int) -> list[int]:
    """How many passkeys are found at these distances, a number for each seed."""
    return [sum(round(one.accuracy[k] * trials) for k in distances) for one in found]


def found_at(found: Sequence[Evaluation], distances: Sequence[int], trials: int) -> Interval:
    """The share of passkeys found at these distances, over all seeds."""
    return share(hits_at(found, distances, trials), trials * len(distances))


def losses(found: Sequence[Evaluation], corpus: str, window: int, part: Part = "whole") -> list[float]:
    """In nats, one for each seed that was measured there."""
    return [loss for one in found if (loss := one.loss(corpus, window, part)) is not None]


def windows(found: Sequence[Evaluation], corpus: str) -> list[int]:
    """The windows at which any of these evaluations scored a corpus, rising."""
    return sorted({window for one in found for window in one.whole.get(corpus, {})})


def deviation(values: Sequence[float]) -> float | None:
    """Sample standard deviation; None where all values agree, as a single one does."""
    return statistics.stdev(values) if len(set(values)) > 1 else None


def over_seeds(mean: float, spread: float | None, form: str) -> str:
    """As in "25.90 ± 0.12", both in the format ``form``."""
    return f"{mean:{form}}" if spread is None else f"{mean:{form}} ± {spread:{form.lstrip('+')}}"


def documents(counts: dict[str, int]) -> str:
    """By corpus, as in "3 documents of books and 1 of code"."""
    said = [f"{count} of {corpus}" for corpus, count in counts.items()]
    plural = "s" * (next(iter(counts.values())) > 1)
    return " and ".join(said).replace(" of", f" document{plural} of", 1)


def measured_on(record: Record) -> str:
    """Machine and day, as in "measured on CPU, 2 cores, 2026-11-25"."""
    return f"measured on {record['device']}, {record['written'][:10]}"
