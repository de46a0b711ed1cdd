r"""How far a score between and beyond trained positions can exceed its values at them.

**Stability theorem.** Let f be a real function with f(x) = int exp(i w x) dmu(w) for a finite measure mu on [-t, t]
with t < pi. Every score a(s) is such a function, with t = theta_0 = 1. Then

    sup over reals of |f|  <=  sec(t/2)  sup over integers of |f|.

For scores the constant is sec(1/2) = 1.1395, whatever d, c and h: interpolation cannot make a score explode.

The proof has three steps; the algebra of step 1 is verified by `pi_theory.proofs`.

1. For every real alpha, writing x_k = x + (k pi - alpha)/t,
   f'(x) sin(alpha) - t f(x) cos(alpha) = -t sum_k (-1)^k sin^2(alpha)/(alpha - k pi)^2 f(x_k).
   For f = exp(i w x) this is the Fourier series, on |w| <= t, of a continuous function; integrate over mu.
   The absolute values of the coefficients sum to t (partial fractions of 1/sin^2). So with M = sup |f| and the best
   alpha, f'^2 + t^2 f^2 <= t^2 M^2, which is the Bernstein-Szego inequality.
2. Hence arccos(f/M) has slope at most t wherever |f| < M. Unless f is constant, where there is nothing to prove, the
   points with |f| = M are isolated, because f is entire; so arccos(f/M), continuous there, is t-Lipschitz on the line.
3. Given e > 0 take x with |f(x)| >= M - e, say f(x) > 0, and the integer n nearest to it: arccos(f(n)/M) <=
   arccos(1 - e/M) + t/2 < pi. So sup|f(n)| >= M cos(t/2 + arccos(1 - e/M)); let e -> 0. QED

Sources: step 1 is due to M. Riesz 1914 and to Duffin and Schaeffer 1938; step 2, with a maximum at x, is M. Riesz's
comparison with a cosine. A bound of this kind is Cartwright's theorem (Boas 1954, chapter 10).

**Finite windows.** A model trained on windows of L tokens has seen the distances n = 0 .. L - 1 only. Suppose
|a(n)| <= 1 there and sum_j |h_j| <= S with S >= e. Then at a distance s in [0, L - 1], which is
D = min(s, L - 1 - s) + 1 away from the nearest unseen integer,

    |a(s)| <= sec((1 + r)/2),      r = e ceil(ln S) / D,      provided 1 + r < pi.

Proof: m = ceil(ln S); g(x) = a(x) (sin(y)/y)^m with y = r (x - s)/m satisfies the theorem's hypothesis with
t = 1 + r, and g(s) = a(s). At trained n, |g(n)| <= 1; at the others |y| >= r D / m = e, so |g(n)| <= S e^-m <= 1. QED
This bound is `window_bound`. So a distance from the window's ends that is logarithmic in S is enough to make
interpolation safe for every head.

**Published Position Interpolation leaves the window.** On L' = kappa L tokens it divides the distances 0 .. L' - 1 by
kappa. The largest becomes L - 1/kappa, which is 1 - 1/kappa of a position beyond the last trained distance L - 1, and
nothing bounds the score there but the size of h. Dividing by (L' - 1)/(L - 1) instead keeps all distances within
[0, L - 1] (`whole_factor`), so that the theorem speaks of them all.

**Nothing of the kind holds beyond the window**, nor for scaling methods whose phases leave the curve s -> (s theta_j).
There the worst case is the value of a linear program, `FiniteWindow`, and it grows with the coefficients allowed.
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
    """Returns sec(theta_max / 2), the constant of the stability theorem.

    Args:
        theta_max: the largest frequency, in radians per position; 1 for every score with unscaled frequencies.

    Raises:
        ValueError: theta_max is negative, or at least pi, where integers no longer determine the function.

    >>> round(stability_constant(), 4)
    1.1395
    """
    check_finite(theta_max, "theta_max")
    if not 0 <= theta_max < math.pi:
        raise ValueError(f"theta_max: must lie in [0, pi), got {theta_max}")
    return 1 / math.cos(theta_max / 2)


def window_bound(position: float, window: int, coefficient_sum: float) -> float:
    """Returns the bound of |a(s)| in the finite-window theorem, for scores with |a(n)| <= 1 at n = 0 .. window - 1.

    Args:
        position: s in [0, window - 1].
        window: L, the trained window in tokens.
        coefficient_sum: S, an upper bound of sum_j |h_j|.

    Returns:
        sec((1 + r)/2) with r = e ceil(ln S)/D, or S itself where S is smaller or 1 + r >= pi.

    Raises:
        ValueError: an argument is outside its domain.
    """
    check_count(window)
    check_positive(coefficient_sum, "coefficient_sum")
    last = window - 1
    if not 0 <= position <= last:
        raise ValueError(f"position: must lie in [0, {last}], got {position}")
    distance = min(position, last - position) + 1
    spread = 1 + math.e * max(1, math.ceil(math.log(coefficient_sum))) / distance
    return min(coefficient_sum, stability_constant(spread)) if spread < math.pi else coefficient_sum


@dataclass(frozen=True)
class WorstCase:
    """The largest score at one position among all heads whose scores are at most 1 at trained positions."""

    position: float  # the relative position asked for, before scaling
    value: float  # a score that some admissible h certainly attains there
    upper_bound: float  # a score that certainly no admissible h exceeds there
    h: Complex[np.ndarray, " half"]  # attains `value` after division by its largest trained score, if that exceeds 1


class FiniteWindow:
    """The linear program that finds the worst head of a finite window.

    It maximises a'(s) over all h with |a(n)| <= 1 at the trained distances n = 0 .. L - 1 and |Re h_j|, |Im h_j| <=
    hmax. Here a is the score with the trained frequencies, and a' the score that the scaling method computes at
    distance s of the extended window. YaRN's attention factor is left out, because it multiplies all scores alike.

    HiGHS solves the program in float64. Both sides of its solution are then checked in ball arithmetic, so that a
    `WorstCase` is certain whatever the solver did. For methods other than `LinearPI`, the scaled frequencies are taken
    to be exactly the float64 values of `scaled_frequencies`.

    Args:
        head_dim: d, even, at least 2.
        base: c > 1, taken exactly.
        window: L, the trained window in tokens.
        scaling: the method that the extended window uses; `NoScaling` is extrapolation.

    Raises:
        ValueError: an argument is outside its domain.
    """

    def __init__(self, *, head_dim: int, base: Number, window: int, scaling: Scaling) -> None:
        check_count(window)
        self.window = window
        self.scaling = scaling
        self._frequencies = scaled_frequencies(scaling, head_dim=head_dim, base=float(base), window=window)
        self._certifier = LinearProgramCertifier(head_dim=head_dim, base=base, window=window)
        trained = self._certifier.trained()
        # The dual program is min ||y||_1 + hmax ||z||_1 with V^T y + z = v; y and z are split by sign.
        identity = np.eye(head_dim)
        self._dual_matrix = np.hstack([trained.T, -trained.T, identity, -identity])

    def worst_case(self, position: float, hmax: float) -> WorstCase:
        """Returns the worst case at one relative position of the extended window.

        Args:
            position: s, any real number.
            hmax: the bound of all |Re h_j| and |Im h_j|, above 0.

        Raises:
            ValueError: an argument is outside its domain.
            ArithmeticError: the solver found no solution.
        """
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
        d, n = v.size, self.window
        cost = np.concatenate([np.ones(2 * n), np.full(2 * d, hmax)])
        best: WorstCase | None = None
        # The simplex method is several times faster; the interior point method closes the gaps that it leaves.
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
            raise ArithmeticError(
                f"position: HiGHS solved no program at {position}; try another hmax ({solution.message})"
            )
        return best

    def profile(self, positions: Iterable[float], hmax: float) -> list[WorstCase]:
        """Returns the `worst_case` at each of the positions."""
        return [self.worst_case(position, hmax) for position in positions]


def whole_factor(window: int, extended: int) -> Fraction:
    """Returns (L' - 1)/(L - 1), the factor by which PI keeps every distance of L' tokens in the trained range.

    Raises:
        ValueError: the window is not an integer of at least 2, or the extended one is shorter.

    >>> whole_factor(512, 1024)
    Fraction(1023, 511)
    """
    if check_count(window) < 2:
        raise ValueError(f"window: must be an integer >= 2, got {window}")
    if check_count(extended, "extended") < window:
        raise ValueError(f"extended: must be at least the window, {window}, got {extended}")
    return Fraction(extended - 1, window - 1)


def study_positions(window: int, factor: float, count: int = 24) -> Float[np.ndarray, " n"]:
    """Returns ``count`` integers spread evenly over 1 .. factor * window - 1, and the half-integers just below.

    Integers are the distances that a model asks for; the last of them is the largest in the extended window.
    Half-integers are the hardest real positions inside the trained window.

    Raises:
        ValueError: window is not an integer of at least 1.
    """
    last = math.floor(factor * check_count(window)) - 1
    if last < 1:
        return np.zeros(1)
    integers = np.unique(np.round(np.linspace(1, last, count)))
    return np.sort(np.concatenate([integers - 0.5, integers]))


def _gap(case: WorstCase) -> float:
    """Returns how far apart the two certified values are, relative to the larger one."""
    return (case.upper_bound - case.value) / case.upper_bound
