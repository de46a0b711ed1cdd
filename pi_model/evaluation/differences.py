"""Paired differences: two models, or two ways to read, on the same documents or at the same distances."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """By how much one measure exceeds another, over what both have measured.

    Attributes:
        mean: the mean difference, in the unit of what is compared: nats per token, bits per byte, or a share.
        error: its standard error over pairs; None for fewer than two.
        pairs: how many were compared.
    """

    mean: float
    error: float | None
    pairs: int

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where the difference lies with 95% confidence, by Student's t.

        None without a standard error, and where all pairs agree, because a few equal values tell no spread.
        """
        if not self.error:
            return None
        from scipy.special import stdtrit

        reach = self.error * float(stdtrit(self.pairs - 1, 0.975))
        return self.mean - reach, self.mean + reach


def difference(
    values: Sequence[float], others: Sequence[float], weights: Sequence[float] | None = None
) -> Difference | None:
    """By how much the first values exceed the second, pair by pair, or None if there is no pair.

    Where one of the two has more values, its further ones are left out: both are in the same order.

    Args:
        values: the first, such as the mean loss of each document.
        others: the second.
        weights: what each pair counts for, such as its tokens; None counts all alike. The standard error is then that
            of the linearised ratio estimator, as for the losses themselves.
    """
    pairs = [one - other for one, other in zip(values, others, strict=False)]
    if not pairs:
        return None
    parts = [1.0] * len(pairs) if weights is None else list(weights)[: len(pairs)]
    total, count = sum(parts), len(pairs)
    mean = sum(part * one for part, one in zip(parts, pairs, strict=True)) / total
    if count < 2:
        return Difference(mean, None, count)
    spread = math.hypot(*(part * (one - mean) for part, one in zip(parts, pairs, strict=True)))
    return Difference(mean, math.sqrt(count / (count - 1)) * spread / total, count)
