"""What measurements decide: 95% intervals, and whether a statement holds, fails or stays open.

Two models are compared on the same texts and with the same seeds. What varies is which texts were read and which seed
ordered the training data, so the standard error of a mean difference has a part from each: that of the texts' means
over seeds, and that of the seeds' means over texts. With one seed the interval speaks of that run alone.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

Decision = Literal["holds", "fails", "open"]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Loss:
    """A measured loss.

    Attributes:
        nats: mean over all tokens that were scored.
        stderr: its standard error over documents; None where there was one document.
        documents: how many were scored.
        by_text: the mean loss of each text in nats, in the record's order; empty where the record does not hold it.
    """

    nats: float
    stderr: float | None = None
    documents: int = 1
    by_text: tuple[float, ...] = ()


@dataclass(frozen=True)
class Interval:
    """A mean with its 95% interval."""

    mean: float
    low: float
    high: float

    def below(self, limit: float = 0.0) -> Decision:
        """Whether the mean is below a limit: open where the interval contains it."""
        return "holds" if self.high < limit else "fails" if self.low > limit else "open"

    def above(self, limit: float = 0.0) -> Decision:
        """Whether the mean is above a limit: open where the interval contains it."""
        return "holds" if self.low > limit else "fails" if self.high < limit else "open"

    def __str__(self) -> str:
        """Of a difference of losses in nats: the change of perplexity, "-1.2% (-2.0 to -0.4)" or "×3 (1.5 to 6)"."""
        multiple = abs(self.mean) > math.log(2)
        if not math.isfinite(self.high - self.low):
            said = f"×{math.exp(self.mean):.3g}" if multiple else f"{math.expm1(self.mean):+.1%}"
            return f"{said}, one document, so no interval"
        if multiple:
            return f"×{self.shown('.3g', of=math.exp)}"
        return self.shown("+.1f", "%", of=lambda nats: 100 * math.expm1(nats))

    def shown(self, form: str, unit: str = "", *, of: Callable[[float], float] = float) -> str:
        """As in "-0.120 nats (-0.180 to -0.060)".

        Args:
            form: the format of each number.
            unit: what follows the mean.
            of: what is shown of each number, a rising function.
        """
        mean, low, high = map(of, (self.mean, self.low, self.high))
        return f"{mean:{form}}{unit} ({low:{form}} to {high:{form}})"


def nats(change: Interval) -> str:
    """Of a difference of losses, as in "-0.120 nats (-0.180 to -0.060)"."""
    if not math.isfinite(change.high - change.low):
        return f"{change.mean:+.3f} nats, one document, so no interval"
    return change.shown("+.3f", " nats")


def difference(ours: Sequence[Loss], theirs: Sequence[Loss]) -> Interval:
    """By how many nats our mean loss is above theirs.

    Args:
        ours: one loss a seed.
        theirs: of the same seeds in the same order, or a single one that all of ours are compared with.

    Paired by text where all have losses by text. Otherwise the two are taken as independent samples, which makes the
    interval wider than it has to be; a single document gives no interval, and nothing is decided.
    """
    other = [*theirs] * len(ours) if len(theirs) == 1 else [*theirs]
    pairs = list(zip(ours, other, strict=True))
    if all(len(one.by_text) == len(two.by_text) > 1 for one, two in pairs):
        return mean_over_both(np.array([np.subtract(one.by_text, two.by_text) for one, two in pairs]))
    seeds = np.array([one.nats - two.nats for one, two in pairs])
    errors = [(one.stderr, two.stderr) for one, two in pairs]
    documents = min(min(one.documents, two.documents) for one, two in pairs)
    if documents < 2 or any(error is None for pair in errors for error in pair):
        return Interval(float(seeds.mean()), -math.inf, math.inf)
    of_texts = float(np.mean([math.hypot(*pair) for pair in errors])) ** 2  # type: ignore[arg-type]
    return _interval(float(seeds.mean()), [(of_texts, documents - 1), _of_seeds(seeds)])


def mean_over_both(values_ST: np.ndarray) -> Interval:
    """The mean of values by seed and text, with the interval over both."""
    texts = values_ST.shape[1]
    by_text = values_ST.mean(0)
    return _interval(
        float(values_ST.mean()), [(float(by_text.var(ddof=1)) / texts, texts - 1), _of_seeds(values_ST.mean(1))]
    )


def _of_seeds(means_S: np.ndarray) -> tuple[float, int]:
    """The squared standard error over seeds and its degrees of freedom; nothing is known of it from one seed."""
    return (float(means_S.var(ddof=1)) / len(means_S), len(means_S) - 1) if len(means_S) > 1 else (0.0, 1)


def _interval(mean: float, parts: Sequence[tuple[float, int]]) -> Interval:
    """From squared standard errors that add up, by Student's t with Welch and Satterthwaite's degrees of freedom."""
    total = sum(part for part, _ in parts)
    if total <= 0:
        return Interval(mean, mean, mean)
    freedom = 1 / sum((part / total) ** 2 / degrees for part, degrees in parts)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * math.sqrt(total)
    return Interval(mean, mean - half, mean + half)


def share(hits: Sequence[int], trials: int) -> Interval:
    """A share of trials with its exact interval (Clopper and Pearson), no narrower than that over seeds.

    Args:
        hits: how many trials succeed, a number for each seed.
        trials: how many there are of each seed.
    """
    return _over_seeds(_proportion(hits, trials, "exact"), np.divide(hits, trials), least=0.0)


def share_difference(ours: Sequence[int], theirs: Sequence[int], trials: int) -> Interval:
    """By how much our share of trials is above theirs, no narrower than the interval over seeds.

    The trials count as independent samples, by the hybrid of two score intervals (Newcombe 1998, method 10).

    Args:
        ours: how many trials succeed, a number for each seed.
        theirs: of the same seeds in the same order.
        trials: how many there are of each seed.
    """
    one, two = _proportion(ours, trials, "wilson"), _proportion(theirs, trials, "wilson")
    mean = one.mean - two.mean
    low = mean - math.hypot(one.mean - one.low, two.high - two.mean)
    high = mean + math.hypot(one.high - one.mean, two.mean - two.low)
    seeds = np.subtract(ours, theirs) / trials
    return _over_seeds(Interval(mean, low, high), seeds, least=-1.0)


def _proportion(hits: Sequence[int], trials: int, method: Literal["exact", "wilson"]) -> Interval:
    test = stats.binomtest(sum(hits), trials * len(hits))
    found = test.proportion_ci(CONFIDENCE, method)
    return Interval(float(test.statistic), float(found.low), float(found.high))


def _over_seeds(of_trials: Interval, means_S: np.ndarray, least: float) -> Interval:
    """The wider of an interval over trials and that over seeds, whose trials are the same; shares end at 1."""
    of_seeds = _interval(of_trials.mean, [_of_seeds(means_S)])
    return Interval(
        of_trials.mean, max(least, min(of_trials.low, of_seeds.low)), min(1.0, max(of_trials.high, of_seeds.high))
    )


def every(decisions: Iterable[Decision]) -> Decision:
    """Whether something holds in every case: it fails where one fails, and is open where one is or there is none."""
    found = {*decisions}
    return "fails" if "fails" in found else "holds" if found == {"holds"} else "open"


def paired_scores(differences: Sequence[float]) -> Interval:
    """The mean difference of two models' scores on the same items, each from 0 to 1 (Bonett and Price 2012).

    They add two items to the sample, on which one model is wholly right and the other wholly wrong, once each way. So a
    few items on which both models score alike do not pass for a difference of exactly zero. The mean that is given is
    the sample's own.
    """
    with_two = np.array([*differences, 1.0, -1.0])
    half = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * float(with_two.std()) / math.sqrt(len(with_two))
    middle = float(with_two.mean())
    return Interval(float(np.mean(differences)), max(middle - half, -1.0), min(middle + half, 1.0))
