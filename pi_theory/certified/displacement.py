"""How far a scaling method can move a row of attention, certified from the sizes of its coefficients.

`pi_theory.displacement` has the bounds. Here they are computed in balls, from sizes, distances and a configuration that
are taken exactly, so that each holds for every head with these sizes, whatever the phases of its coefficients.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from flint import arb, ctx
from jaxtyping import Float

from pi_theory.arguments import Number
from pi_theory.certified.balls import ball_sum, enclosure, exact
from pi_theory.displacement import Change


@dataclass(frozen=True)
class RowBounds:
    """Numbers that a row certainly does not exceed, in float64 and rounded up."""

    oscillation: float
    kl: float
    tv: float


def certified_row_bounds(
    size: Float[np.ndarray, "keys half"], distances: Sequence[Number], change: Change, *, bits: int = 128
) -> RowBounds:
    """Returns bounds of the oscillation, KL and TV of a row, which no row with these sizes exceeds.

    Args:
        size: |h_nj|, shape (keys, d/2), of at least two keys; a float stands for its binary value.
        distances: the distance of each key, at least 0.
        change: what the method does; its numbers in float64 are those that a model computes with, and taken exactly.
        bits: precision of the balls.

    Raises:
        ValueError: there are fewer than two keys, as many distances as keys are not given, or one is negative.
    """
    if len(size) < 2 or len(distances) != len(size) or min(distances) < 0:
        raise ValueError(
            f"distances: need one >= 0 for each of at least two keys, got {len(distances)}, {len(size)} keys"
        )
    with ctx.workprec(bits):
        theta, scaled = ([exact(float(x)) for x in row] for row in (change.theta, change.scaled))
        t = exact(float(change.score_factor))
        root = arb(2 * len(theta)).sqrt()
        shifts = []
        for sizes, distance in zip(size, distances, strict=True):
            s, clamped = exact(distance), exact(min(distance, change.window - 1))
            chords = (
                ((t - 1) ** 2 + 4 * t * ((s * after - clamped * before) / 2).sin() ** 2).nonnegative_part().sqrt()
                for before, after in zip(theta, scaled, strict=True)
            )
            shifts.append(ball_sum(exact(float(x)) * chord for x, chord in zip(sizes, chords, strict=True)) / root)
        *_, second, first = sorted(enclosure(shift).upper for shift in shifts)
        oscillation = exact(first) + exact(second)
        kl = oscillation**2 / 8 if oscillation < exact(1) / 64 else _kl(oscillation)
        return RowBounds(*(enclosure(ball).upper for ball in (oscillation, kl, (oscillation / 4).tanh())))


def _kl(o: arb) -> arb:
    """Returns o/(e^o - 1) - 1 + ln((e^o - 1)/o)."""
    grown = o.expm1()
    return o / grown - 1 + (grown / o).log()
