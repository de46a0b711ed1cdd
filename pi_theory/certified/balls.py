"""The primitives of ball arithmetic on which every certified value of the package rests.

A ball is a midpoint and a radius; the true value lies inside it, and every operation keeps it inside. A comparison of
two balls is true only when it is true for every pair of numbers inside them. Bases and positions are taken exactly:
pass 10000, Fraction("1.5") or a float, which stands for its binary value.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from flint import arb, arb_mat, ctx, fmpq
from jaxtyping import Complex, Float

from pi_theory.arguments import Number, check_base, check_head_dim

UNIT_ROUNDOFF = 2.0**-53
# Each complex entry of `phase_table` has two faithfully rounded components, so it is wrong by at most this much.
TABLE_ERROR = 2 * UNIT_ROUNDOFF


@dataclass(frozen=True)
class Enclosure:
    """An interval [lower, upper] that is known to hold a real number; its float64 ends are rounded outwards."""

    lower: float
    upper: float

    @property
    def width(self) -> float:
        """How wide the interval is: upper - lower, in the unit of the number."""
        return self.upper - self.lower


def enclosure(ball: arb) -> Enclosure:
    """Returns a float64 interval that holds the whole ball."""
    return Enclosure(
        math.nextafter(float(ball.lower()), -math.inf),
        math.nextafter(float(ball.upper()), math.inf),
    )


def exact(value: Number) -> arb:
    """Returns the ball of an exactly given number, as narrow as the working precision allows."""
    ratio = Fraction(value)
    return arb(fmpq(ratio.numerator, ratio.denominator))


def log_of_base(base: Number) -> arb:
    """Returns ln c as a ball, whose digits do not cancel where c is barely above 1.

    Raises:
        ValueError: base is not a finite number > 1.
    """
    return exact(Fraction(check_base(base)) - 1).log1p()


def theta_balls(head_dim: int, base: Number) -> list[arb]:
    """Returns the d/2 frequencies theta_j = base^(-2j/d) as balls at the working precision.

    Raises:
        ValueError: head_dim is not an even integer >= 2, or base is not a finite number > 1.
    """
    log_c = log_of_base(base)
    return [(-2 * j * log_c / check_head_dim(head_dim)).exp() for j in range(head_dim // 2)]


def certified_frequencies(head_dim: int, base: Number) -> Float[np.ndarray, " half"]:
    """Returns the frequencies theta_j in float64, shape (d/2,), each within one unit in the last place."""
    with ctx.workprec(96):
        return np.array([float(theta) for theta in theta_balls(head_dim, base)])


def phase_table(positions: Sequence[Number], *, head_dim: int, base: Number) -> Complex[np.ndarray, "n half"]:
    """Returns exp(i s theta_j) for exactly given positions s, shape (positions, d/2).

    Each entry lies within `TABLE_ERROR` of the true value, because it is rounded from a ball.
    """
    largest = max((abs(Fraction(s)) for s in positions), default=Fraction(1))
    out = np.empty((len(positions), head_dim // 2), dtype=complex)
    with ctx.workprec(80 + max(0, math.ceil(largest).bit_length())):
        thetas = theta_balls(head_dim, base)
        for row, position in zip(out, positions, strict=True):
            s = exact(position)
            for j, theta in enumerate(thetas):
                sine, cosine = (s * theta).sin_cos()
                row[j] = complex(float(cosine), float(sine))
    return out


def B_ball(position: Number | arb, *, head_dim: int, base: Number, bits: int = 128) -> arb:
    """Returns B(s) = sum_k |A_k(s)| (Eq. 8 of the paper) as a ball, computed at ``bits`` bits of precision.

    A number is taken as an exact position. A ball of positions gives a ball that holds B(s) for every s in it.
    """
    with ctx.workprec(bits):
        s = position if isinstance(position, arb) else exact(position)
        real = imag = total = arb(0)
        for theta in theta_balls(head_dim, base):
            sine, cosine = (s * theta).sin_cos()
            real, imag = real + cosine, imag + sine
            # A sum of squares is >= 0, even where its ball reaches below zero.
            total += (real * real + imag * imag).nonnegative_part().sqrt()
        return total


def interval_ball(lower: Number, upper: Number) -> arb:
    """Returns a ball that holds every number of [lower, upper]."""
    return exact(lower).union(exact(upper))


def rotation(theta: arb, position: int | arb) -> tuple[arb, arb]:
    """Returns (cos, sin) of the angle position * theta."""
    sine, cosine = (theta * position).sin_cos()
    return cosine, sine


def rotations(theta: arb, count: int) -> list[tuple[arb, arb]]:
    """Returns (cos, sin) of the angles 0, theta, 2 theta, ..., (count - 1) theta.

    With n = stride a + b, each comes from one entry of a coarse table, rotated once by one entry of a fine table.
    Rotating step by step would be shorter to write, but each rotation may widen the balls by a factor sqrt(2), which
    would cost half a bit of precision a step.
    """
    stride = math.isqrt(count) + 1
    fine = [rotation(theta, n) for n in range(stride)]
    coarse = [rotation(theta, n) for n in range(0, count, stride)]
    out = [(c * cf - s * sf, s * cf + c * sf) for c, s in coarse for cf, sf in fine]
    return out[:count]


def dot_product(x: Sequence[arb], y: Sequence[arb]) -> arb:
    """Returns sum_i x_i y_i of two sequences of equal length."""
    return (arb_mat([list(x)]) * arb_mat([[value] for value in y]))[0, 0]


def ball_sum(balls: Iterable[arb]) -> arb:
    """Returns the sum of the balls; that of none is 0."""
    return sum(balls, arb(0))
