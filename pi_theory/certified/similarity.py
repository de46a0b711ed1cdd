r"""The first distance at which like tokens are no longer favoured, certified: the first zero of sum_j cos(s theta_j).

Men et al. 2024, arXiv:2405.14591, compare a key that equals the query, up to noise, with a random one. If components
are independent and of equal variance, the score of the first is larger on average, by a multiple of
g(s) = sum_j cos(s theta_j). They ask of a base that g(s) >= 0 for all distances in use. Linear interpolation by kappa
multiplies the first zero by kappa.

g is searched in boxes of half-width r: with g and g' at a box's centre, g is at least g - r |g'| - r^2/2 sum_j
theta_j^2 in it. What float64 leaves open is decided in balls. Phases are products of two table entries rounded from
balls, each wrong by at most 2 u (u = 2^-53), and a product adds at most sqrt(5) u, so that a phase is wrong by 7 u at
most. The sum of n = d/2 of them is wrong by 7 n u + n^2 u, and that of the products with theta_j <= 1 by n u more.
`_error` is twice that.
"""

import math
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from flint import arb, ctx
from jaxtyping import Complex, Float

from pi_theory.arguments import check_count
from pi_theory.certified.balls import UNIT_ROUNDOFF, Enclosure, ball_sum, exact

_RADIUS = Fraction(1, 4)
_FINE, _COARSE = 128, 128  # a segment has so many boxes for each of so many coarse places
_NARROW = Fraction(1, 2**20)


def first_zero(theta: Float[np.ndarray, " half"], upto: int) -> Enclosure | None:
    """Returns where sum_j cos(s theta_j) first turns negative on [0, upto], or None if it certainly nowhere does.

    Args:
        theta: the frequencies, shape (d/2,), in radians per position, each in (0, 1] and taken exactly.
        upto: how far to look, in positions.

    Returns:
        An interval: the sum is not negative up to its lower end and is negative at its upper end.

    Raises:
        ValueError: ``upto`` is no positive whole number, or a frequency is outside (0, 1].
        ArithmeticError: it cannot be decided, as where the sum touches 0 without clearly falling below it.
    """
    check_count(upto, "upto")
    if not (theta.min() > 0 and theta.max() <= 1):
        raise ValueError("theta: each frequency must lie in (0, 1]")
    with ctx.workprec(128):
        balls = [exact(float(one)) for one in theta]
        for left in _undecided(theta, balls, upto):
            if (found := _zero_within(balls, left, left + 2 * _RADIUS)) is not None:
                return found if found.lower <= upto else None
    return None


def _undecided(theta: np.ndarray, balls: list[arb], upto: int) -> Iterator[Fraction]:
    """Yields the left ends of the boxes in which float64 does not show the sum to be positive, in order."""
    width, radius = 2 * _RADIUS, float(_RADIUS)
    fine = _phases([width * i + _RADIUS for i in range(_FINE)], balls)
    curvature = float(theta @ theta) * (1 + 1e-9)
    for segment in range(0, math.ceil(upto / width), _FINE * _COARSE):
        starts = [width * (segment + i * _FINE) for i in range(_COARSE)]
        phase = (_phases(starts, balls)[:, None] * fine).reshape(-1, theta.size)
        value, slope = phase.real.sum(axis=1), phase.imag @ theta
        lower = value - radius * np.abs(slope) - radius**2 / 2 * curvature - (1 + radius) * _error(theta.size)
        yield from (width * (segment + int(i)) for i in np.flatnonzero(~(lower > 0)))


def _phases(positions: list[Fraction], theta: list[arb]) -> Complex[np.ndarray, "n half"]:
    out = np.empty((len(positions), len(theta)), dtype=complex)
    for row, position in zip(out, map(exact, positions), strict=True):
        for j, one in enumerate(theta):
            sine, cosine = (position * one).sin_cos()
            row[j] = complex(float(cosine), float(sine))
    return out


def _error(half: int) -> float:
    return 2 * half * (8 + half) * UNIT_ROUNDOFF


def _zero_within(theta: list[arb], left: Fraction, right: Fraction) -> Enclosure | None:
    """Returns where the sum first turns negative on [left, right], or None if it certainly nowhere does."""
    open_from, waiting = None, [(left, right)]
    while waiting:
        start, end = waiting.pop()
        if _is_positive(theta, start, end):
            if open_from is not None:
                raise ArithmeticError(f"undecided: the sum of cosines is about 0 near s = {float(open_from)}")
        elif end - start > _NARROW:
            middle = (start + end) / 2
            waiting += [(middle, end), (start, middle)]
        else:
            open_from = start if open_from is None else open_from
            if ball_sum((exact(end) * one).cos() for one in theta) < 0:
                return Enclosure(math.nextafter(float(open_from), 0), math.nextafter(float(end), math.inf))
    if open_from is not None:
        raise ArithmeticError(f"undecided: the sum of cosines is about 0 near s = {float(open_from)}")
    return None


def _is_positive(theta: list[arb], start: Fraction, end: Fraction) -> bool:
    centre, radius = exact((start + end) / 2), exact((end - start) / 2)
    phases = [(centre * one).sin_cos() for one in theta]
    value = ball_sum(cosine for _, cosine in phases)
    slope = ball_sum(one * sine for one, (sine, _) in zip(theta, phases, strict=True))
    curvature = ball_sum(one * one for one in theta)
    return bool(value - radius * abs(slope) - radius * radius / 2 * curvature > 0)
