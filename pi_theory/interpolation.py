r"""How far a score can be from the straight line between two positions: three bounds of |a(s) - a_lin(s)|.

The line through the score's values at s1 and s2 is a_lin = (1 - lam) a(s1) + lam a(s2), where lam = (s - s1)/(s2 - s1)
and s lies in [s1, s2]. For coefficients with max_j |h_j| <= hmax, the three bounds are:

* the published one, Theorem 2.1 of Chen et al. 2023, which is no bound in general (see `published_margin`):
  hmax d (s - s1)(s2 - s) / (8 ln c);
* the Taylor bound, which repairs it: hmax/2 (s - s1)(s2 - s) sum_j theta_j^2;
* the sharp bound, the smallest possible, because `sharp_witness` attains it:
  hmax sum_j |exp(i s theta_j) - (1 - lam) exp(i s1 theta_j) - lam exp(i s2 theta_j)|.

The published proof derives the Taylor bound and then uses c^x <= 1 + x ln c for x < 0 (Eq. 14). Because c^x is convex,
the inequality points the other way. Two facts, proved in `pi_theory.proofs`, decide where the theorem is true
nevertheless on intervals of length 1, for every even d and every c > 1:

**Midpoint.** For each frequency theta <= 1, |exp(i lam theta) - (1-lam) - lam exp(i theta)| / (lam (1-lam)) is
largest at lam = 1/2, where it is 8 sin^2(theta/4). So the published bound holds at every s of every unit interval
exactly when it holds at midpoints, that is, when

    F(d, c) = (64 ln c / d) sum_{j < d/2} sin^2(theta_j / 4) <= 1.

**Monotonicity.** F decreases in d and increases in c. So for each base there is a smallest head dimension at which the
theorem holds (`smallest_valid_head_dim`), and it holds at every larger one too.
"""

import math

import numpy as np
from jaxtyping import Complex, Float

from pi_theory.arguments import Number, check_base, check_finite, check_head_dim, check_interval
from pi_theory.rope import frequencies, score


def published_bound(s: float, s1: float, s2: float, *, head_dim: int, base: Number, hmax: float = 1.0) -> float:
    """Returns the right side of Theorem 2.1 as published: hmax d (s - s1)(s2 - s) / (8 ln c).

    It bounds |a(s) - a_lin(s)| on unit intervals only where `published_margin` is at most 1, and on every interval only
    where `taylor_margin` is.

    Args:
        s: the position in [s1, s2] at which the score is interpolated.
        s1: the left end of the interval.
        s2: the right end of the interval.
        head_dim: d, even, at least 2.
        base: c > 1.
        hmax: an upper bound of all |h_j|.

    Raises:
        ValueError: s lies outside [s1, s2], s1 >= s2, or another argument is outside its domain.

    Source: Chen et al. 2023, arXiv:2306.15595, Theorem 2.1.

    >>> round(128 / published_bound(0.5, 0, 1, head_dim=128, base=10000), 2)
    294.73
    """
    _check(s, s1, s2, head_dim, base)
    return hmax * head_dim * (s - s1) * (s2 - s) / (8 * math.log(base))


def taylor_bound(s: float, s1: float, s2: float, *, head_dim: int, base: Number, hmax: float = 1.0) -> float:
    """Returns hmax/2 (s - s1)(s2 - s) sum_j theta_j^2, which bounds |a(s) - a_lin(s)| for all d, c and intervals.

    It approaches `sharp_bound` as s2 - s1 goes to 0. The sum equals (1 - c^-2) / (1 - c^(-4/d)). Arguments and errors
    are those of `published_bound`.
    """
    _check(s, s1, s2, head_dim, base)
    log_c = math.log(base)
    sum_of_squares = math.expm1(-2 * log_c) / math.expm1(-4 * log_c / head_dim)
    return hmax / 2 * (s - s1) * (s2 - s) * sum_of_squares


def sharp_bound(s: float, s1: float, s2: float, *, head_dim: int, base: Number, hmax: float = 1.0) -> float:
    """Returns the maximum of |a(s) - a_lin(s)| over all h with |h_j| <= hmax, which `sharp_witness` attains.

    Arguments and errors are those of `published_bound`.
    """
    return hmax * float(np.abs(_defects(s, s1, s2, head_dim, base)).sum())


def sharp_witness(s: float, s1: float, s2: float, *, head_dim: int, base: Number) -> Complex[np.ndarray, " half"]:
    """Returns the coefficients h, shape (d/2,) with all |h_j| = 1, for which a(s) - a_lin(s) equals `sharp_bound`."""
    defect = _defects(s, s1, s2, head_dim, base)
    size = np.abs(defect)
    return np.where(size > 0, defect.conj() / np.where(size > 0, size, 1), 1)


def interpolation_error(
    h: Complex[np.ndarray, " half"], s: float, s1: float, s2: float, *, head_dim: int, base: Number
) -> float:
    """Returns a(s) - a_lin(s), with its sign, for coefficients h of shape (d/2,)."""
    return float((h * _defects(s, s1, s2, head_dim, base)).sum().real)


def linear_interpolant(
    h: Complex[np.ndarray, " half"], positions: Float[np.ndarray, " n"], *, head_dim: int, base: Number
) -> Float[np.ndarray, " n"]:
    """Returns, at each real position, the straight line between the scores at the two integers around it."""
    theta = frequencies(head_dim, base)
    left = np.floor(positions)
    lam = positions - left
    return (1 - lam) * score(h, left, theta) + lam * score(h, left + 1, theta)


def published_margin(head_dim: int, base: Number) -> float:
    """Returns F(d, c), which is at most 1 exactly when Theorem 2.1 holds on every unit interval (see the module).

    >>> published_margin(128, 10000) > 1 > published_margin(4096, 10000)
    True
    """
    theta = frequencies(head_dim, base)
    return 64 * math.log(base) / head_dim * float((np.sin(theta / 4) ** 2).sum())


def taylor_margin(head_dim: int, base: Number) -> float:
    """Returns the Taylor bound over the published one, which is at most 1 exactly when Theorem 2.1 holds everywhere.

    Everywhere means on every interval [s1, s2]. Short intervals are the hardest, because the Taylor bound becomes sharp
    as s2 - s1 goes to 0.
    """
    s, s1, s2 = 0.5, 0.0, 1.0
    return taylor_bound(s, s1, s2, head_dim=head_dim, base=base) / published_bound(
        s, s1, s2, head_dim=head_dim, base=base
    )


def smallest_valid_head_dim(base: Number) -> int:
    """Returns the smallest even d at which Theorem 2.1 holds on unit intervals; it holds at every larger d too.

    It is found in float64; `pi_theory.certified.interpolation.certify_smallest_valid_head_dim` proves it.

    >>> smallest_valid_head_dim(10000)
    1748
    """
    check_base(base)
    upper = 2
    while published_margin(upper, base) > 1:
        upper *= 2
    lower = upper // 2
    while upper - lower > 2:
        middle = (lower + upper) // 4 * 2
        lower, upper = (lower, middle) if published_margin(middle, base) <= 1 else (middle, upper)
    return upper


def _defects(s: float, s1: float, s2: float, head_dim: int, base: Number) -> np.ndarray:
    _check(s, s1, s2, head_dim, base)
    lam = (s - s1) / (s2 - s1)
    theta = frequencies(head_dim, base)
    # With exp(i s1 theta) taken out, expm1 computes each exp(i x) - 1 without cancellation.
    return np.exp(1j * s1 * theta) * (np.expm1(1j * (s - s1) * theta) - lam * np.expm1(1j * (s2 - s1) * theta))


def _check(s: float, s1: float, s2: float, head_dim: int, base: Number) -> None:
    check_head_dim(head_dim)
    check_base(base)
    check_interval(s1, s2, "interval [s1, s2]")
    check_finite(s, "s")
    if not s1 <= s <= s2:
        raise ValueError(f"s: must lie in [s1, s2] = [{s1}, {s2}], got {s}")
