r"""How far a score between and beyond trained positions can exceed its values at them.

**Stability theorem.** Let f be real on the line with f(x) = int exp(i w x) dmu(w), mu a finite measure on [-t, t],
t < pi; every score a(s) is such a function with t = theta_0 = 1. Then

    sup over reals of |f|  <=  sec(t/2)  sup over integers of |f|.

For scores the constant is sec(1/2) = 1.1395, whatever d, c and h: interpolation cannot make a score explode.
Proof, in three steps; step 1 is checked algebraically by `pi_theory.proofs`.

1. For every real alpha, writing x_k = x + (k pi - alpha)/t,
   f'(x) sin(alpha) - t f(x) cos(alpha) = -t sum_k (-1)^k sin^2(alpha)/(alpha - k pi)^2 f(x_k).
   For f = exp(i w x) this is the Fourier series, on |w| <= t, of a continuous function; integrate over mu.
   The coefficients' absolute values sum to t (partial fractions of 1/sin^2), so with M = sup |f| and the best alpha
   f'^2 + t^2 f^2 <= t^2 M^2 (the Bernstein-Szego inequality).
2. Hence arccos(f/M) has slope at most t wherever |f| < M. Unless f is constant, where there is nothing to prove, the
   points with |f| = M are isolated, because f is entire; so arccos(f/M), continuous there, is t-Lipschitz on the line.
3. Given e > 0 take x with |f(x)| >= M - e, say f(x) > 0, and the integer n nearest to it: arccos(f(n)/M) <=
   arccos(1 - e/M) + t/2 < pi. So sup|f(n)| >= M cos(t/2 + arccos(1 - e/M)); let e -> 0. QED

Sources: step 1, M. Riesz 1914, Duffin and Schaeffer 1938; step 2 with a maximum at x, M. Riesz's comparison with a
cosine; a bound of this kind, Cartwright's theorem (Boas 1954, chapter 10).

**Finite windows.** A model has seen n = 0 .. L only. If |a(n)| <= 1 there and sum_j |h_j| <= S with S >= e, then at
distance D = min(s, L - s) + 1 from the nearest unseen integer (`window_bound`)

    |a(s)| <= sec((1 + r)/2),      r = e ceil(ln S) / D,      provided 1 + r < pi.

Proof: m = ceil(ln S); g(x) = a(x) (sin(y)/y)^m with y = r (x - s)/m satisfies the theorem's hypothesis with
t = 1 + r, and g(s) = a(s). At trained n, |g(n)| <= 1; at the others |y| >= r D / m = e, so |g(n)| <= S e^-m <= 1. QED
So it takes only a logarithmic distance from the window's ends for interpolation to be safe for every head.

**Nothing of the kind holds beyond the window**, nor for frequencies that leave the curve s -> (s theta_j)_j: there the
worst case is a linear program, `FiniteWindow`, whose value grows with the coefficients allowed.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Complex, Float
from scipy.optimize import linprog

from pi_theory.arguments import Number, check_count, check_finite, check_positive
from pi_theory.certified.linear_program import LinearProgramCertifier
from pi_theory.scaling import LinearPI, NoScaling, Scaling, scaled_frequencies


def stability_constant(theta_max: float = 1.0) -> float:
    """sec(theta_max / 2), the constant of the stability theorem.

    Raises:
        ValueError: theta_max negative or >= pi, where integers no longer determine the function.

    >>> round(stability_constant(), 4)
    1.1395
    """
    check_finite(theta_max, "theta_max")
    if not 0 <= theta_max < math.pi:
        raise ValueError(f"theta_max: must lie in [0, pi), got {theta_max}")
    return 1 / math.cos(theta_max / 2)


def window_bound(position: float, window: int, coefficient_sum: float) -> float:
    """The finite-window theorem: an upper bound of |a(s)| when |a(n)| <= 1 at n = 0 .. window.

    Args:
        position: s in [0, window].
        window: L.
        coefficient_sum: an upper bound of sum_j |h_j|.

    Returns:
        sec((1 + r)/2) with r = e ceil(ln S)/D, or ``coefficient_sum`` where that is less or 1 + r >= pi.
    """
    check_count(window)
    check_positive(coefficient_sum, "coefficient_sum")
    if not 0 <= position <= window:
        raise ValueError(f"position: must lie in [0, {window}], got {position}")
    distance = min(position, window - position) + 1
    spread = 1 + math.e * max(1, math.ceil(math.log(coefficient_sum))) / distance
    return min(coefficient_sum, stability_constant(spread)) if spread < math.pi else coefficient_sum


@dataclass(frozen=True)
class WorstCase:
    """The largest score at one position among all heads that behave at trained positions."""

    position: float  # as asked for, before scaling
    value: float  # attained by `h`, checked in balls
    upper_bound: float  # no feasible h exceeds it, checked in balls
    h: Complex[np.ndarray, " half"]


class FiniteWindow:
    """max a'(s) over h with |a(n)| <= 1 for n = 0 .. L and |Re h_j|, |Im h_j| <= hmax.

    a is the score with trained frequencies and a' the one that the scaling method computes at relative position s of
    the extended window, without YaRN's attention factor, which multiplies all scores alike. The linear program is
    solved by HiGHS in float64; both its sides are then checked in ball arithmetic, so `WorstCase` holds whatever the
    solver did. The scaled frequencies of methods other than linear are taken to be the float64 values of
    `scaled_frequencies`.

    Raises:
        ValueError: an argument outside its domain.
    """

    def __init__(self, *, head_dim: int, base: Number, window: int, scaling: Scaling) -> None:
        check_count(window)
        self.window = window
        self.scaling = scaling
        self._frequencies = scaled_frequencies(scaling, head_dim=head_dim, base=float(base), window=window)
        self._certifier = LinearProgramCertifier(head_dim=head_dim, base=base, window=window)
        trained = self._certifier.trained()
        # The dual: min ||y||_1 + hmax ||z||_1 with V^T y + z = v, each of y and z split into its signs.
        identity = np.eye(head_dim)
        self._dual_matrix = np.hstack([trained.T, -trained.T, identity, -identity])

    def worst_case(self, position: float, hmax: float) -> WorstCase:
        """The worst case at relative position ``position`` of the extended window, any real number."""
        check_finite(position, "position")
        check_positive(hmax, "hmax")
        certifier = self._certifier
        match self.scaling:
            case NoScaling():
                target = certifier.row(position)
            case LinearPI(factor=factor):
                target = certifier.row(Fraction(position) / Fraction(factor))
            case _:
                target = certifier.row(position, self._frequencies.tolist())
        v = np.array([float(x) for x in target])
        d, n = v.size, self.window + 1
        cost = np.concatenate([np.ones(2 * n), np.full(2 * d, hmax)])
        best: WorstCase | None = None
        # Simplex is several times faster; where its tolerance leaves a gap, the interior point method closes it.
        for method in ("highs-ds", "highs-ipm"):
            solution = linprog(cost, A_eq=self._dual_matrix, b_eq=v, method=method)
            if solution.x is None:
                continue
            weights = solution.x[:n] - solution.x[n : 2 * n]
            x = np.clip(solution.eqlin.marginals, -hmax, hmax)
            case = WorstCase(
                position=float(position),
                value=certifier.attained(target, x).lower,
                upper_bound=certifier.upper_bound(target, weights, hmax).upper,
                h=x[: d // 2] - 1j * x[d // 2 :],
            )
            if best is None or _gap(case) < _gap(best):
                best = case
            if _gap(best) < 1e-5:
                break
        if best is None:
            raise ArithmeticError(f"HiGHS found no solution at position {position}: {solution.message}")
        return best

    def profile(self, positions: Iterable[float], hmax: float) -> list[WorstCase]:
        """`worst_case` at each position."""
        return [self.worst_case(position, hmax) for position in positions]


def study_positions(window: int, factor: float, count: int = 24) -> Float[np.ndarray, " n"]:
    """``count`` integers evenly spread over [1, factor * window], and the half-integers just below them.

    Integers are what a model asks for; half-integers are the hardest real positions inside the window.
    """
    last = max(1, math.floor(factor * check_count(window)))
    integers = np.unique(np.round(np.linspace(1, last, count)))
    return np.sort(np.concatenate([integers - 0.5, integers]))


def _gap(case: WorstCase) -> float:
    return (case.upper_bound - case.value) / case.upper_bound
