"""The experiment of the paper's Fig. 2: random points on 0 .. L-1, fitted by the d functions that make up a score.

The functions are cos(s theta_j) and sin(s theta_j). The paper fits them inside the window by least squares and shows
how large the curve becomes beyond it. But the problem is so ill-conditioned that the arithmetic decides, not the data:
each method here solves the same least-squares problem, and beyond the window they differ by tens of orders of
magnitude. `pi_theory.certified.least_squares.exact_least_squares` gives the true solution.

Source: Chen et al. 2023, arXiv:2306.15595, Section 2.4 and Appendix C.1, which uses float32 normal equations.
"""

from enum import StrEnum

import numpy as np
from jaxtyping import Complex, Float

from pi_theory.arguments import Number, check_count, check_positive
from pi_theory.rope import Reals, frequencies, score


class Arithmetic(StrEnum):
    """The ways to solve a least-squares problem in floating point that `fit` offers."""

    FLOAT32_NORMAL = "float32 normal equations"  # the paper's way
    FLOAT64_NORMAL = "float64 normal equations"
    FLOAT64_SVD = "float64 SVD"


def random_points(window: int, seed: int) -> Float[np.ndarray, " window"]:
    """Returns independent N(0, 1) values for the positions 0 .. window - 1, the same for the same seed."""
    return np.random.default_rng(seed).standard_normal(check_count(window))


def fit(
    points: Float[np.ndarray, " window"],
    *,
    head_dim: int,
    base: Number,
    arithmetic: Arithmetic = Arithmetic.FLOAT64_SVD,
    ridge: float = 0.0,
) -> Complex[np.ndarray, " half"]:
    """Fits a score to values at the positions 0 .. L-1 and returns its coefficients h, shape (d/2,).

    The coefficients minimise sum_s |a(s) - points[s]|^2 + ridge sum_j |h_j|^2.

    Args:
        points: the values to fit, shape (L,), with L >= head_dim.
        head_dim: d, even, at least 2.
        base: c > 1.
        arithmetic: how the problem is solved. With ridge > 0 the SVD solves it accurately.
        ridge: the penalty rho >= 0; 0 is plain least squares, as in the paper.

    Raises:
        ValueError: an argument is outside its domain, or there are fewer points than functions.
        numpy.linalg.LinAlgError: the normal equations are singular in the arithmetic chosen.
    """
    theta = frequencies(head_dim, base)
    if ridge:
        check_positive(ridge, "ridge")
    if points.size < head_dim:
        raise ValueError(
            f"window: {points.size} points do not determine {head_dim} functions; give at least {head_dim}"
        )
    dtype: type[np.floating] = np.float32 if arithmetic is Arithmetic.FLOAT32_NORMAL else np.float64
    phase = np.multiply.outer(np.arange(points.size, dtype=dtype), theta.astype(dtype))
    design = np.concatenate([np.cos(phase), np.sin(phase)], axis=1)
    y = points.astype(dtype)
    if arithmetic is Arithmetic.FLOAT64_SVD:
        u, sigma, vt = np.linalg.svd(design, full_matrices=False)
        # Singular values below the level of rounding carry no information, so they are dropped, as NumPy's lstsq does.
        keep = sigma > sigma[0] * np.finfo(dtype).eps * max(design.shape) if not ridge else np.full(sigma.size, True)
        gains = sigma[keep] / (sigma[keep] ** 2 + ridge)
        w = vt[keep].T @ (gains * (u[:, keep].T @ y))
    else:
        gram = design.T @ design + (ridge * np.eye(head_dim)).astype(dtype)
        w = np.linalg.solve(gram, design.T @ y)
    half = head_dim // 2
    return w[:half].astype(float) - 1j * w[half:].astype(float)


def evaluate(h: Complex[np.ndarray, " half"], positions: Reals, *, base: Number) -> Float[np.ndarray, "..."]:
    """Returns the fitted curve a(s) in float64, in the shape of ``positions``, for coefficients h of shape (d/2,)."""
    return score(h, positions, frequencies(2 * h.size, base))


def ridge_bound(points: Float[np.ndarray, " window"], ridge: float, head_dim: int) -> float:
    """Returns sqrt(d/2) ||points|| / (2 sqrt(ridge)), which bounds the ridge fit |a(s)| at every real s.

    The reason is that |a(s)| <= ||phi(s)|| ||w||, where the row phi(s) = (cos s theta_j, sin s theta_j) has norm
    sqrt(d/2). The weights w are orthogonal components of the points, each multiplied by sigma/(sigma^2 + ridge) for a
    singular value sigma, which is at most 1/(2 sqrt(ridge)).

    Raises:
        ValueError: ridge is not a finite number above 0.
    """
    check_positive(ridge, "ridge")
    return float(np.sqrt(head_dim / 2) * np.linalg.norm(points) / (2 * np.sqrt(ridge)))
