"""Paired differences of losses: two ways to read the same documents, compared document by document."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pi_model.examine.findings import Method, Stretch


@dataclass(frozen=True)
class Difference:
    """By how much one loss exceeds another on the same documents.

    Attributes:
        nats: the mean difference of a token's loss.
        error: its standard error over documents; None for fewer than two.
        documents: how many were compared.
    """

    nats: float
    error: float | None
    documents: int


def mean(values: Sequence[float]) -> float | None:
    """The mean, or None of nothing."""
    return sum(values) / len(values) if values else None


def mean_until(curve: Iterable[Stretch], tokens: int) -> float | None:
    """The mean loss of the stretches that end within so many tokens, or None if none does."""
    within = [one for one in curve if one.end <= tokens]
    length = sum(one.end - one.start for one in within)
    return sum((one.end - one.start) * one.loss_nats for one in within) / length if length > 0 else None


def difference(losses: Sequence[float], others: Sequence[float]) -> Difference | None:
    """By how much the first losses exceed the second, document by document, or None if no document has both.

    Where one of the two read more documents, its further ones are left out: all are read in the same order.
    """
    pairs = [one - other for one, other in zip(losses, others, strict=False)]
    if not pairs:
        return None
    nats, count = sum(pairs) / len(pairs), len(pairs)
    if count < 2:
        return Difference(nats, None, count)
    squares = sum((one - nats) * (one - nats) for one in pairs)
    return Difference(nats, math.sqrt(squares / (count - 1) / count), count)


def best(methods: Iterable[Method]) -> Method | None:
    """The method with the least loss over the whole context, or None if none was measured."""
    losses = [(mean(one.measured.whole), one) for one in methods if one.measured]
    finite = [(loss, one) for loss, one in losses if loss is not None and math.isfinite(loss)]
    return min(finite, key=lambda pair: pair[0], default=(None, None))[1]
