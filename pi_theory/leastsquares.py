"""The paper's Fig. 2 experiment: random points on 0 .. L-1 fitted by the d functions cos(s theta_j), sin(s theta_j).

The design matrix is so ill-conditioned that what comes out beyond L is decided by the arithmetic, not by the data:
each method here solves the same least-squares problem, and they differ by tens of orders of magnitude out there.
`pi_theory.certified.balls.exact_least_squares` gives the true solution. Source: Chen et al. 2023, Section 2.4 and
Appendix C.1 (float32 normal equations).
"""

from enum import StrEnum

import numpy as np
from jaxtyping import Complex, Float

from pi_theory.arguments import Number, check_count, check_positive
from pi_theory.rope import Reals, frequencies, score


class Arithmetic(StrEnum):
    """How a least-squares problem is solved in floating point."""

    FLOAT32_NORMAL = "float32 normal equations"  # the paper's way
    FLOAT64_NORMAL = "float64 normal equations"
    FLOAT64_SVD = "float64 SVD"


def random_points(window: int, seed: int) -> Float[np.ndarray, " window"]:
    """Independent N(0, 1) values at s = 0 .. window - 1."""
    return np.random.default_rng(seed).standard_normal(check_count(window))


def fit(
    points: Float[np.ndarray, " window"],
    *,
    head_dim: int,
    base: Number,
    arithmetic: Arithmetic = Arithmetic.FLOAT64_SVD,
    ridge: float = 0.0,
) -> Complex[np.ndarray, " half"]:
    """h for which a(s) fits points[s], s = 0, 1, ...: minimises sum |a(s) - points[s]|^2 + ridge sum |h_j|^2.

    Args:
        points: shape (L,), L >= head_dim.
        head_dim, base: d and c.
        arithmetic: how it is solved. With ridge > 0 the SVD solves the penalised problem, accurately.
        ridge: >= 0.

    Raises:
        ValueError: an argument outside its domain, or fewer points than functions.
    """
    theta = frequencies(head_dim, base)
    if ridge:
        check_positive(ridge, "ridge")
    if points.size < head_dim:
        raise ValueError(f"window: {points.size} points do not determine {head_dim} functions")
    dtype: type[np.floating] = np.float32 if arithmetic is Arithmetic.FLOAT32_NORMAL else np.float64
    phase = np.multiply.outer(np.arange(points.size, dtype=dtype), theta.astype(dtype))
    design = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
    y = points.astype(dtype)
    if arithmetic is Arithmetic.FLOAT64_SVD:
        u, sigma, vt = np.linalg.svd(design, full_matrices=False)
        # singular values below rounding level carry no information; lstsq drops them as well
        keep = sigma > sigma[0] * np.finfo(dtype).eps * max(design.shape) if not ridge else np.full(sigma.size, True)
        gains = sigma[keep] / (sigma[keep] ** 2 + ridge)
        w = vt[keep].T @ (gains * (u[:, keep].T @ y))
    else:
        gram = design.T @ design + (ridge * np.eye(head_dim)).astype(dtype)
        w = np.linalg.solve(gram, design.T @ y)
    half = head_dim // 2
    return w[:half].astype(float) - 1j * w[half:].astype(float)


def evaluate(h: Complex[np.ndarray, " half"], positions: Reals, *, base: Number) -> Float[np.ndarray, "..."]:
    """The fitted curve a(s), in float64."""
    return score(h, positions, frequencies(2 * h.size, base))


def ridge_bound(points: Float[np.ndarray, " window"], ridge: float, head_dim: int) -> float:
    """An upper bound of the ridge fit at every real s: sqrt(d/2) ||points|| / (2 sqrt(ridge)).

    |a(s)| <= ||phi(s)|| ||w||; phi(s) = (cos s theta_j, sin s theta_j) has norm sqrt(d/2), and w = sum over singular
    values of sigma/(sigma^2 + ridge) <= 1/(2 sqrt(ridge)) times orthogonal components of the points.
    """
    check_positive(ridge, "ridge")
    return float(np.sqrt(head_dim / 2) * np.linalg.norm(points) / (2 * np.sqrt(ridge)))
