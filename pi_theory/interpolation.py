r"""How far a score can be from the line through its values at two grid points: three bounds of |a(s) - a_lin(s)|.

For s in [s1, s2], lam = (s - s1)/(s2 - s1), a_lin = (1 - lam) a(s1) + lam a(s2), and max_j |h_j| <= hmax:

* published (Chen et al. 2023, Thm 2.1): hmax d (s - s1)(s2 - s) / (8 ln c), not valid in general: `published_margin`
* Taylor, its repair: hmax/2 (s - s1)(s2 - s) sum_j theta_j^2
* sharp, attained by `sharp_witness`: hmax sum_j |e(s theta_j) - (1-lam) e(s1 theta_j) - lam e(s2 theta_j)| with
  e(x) = exp(ix)

The published proof goes through the Taylor bound and then uses c^x <= 1 + x ln c for x < 0 (Eq. 14); by convexity
of c^x the inequality points the other way. Two facts, proved in `pi_theory.proofs`, decide where the result
survives on unit intervals, for every even d and every c > 1:

**Midpoint.** For each frequency theta <= 1, |exp(i lam theta) - (1-lam) - lam exp(i theta)| / (lam (1-lam)) is
largest at lam = 1/2, where it is 8 sin^2(theta/4). So the published bound holds at every s of every unit interval
exactly when it holds at midpoints, that is when

    F(d, c) = (64 ln c / d) sum_{j < d/2} sin^2(theta_j / 4) <= 1.

**Monotonicity.** F decreases in d and increases in c. So for each base there is one smallest valid head dimension
(`smallest_valid_head_dim`), and everything above it is valid too.
"""

import math

import numpy as np
from jaxtyping import Complex, Float

from pi_theory.arguments import Number, check_base, check_finite, check_head_dim, check_interval
from pi_theory.rope import frequencies, score


def published_bound(s: float, s1: float, s2: float, *, head_dim: int, base: Number, hmax: float = 1.0) -> float:
    """Theorem 2.1 as published: hmax d (s - s1)(s2 - s) / (8 ln c). Not a bound unless `published_margin` <= 1.

    Raises:
        ValueError: s outside [s1, s2], s1 >= s2, or an argument outside its domain.

    >>> round(128 / published_bound(0.5, 0, 1, head_dim=128, base=10000), 2)
    294.73
    """
    _check(s, s1, s2, head_dim, base)
    return hmax * head_dim * (s - s1) * (s2 - s) / (8 * math.log(base))


def taylor_bound(s: float, s1: float, s2: float, *, head_dim: int, base: Number, hmax: float = 1.0) -> float:
    """hmax/2 (s - s1)(s2 - s) sum_j theta_j^2: valid for all d, c and intervals, and sharp as s2 - s1 -> 0.

    The sum is (1 - c^-2) / (1 - c^(-4/d)).
    """
    _check(s, s1, s2, head_dim, base)
    log_c = math.log(base)
    sum_of_squares = math.expm1(-2 * log_c) / math.expm1(-4 * log_c / head_dim)
    return hmax / 2 * (s - s1) * (s2 - s) * sum_of_squares


def sharp_bound(s: float, s1: float, s2: float, *, head_dim: int, base: Number, hmax: float = 1.0) -> float:
    """The maximum of |a(s) - a_lin(s)| over all h with |h_j| <= hmax; `sharp_witness` attains it."""
    return hmax * float(np.abs(_defects(s, s1, s2, head_dim, base)).sum())


def sharp_witness(s: float, s1: float, s2: float, *, head_dim: int, base: Number) -> Complex[np.ndarray, " half"]:
    """h with |h_j| = 1 for which a(s) - a_lin(s) equals `sharp_bound`."""
    defect = _defects(s, s1, s2, head_dim, base)
    size = np.abs(defect)
    return np.where(size > 0, defect.conj() / np.where(size > 0, size, 1), 1)


def interpolation_error(
    h: Complex[np.ndarray, " half"], s: float, s1: float, s2: float, *, head_dim: int, base: Number
) -> float:
    """a(s) - a_lin(s) for the given coefficients, with sign."""
    return float((h * _defects(s, s1, s2, head_dim, base)).sum().real)


def linear_interpolant(
    h: Complex[np.ndarray, " half"], positions: Float[np.ndarray, " n"], *, head_dim: int, base: Number
) -> Float[np.ndarray, " n"]:
    """The piecewise linear function through a(n) at the integers n around each position."""
    theta = frequencies(head_dim, base)
    left = np.floor(positions)
    lam = positions - left
    return (1 - lam) * score(h, left, theta) + lam * score(h, left + 1, theta)


def published_margin(head_dim: int, base: Number) -> float:
    """F(d, c): Theorem 2.1 holds on every unit interval exactly when this is <= 1 (module docstring).

    >>> published_margin(128, 10000) > 1 > published_margin(4096, 10000)
    True
    """
    theta = frequencies(head_dim, base)
    return 64 * math.log(base) / head_dim * float((np.sin(theta / 4) ** 2).sum())


def taylor_margin(head_dim: int, base: Number) -> float:
    """The Taylor constant over the published one; <= 1 exactly when Theorem 2.1 holds on every interval [s1, s2].

    Short intervals are the hardest: as s2 - s1 -> 0 the Taylor bound becomes sharp.
    """
    s, s1, s2 = 0.5, 0.0, 1.0
    return taylor_bound(s, s1, s2, head_dim=head_dim, base=base) / published_bound(
        s, s1, s2, head_dim=head_dim, base=base
    )


def smallest_valid_head_dim(base: Number) -> int:
    """The smallest even d at which Theorem 2.1 holds on unit intervals; it holds at every larger d too.

    Found in float64; `pi_theory.certified.balls.certify_smallest_valid_head_dim` proves it.

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
    # exp(i s1 theta) is taken out so that nothing large cancels: exp(i x) - 1 is computed whole.
    return np.exp(1j * s1 * theta) * (np.expm1(1j * (s - s1) * theta) - lam * np.expm1(1j * (s2 - s1) * theta))


def _check(s: float, s1: float, s2: float, head_dim: int, base: Number) -> None:
    check_head_dim(head_dim)
    check_base(base)
    check_interval(s1, s2, "interval [s1, s2]")
    check_finite(s, "s")
    if not s1 <= s <= s2:
        raise ValueError(f"s: must lie in [s1, s2] = [{s1}, {s2}], got {s}")
