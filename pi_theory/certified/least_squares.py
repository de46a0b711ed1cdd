"""The exact least-squares fit behind Fig. 2 of the paper, solved in ball arithmetic.

The design matrix is so ill-conditioned that float32 and float64 give curves which have little to do with the
least-squares solution (`pi_theory.leastsquares`). Here the precision is raised until the digits asked for are certain.
"""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from flint import arb, arb_mat, ctx
from jaxtyping import Float

from pi_theory.arguments import Number
from pi_theory.certified.balls import dot_product, exact, rotation, rotations, theta_balls

_LONGEST = 3600.0  # seconds that one solve may take


@dataclass(frozen=True)
class ExactFit:
    """The exact least-squares curve at the positions asked for, as balls."""

    values: list[arb]  # a(s) at each position
    standard_deviations: list[arb]  # those of a(s) when the fitted points are independent N(0, 1)
    bits: int  # the precision that was needed


def exact_least_squares(
    points: Sequence[float] | Float[np.ndarray, " n"],
    positions: Sequence[int],
    *,
    head_dim: int,
    base: Number,
    digits: int,
) -> ExactFit:
    """Fits points[n] at n = 0 .. L-1 by the functions cos(s theta_j), sin(s theta_j) and returns the curve, certified.

    The normal equations G w = X^T y are formed from closed-form sums and solved in balls. The precision is doubled
    until every value and every standard deviation is known to ``digits`` significant digits.

    Args:
        points: the values to fit, shape (L,), with L >= head_dim. Floats are taken exactly.
        positions: the integers s at which the fitted curve is wanted.
        head_dim: d, the number of functions.
        base: c > 1, taken exactly.
        digits: significant decimal digits to certify.

    Raises:
        ValueError: fewer points than functions (the fit is not unique), or more digits than memory can hold.
        ArithmeticError: not enough digits at the largest precision that fits in memory.

    Source: Chen et al. 2023, arXiv:2306.15595, Section 2.4 and Fig. 2.
    """
    if len(points) < head_dim:
        raise ValueError(
            f"window: {len(points)} points do not determine {head_dim} functions; give at least {head_dim}"
        )
    limit = _largest_precision(head_dim)
    bits = _first_bits(digits)
    if bits > limit:
        raise ValueError(f"digits: {digits} need more memory than this machine has; ask for at most {limit * 3 // 10}")
    while bits <= limit and _seconds(bits, head_dim, len(points)) < _LONGEST:
        with ctx.workprec(bits):
            fit = _solve_normal_equations(points, positions, head_dim, base)
        if fit is not None and all(
            x.rel_accuracy_bits() > digits * math.log2(10) for x in fit.values + fit.standard_deviations
        ):
            return fit
        bits *= 2
    raise ArithmeticError(
        f"digits: {digits} were not reached at {bits // 2} bits, and more take too long; ask for fewer"
    )


def exact_seconds(digits: int, *, head_dim: int, window: int) -> float:
    """Returns about how long `exact_least_squares` takes for so many digits, at least."""
    return _seconds(_first_bits(digits), head_dim, window)


def _first_bits(digits: int) -> int:
    return 256 + math.ceil(digits * math.log2(10))


def _seconds(bits: int, head_dim: int, window: int) -> float:
    # Measured: two nanoseconds for each bit of each operation, and more than that for many bits.
    return 2e-9 * (head_dim**3 + 4 * head_dim * window + 30 * head_dim**2) * bits * (1 + bits / 30_000)


def _solve_normal_equations(
    points: Sequence[float] | Float[np.ndarray, " n"], positions: Sequence[int], head_dim: int, base: Number
) -> ExactFit | None:
    thetas = theta_balls(head_dim, base)
    half, window = len(thetas), len(points)
    weights = [exact(float(y)) for y in points]
    cosine_moments, sine_moments = [], []
    for theta in thetas:
        powers = rotations(theta, window)
        cosine_moments.append(dot_product(weights, [c for c, _ in powers]))
        sine_moments.append(dot_product(weights, [s for _, s in powers]))

    gram = arb_mat(head_dim, head_dim)
    for i, p in enumerate(thetas):
        for j, q in enumerate(thetas[: i + 1]):
            cos_plus, sin_plus = _geometric_sums(p + q, window)
            cos_minus, sin_minus = _geometric_sums(p - q, window) if i != j else (arb(window), arb(0))
            gram[i, j] = gram[j, i] = (cos_minus + cos_plus) / 2
            gram[half + i, half + j] = gram[half + j, half + i] = (cos_minus - cos_plus) / 2
            # These are sum_n sin(n p) cos(n q), and the same with p and q exchanged.
            gram[half + i, j] = gram[j, half + i] = (sin_plus + sin_minus) / 2
            gram[half + j, i] = gram[i, half + j] = (sin_plus - sin_minus) / 2

    rows = [[rotation(theta, s) for theta in thetas] for s in positions]
    basis = arb_mat([[c for c, _ in row] + [s for _, s in row] for row in rows])
    moments = arb_mat(head_dim, 1, cosine_moments + sine_moments)
    try:
        solution = gram.solve(
            arb_mat([[moments[i, 0], *column] for i, column in enumerate(basis.transpose().tolist())])
        )
    except ZeroDivisionError:  # at this precision the ball of matrices still contains a singular one
        return None
    table = solution.transpose().tolist()
    rows_of_basis = basis.tolist()
    return ExactFit(
        values=[dot_product(table[0], row) for row in rows_of_basis],
        # With phi the functions at s, Var a(s) = phi^T G^-1 (X^T X) G^-1 phi = phi^T G^-1 phi.
        standard_deviations=[dot_product(w, row).sqrt() for w, row in zip(table[1:], rows_of_basis, strict=True)],
        bits=ctx.prec,
    )


def _geometric_sums(angle: arb, count: int) -> tuple[arb, arb]:
    """Returns the sums of cos(n angle) and of sin(n angle) over n < count; angle must be no multiple of 2 pi."""
    ratio = (angle * count / 2).sin() / (angle / 2).sin()
    sine, cosine = (angle * (count - 1) / 2).sin_cos()
    return ratio * cosine, ratio * sine


def _largest_precision(head_dim: int) -> int:
    """Returns the precision in bits at which the matrices of a solve fill a quarter of the machine's memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return memory // 4 * 8 // (4 * head_dim * head_dim)
