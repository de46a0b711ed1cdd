r"""How sharply a head can point at one place, and how much of that a scaling method leaves: the bend of its score.

A head reads the token at distance s and not its two neighbours only if its score has a peak there. The bend is how
far the score at s lies above the mean of the scores beside it,

    beta(s) = a(s) - (a(s - 1) + a(s + 1))/2 = Re sum_j h_j (1 - cos theta_j) exp(i s theta_j),

so that beta(s)/sqrt(d) is the log-odds of a key at s over the geometric mean of two keys of the same content beside it.
Three facts, proved in `pi_theory.proofs.prediction`, say how large it can be:

**Cap.** |beta(s)| <= sum_j |h_j| (1 - cos theta_j), and h_j = |h_j| exp(-i s theta_j) attains it (`bend_cap`).

**Sharp form of Nikol'skii and Stechkin.** If theta_0 <= pi is the fastest frequency, then
|beta(s)| <= (1 - cos theta_0) sup|a|, where the supremum is over all real distances. The score cos(s theta_0) attains
it. So a bend needs a score that is large somewhere, and not only large coefficients (`least_score`).

**Linear interpolation.** Dividing frequencies of at most 1 by a factor kappa multiplies the cap of every head by a
number from 1/kappa^2 to (1 - cos 1/kappa)/(1 - cos 1): `linear_cap_ratio`, which is 0.266, 0.068 and 0.017 for
kappa = 2, 4, 8. Both ends are attained or approached, by heads with one frequency. A method that keeps the fastest
frequencies keeps the caps of the heads that use them.

A method replaces theta_j by theta'_j and may multiply scores by a number t, as YaRN does
(`pi_theory.scaling.attention_factor` squared); both are counted here.

Sources: S. N. Bernstein; S. M. Nikol'skii 1948 and S. B. Stechkin 1948 (differences of functions of exponential type).
That interpolation makes neighbouring positions harder to tell apart is said by Xiong et al. 2023, arXiv:2309.16039
("granularity"), and Ma et al. 2024, arXiv:2406.09897 (3D-RPE, "resolution"); the caps and their ratios are ours.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Complex, Float

from pi_theory.arguments import Number, check_factor, check_positive
from pi_theory.rope import Reals, exp_i, frequencies
from pi_theory.scaling import Scaling, attention_factor, scaled_frequencies


def bend(
    h: Complex[np.ndarray, "*batch half"], distances: Reals, theta: Float[np.ndarray, " half"]
) -> Float[np.ndarray, "*batch"]:
    """Returns beta(s) = a(s) - (a(s - 1) + a(s + 1))/2 of each pair of a query and a key, before division by sqrt(d).

    Args:
        h: the coefficients of each pair, shape (..., d/2), as `pi_theory.rope.coefficients` makes them.
        distances: the distance s of each pair, a number or an array that broadcasts to shape (...).
        theta: the frequencies, shape (d/2,), in radians per position.

    >>> h, theta = np.array([1 + 0j]), frequencies(2, 10000)
    >>> round(float(bend(h, 0.0, theta)), 4)  # 1 - cos 1
    0.4597
    """
    phase = np.multiply.outer(np.asarray(distances, dtype=float), theta)
    return np.asarray((h * exp_i(phase)).real @ _versine(theta))


def bend_cap(h: Complex[np.ndarray, "*batch half"], theta: Float[np.ndarray, " half"]) -> Float[np.ndarray, "*batch"]:
    """Returns sum_j |h_j| (1 - cos theta_j), shape (...), the largest |beta(s)| of heads with these |h_j|."""
    return np.asarray(np.abs(h) @ _versine(theta))


def sharpest_head(distance: float, theta: Float[np.ndarray, " half"]) -> Complex[np.ndarray, " half"]:
    """Returns the h with all |h_j| = 1 whose bend at the distance is the cap: h_j = exp(-i s theta_j)."""
    return exp_i(-distance * theta)


def least_score(bend: float, theta: Float[np.ndarray, " half"], *, score_factor: float = 1.0) -> float:
    """Returns the smallest sup|a| over all distances of a head with this bend somewhere: |beta| / (1 - cos theta_0).

    Because sum_j |h_j| >= sup|a|, it is also the smallest sum_j |h_j|. Here theta_0 is the fastest frequency; a head
    that has only this one needs no more.

    Args:
        bend: beta, of either sign, in the unit of scores.
        theta: the frequencies, shape (d/2,), in radians per position, none above pi.
        score_factor: the number t by which a method multiplies scores.

    Raises:
        ValueError: a frequency is above pi, where bends are no longer those of neighbours, or the factor is not
            positive.
    """
    check_positive(score_factor, "score_factor")
    fastest = float(np.max(theta))
    if not 0 < fastest <= math.pi:
        raise ValueError(f"theta: the fastest frequency must lie in (0, pi], got {fastest}")
    return abs(bend) / (score_factor * float(_versine(np.array(fastest))))


def linear_cap_ratio(factor: Number) -> float:
    """Returns (1 - cos 1/kappa)/(1 - cos 1), what linear interpolation leaves at most of any head's cap.

    Raises:
        ValueError: the factor is not a finite number of at least 1.

    >>> [round(linear_cap_ratio(factor), 3) for factor in (2, 4, 8)]
    [0.266, 0.068, 0.017]
    """
    return (math.sin(0.5 / float(check_factor(factor))) / math.sin(0.5)) ** 2


@dataclass(frozen=True)
class Resolution:
    """What a method leaves of the caps of bends, as ratios of the cap after to the cap before.

    Attributes:
        fastest: the ratio of a head that uses the fastest frequency alone, which points the most sharply.
        flat: the ratio of a head with equal |h_j|.
        least: the smallest ratio of any head, whose |h_j| sit on the frequency that loses most.
        most: the largest ratio of any head.
        score_growth: by how much the score, and with it sum_j |h_j|, of a head on the fastest frequency must grow at
            least to have its cap again, be it by moving to another frequency.
    """

    fastest: float
    flat: float
    least: float
    most: float
    score_growth: float


def resolution(scaling: Scaling, *, head_dim: int, base: Number, window: int, context: int | None = None) -> Resolution:
    """Returns what a scaling method leaves of bends, from the configuration alone.

    Args:
        scaling: the method.
        head_dim: d, even, at least 2.
        base: c > 1.
        window: L, the trained window in tokens.
        context: the tokens in use, for dynamic NTK; ``factor * window`` if it is not given.

    Raises:
        ValueError: an argument is outside its domain.

    >>> from pi_theory.scaling import LinearPI, NTKAware
    >>> for method in (LinearPI(4.0), NTKAware(4.0)):
    ...     print(f"{resolution(method, head_dim=128, base=10000, window=4096).fastest:.3f}")
    0.068
    1.000
    """
    theta = frequencies(head_dim, base)
    scaled = scaled_frequencies(scaling, head_dim=head_dim, base=float(base), window=window, context=context)
    score_factor = attention_factor(scaling) ** 2
    before, after = _versine(theta), score_factor * _versine(scaled)
    # A quotient of sines neither cancels nor underflows where the versines of slow frequencies would.
    ratio = score_factor * (np.sin(scaled / 2) / np.sin(theta / 2)) ** 2
    return Resolution(
        fastest=float(ratio[0]),
        flat=float(after.sum() / before.sum()),
        least=float(ratio.min()),
        most=float(ratio.max()),
        score_growth=least_score(float(before[0]), scaled, score_factor=score_factor),
    )


def _versine(theta: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Returns 1 - cos theta without cancellation."""
    return np.asarray(2 * np.sin(theta / 2) ** 2)
