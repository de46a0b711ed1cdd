"""Means of measured losses, and which method has the least."""

import math
from collections.abc import Iterable, Sequence

from pi_model.examine.findings import Method, Stretch


def mean(values: Sequence[float]) -> float | None:
    """The mean, or None of nothing."""
    return sum(values) / len(values) if values else None


def mean_until(curve: Iterable[Stretch], tokens: int) -> float | None:
    """The mean loss of the stretches that end within so many tokens, or None if none does."""
    within = [one for one in curve if one.end <= tokens]
    length = sum(one.end - one.start for one in within)
    return sum((one.end - one.start) * one.loss_nats for one in within) / length if length > 0 else None


def best(methods: Iterable[Method]) -> Method | None:
    """The method with the least loss over the whole context, or None if none was measured."""
    losses = [(mean(one.measured.whole), one) for one in methods if one.measured]
    finite = [(loss, one) for loss, one in losses if loss is not None and math.isfinite(loss)]
    return min(finite, key=lambda pair: pair[0], default=(None, None))[1]
