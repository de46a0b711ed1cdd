"""Ball arithmetic: what the rest of the package may call certified. The only file that touches python-flint.

A ball is a midpoint and a radius with the true value inside; every operation keeps it inside. Comparisons are true
only when certain. Bases are taken exactly: pass 10000, Fraction("1.5") or a float, which stands for its binary value.
"""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from flint import arb, arb_mat, ctx, fmpq
from jaxtyping import Complex, Float

from pi_theory.arguments import Number, check_base, check_head_dim
from pi_theory.interpolation import smallest_valid_head_dim

UNIT_ROUNDOFF = 2.0**-53
TABLE_ERROR = 2 * UNIT_ROUNDOFF  # of each complex entry of `phase_table`: two faithfully rounded components


@dataclass(frozen=True)
class Enclosure:
    """A real number known to lie in [lower, upper]; the ends are float64, rounded outwards."""

    lower: float
    upper: float

    @property
    def width(self) -> float:
        """upper - lower, in the unit of the number."""
        return self.upper - self.lower


def enclosure(ball: arb) -> Enclosure:
    """A float64 interval that holds the ball, its ends rounded outwards."""
    return Enclosure(
        math.nextafter(float(ball.lower()), -math.inf),
        math.nextafter(float(ball.upper()), math.inf),
    )


def exact(value: Number) -> arb:
    """The ball of an exactly given number."""
    ratio = Fraction(value)
    return arb(fmpq(ratio.numerator, ratio.denominator))


def theta_balls(head_dim: int, base: Number) -> list[arb]:
    """theta_j = base^(-2j/d) at the working precision."""
    log_c = exact(check_base(base)).log()
    return [(-2 * j * log_c / check_head_dim(head_dim)).exp() for j in range(head_dim // 2)]


def certified_frequencies(head_dim: int, base: Number) -> Float[np.ndarray, " half"]:
    """theta_j in float64, each within one unit in the last place."""
    with ctx.workprec(96):
        return np.array([float(theta) for theta in theta_balls(head_dim, base)])


def phase_table(positions: Sequence[Number], *, head_dim: int, base: Number) -> Complex[np.ndarray, "n half"]:
    """exp(i s theta_j) for exactly given positions s, each entry within `TABLE_ERROR` of the truth."""
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
    """B at an exactly given position, or over a ball of positions."""
    with ctx.workprec(bits):
        s = position if isinstance(position, arb) else exact(position)
        real = imag = total = arb(0)
        for theta in theta_balls(head_dim, base):
            sine, cosine = (s * theta).sin_cos()
            real, imag = real + cosine, imag + sine
            # the square is >= 0 even where its ball reaches below
            total += (real * real + imag * imag).nonnegative_part().sqrt()
        return total


def interval_ball(lower: Number, upper: Number) -> arb:
    """The ball that covers [lower, upper]."""
    return exact(lower).union(exact(upper))


def published_interpolation_ball(head_dim: int, base: Number, bits: int = 128) -> arb:
    """Theorem 2.1's right side at the midpoint of a unit interval, hmax = 1: d / (32 ln c)."""
    with ctx.workprec(bits):
        return arb(head_dim) / (32 * exact(base).log())


def taylor_interpolation_ball(head_dim: int, base: Number, bits: int = 128) -> arb:
    """The Taylor bound there: sum_j theta_j^2 / 8."""
    with ctx.workprec(bits):
        return _sum(theta * theta for theta in theta_balls(head_dim, base)) / 8


def sharp_interpolation_ball(head_dim: int, base: Number, bits: int = 128) -> arb:
    """The sharp bound there: sum_j (1 - cos(theta_j / 2)) = 2 sum_j sin^2(theta_j / 4)."""
    with ctx.workprec(bits):
        return 2 * _sum((theta / 4).sin() ** 2 for theta in theta_balls(head_dim, base))


def published_margin_ball(head_dim: int, base: Number, bits: int = 128) -> arb:
    """F(d, c) of `pi_theory.interpolation`: the sharp bound over the published one."""
    with ctx.workprec(bits):
        return sharp_interpolation_ball(head_dim, base, bits) / published_interpolation_ball(head_dim, base, bits)


def certify_smallest_valid_head_dim(base: Number) -> int:
    """`smallest_valid_head_dim`, with F <= 1 there and F > 1 one step below proved in balls.

    Raises:
        ArithmeticError: the two sides cannot be told apart from 1 at 1024 bits.
    """
    head_dim = smallest_valid_head_dim(base)
    for bits in (128, 256, 512, 1024):
        holds = published_margin_ball(head_dim, base, bits) <= 1
        fails = head_dim == 2 or published_margin_ball(head_dim - 2, base, bits) > 1
        if holds and fails:
            return head_dim
    raise ArithmeticError(f"F({head_dim}, {base}) is too near 1 to decide at 1024 bits")


@dataclass(frozen=True)
class ExactFit:
    """The exact least-squares fit on positions 0 .. L-1, seen at other positions, in balls."""

    values: list[arb]
    standard_deviations: list[arb]  # of each value when the fitted points are independent N(0, 1)
    bits: int


def exact_least_squares(
    points: Sequence[float] | Float[np.ndarray, " n"],
    positions: Sequence[int],
    *,
    head_dim: int,
    base: Number,
    digits: int,
) -> ExactFit:
    """Least squares of points[n], n = 0 .. L-1, by the functions cos(s theta_j), sin(s theta_j).

    The normal equations G w = X^T y are formed from closed-form sums and solved in balls, at a precision doubled
    until every value and standard deviation is known to ``digits`` significant digits. Positions must be integers.

    Raises:
        ValueError: fewer points than functions (the fit is not unique), or more digits than memory can hold.
        ArithmeticError: not enough digits at the largest precision that fits in memory.
    """
    if len(points) < head_dim:
        raise ValueError(f"window: {len(points)} points do not determine {head_dim} functions")
    limit = _largest_precision(head_dim)
    bits = 256 + math.ceil(digits * math.log2(10))
    if bits > limit:
        raise ValueError(f"digits: {digits} would need more memory than this machine has; at most {limit * 3 // 10}")
    while bits <= limit:
        with ctx.workprec(bits):
            fit = _solve_normal_equations(points, positions, head_dim, base)
        if fit is not None and all(
            x.rel_accuracy_bits() > digits * math.log2(10) for x in fit.values + fit.standard_deviations
        ):
            return fit
        bits *= 2
    raise ArithmeticError(f"fewer than {digits} digits certified at {limit} bits")


def _solve_normal_equations(
    points: Sequence[float] | Float[np.ndarray, " n"], positions: Sequence[int], head_dim: int, base: Number
) -> ExactFit | None:
    thetas = theta_balls(head_dim, base)
    half, window = len(thetas), len(points)
    weights = [exact(float(y)) for y in points]
    cosine_moments, sine_moments = [], []
    for theta in thetas:
        powers = _rotations(theta, window)
        cosine_moments.append(_dot(weights, [c for c, _ in powers]))
        sine_moments.append(_dot(weights, [s for _, s in powers]))

    gram = arb_mat(head_dim, head_dim)
    for i, p in enumerate(thetas):
        for j, q in enumerate(thetas[: i + 1]):
            cos_plus, sin_plus = _geometric_sums(p + q, window)
            cos_minus, sin_minus = _geometric_sums(p - q, window) if i != j else (arb(window), arb(0))
            gram[i, j] = gram[j, i] = (cos_minus + cos_plus) / 2
            gram[half + i, half + j] = gram[half + j, half + i] = (cos_minus - cos_plus) / 2
            # sum sin(n p) cos(n q) and the same with p and q exchanged
            gram[half + i, j] = gram[j, half + i] = (sin_plus + sin_minus) / 2
            gram[half + j, i] = gram[i, half + j] = (sin_plus - sin_minus) / 2

    rows = [[_rotation(theta, s) for theta in thetas] for s in positions]
    basis = arb_mat([[c for c, _ in row] + [s for _, s in row] for row in rows])
    moments = arb_mat(head_dim, 1, cosine_moments + sine_moments)
    try:
        solution = gram.solve(
            arb_mat([[moments[i, 0], *column] for i, column in enumerate(basis.transpose().tolist())])
        )
    except ZeroDivisionError:  # the ball matrix still contains a singular one
        return None
    table = solution.transpose().tolist()
    rows_of_basis = basis.tolist()
    return ExactFit(
        values=[_dot(table[0], row) for row in rows_of_basis],
        # Var = phi^T G^-1 (X^T X) G^-1 phi = phi^T G^-1 phi
        standard_deviations=[_dot(w, row).sqrt() for w, row in zip(table[1:], rows_of_basis, strict=True)],
        bits=ctx.prec,
    )


def _rotation(theta: arb, position: int | arb) -> tuple[arb, arb]:
    sine, cosine = (theta * position).sin_cos()
    return cosine, sine


def _rotations(theta: arb, count: int) -> list[tuple[arb, arb]]:
    """(cos, sin) of 0, theta, 2 theta, ...: n = stride a + b takes one rotation from two short tables.

    Rotating step by step would be shorter, but a rectangle grows by up to sqrt 2 in each rotation: half a bit a step.
    """
    stride = math.isqrt(count) + 1
    fine = [_rotation(theta, n) for n in range(stride)]
    coarse = [_rotation(theta, n) for n in range(0, count, stride)]
    out = [(c * cf - s * sf, s * cf + c * sf) for c, s in coarse for cf, sf in fine]
    return out[:count]


def _geometric_sums(angle: arb, count: int) -> tuple[arb, arb]:
    """sum_{n < count} cos(n angle) and of sin(n angle), angle not a multiple of 2 pi."""
    ratio = (angle * count / 2).sin() / (angle / 2).sin()
    sine, cosine = (angle * (count - 1) / 2).sin_cos()
    return ratio * cosine, ratio * sine


def _dot(x: Sequence[arb], y: Sequence[arb]) -> arb:
    return (arb_mat([list(x)]) * arb_mat([[value] for value in y]))[0, 0]


def _largest_precision(head_dim: int) -> int:
    """Bits at which the matrices of a solve fill a quarter of the machine's memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return memory // 4 * 8 // (4 * head_dim * head_dim)


class LinearProgramCertifier:
    """Checks solutions of max { v.x : |V x| <= 1, |x_i| <= hmax }, V the rows (cos n theta, sin n theta), n = 0 .. L.

    With x = (Re h, -Im h), V x are the scores at trained positions and v.x is the score at the target.
    """

    def __init__(self, *, head_dim: int, base: Number, window: int, bits: int = 128) -> None:
        self._bits = bits
        with ctx.workprec(bits):
            self._thetas = theta_balls(head_dim, base)
            columns = [_rotations(theta, window + 1) for theta in self._thetas]
            self._trained = arb_mat([[c for c, _ in row] + [s for _, s in row] for row in zip(*columns, strict=True)])

    def trained(self) -> Float[np.ndarray, "n d"]:
        """V in float64."""
        return np.array([[float(x) for x in row] for row in self._trained.tolist()])

    def row(self, position: Number, frequencies: Sequence[float] | None = None) -> list[arb]:
        """v at a position; frequencies are taken as exact float64 numbers, by default the theta_j themselves."""
        with ctx.workprec(self._bits):
            thetas = self._thetas if frequencies is None else [exact(float(f)) for f in frequencies]
            pairs = [_rotation(theta, exact(position)) for theta in thetas]
            return [c for c, _ in pairs] + [s for _, s in pairs]

    def upper_bound(self, target: Sequence[arb], weights: Float[np.ndarray, " n"], hmax: Number) -> Enclosure:
        """||y||_1 + hmax ||v - V^T y||_1, an upper bound of the maximum for whatever weights y.

        For every feasible x: v.x = y.(V x) + (v - V^T y).x.
        """
        with ctx.workprec(self._bits):
            y = arb_mat([[exact(float(w)) for w in weights]])
            fitted = (y * self._trained).tolist()[0]
            residual = _sum(abs(v - f) for v, f in zip(target, fitted, strict=True))
            return enclosure(_sum(abs(w) for w in y.tolist()[0]) + exact(hmax) * residual)

    def attained(self, target: Sequence[arb], x: Float[np.ndarray, " d"]) -> Enclosure:
        """v.x after x, which must lie in the box, is shrunk until it also meets |V x| <= 1."""
        with ctx.workprec(self._bits):
            column = [exact(float(value)) for value in x]
            scores = (self._trained * arb_mat([[value] for value in column])).entries()
            largest = arb(1)
            for value in scores:
                largest = largest.max(abs(value))
            return enclosure(_dot(target, column) / largest)


def _sum(balls: Iterable[arb]) -> arb:
    return sum(balls, arb(0))
