"""Rotary position embedding as the paper writes it: frequencies, coefficients h, score a(s), partial sums A_k(s).

A query q at position m and a key k at position n, both of even dimension d, are rotated pair by pair and multiplied.
The result, their attention score, depends on the positions only through the distance s = m - n:

    a(s) = Re sum_{j < d/2} h_j exp(i s theta_j),     theta_j = c^(-2j/d),     h_j = q_j conj(k_j)

where q_j and k_j are the j-th pairs of components read as complex numbers and c is the base, 10000 in LLaMA. Scores
here are taken before the division by sqrt(d).

Code bases differ in which components form a pair, so that the pairing is an argument wherever it matters:
"interleaved" pairs (2j, 2j + 1), as the paper and Meta's LLaMA do, and "half" pairs (j, j + d/2), as rotate-half in
Hugging Face transformers does.

Sources: Su et al. 2021, arXiv:2104.09864; Chen et al. 2023, arXiv:2306.15595, Eq. 3.
"""

from typing import Literal

import numpy as np
from jaxtyping import Complex, Float, Int

from pi_theory.arguments import Number, check_base, check_head_dim

Pairing = Literal["interleaved", "half"]
"""Which components form a pair: (2j, 2j + 1) if interleaved, (j, j + d/2) if half."""
Reals = float | Float[np.ndarray, "..."] | Int[np.ndarray, "..."]


def frequencies(head_dim: int, base: Number) -> Float[np.ndarray, " half"]:
    """Returns theta_j = base^(-2j / head_dim) in radians per position, shape (head_dim / 2,).

    The first, theta_0 = 1, is the fastest.

    Raises:
        ValueError: head_dim is odd or below 2, or base is not a finite number above 1.

    >>> frequencies(4, 10000).tolist()
    [1.0, 0.01]
    """
    check_head_dim(head_dim)
    check_base(base)
    return float(base) ** (-np.arange(0, head_dim, 2) / head_dim)


def coefficients(
    query: Float[np.ndarray, "*batch d"], key: Float[np.ndarray, "*batch d"], pairing: Pairing
) -> Complex[np.ndarray, "*batch half"]:
    """Returns h_j = q_j conj(k_j), shape (..., d/2), from queries and keys of shape (..., d) before their rotation.

    Raises:
        ValueError: d is odd, the two shapes differ, or the pairing is unknown.
    """
    if query.shape != key.shape:
        raise ValueError(f"key: shape {key.shape} differs from the query's {query.shape}")
    return as_complex(query, pairing) * as_complex(key, pairing).conj()


def score(
    h: Complex[np.ndarray, " half"], positions: Reals, theta: Float[np.ndarray, " half"]
) -> Float[np.ndarray, "..."]:
    """Returns the score a(s) = Re sum_j h_j exp(i s theta_j) at real distances s.

    Args:
        h: the coefficients, shape (d/2,).
        positions: the distances s, of any shape.
        theta: the frequencies, shape (d/2,), in radians per position.

    Returns:
        The scores, in the shape of ``positions``.

    >>> score(np.array([1 + 0j]), 0.0, frequencies(2, 10000)).item()
    1.0
    """
    phase = np.multiply.outer(np.asarray(positions, dtype=float), theta)
    return np.asarray(np.cos(phase) @ h.real - np.sin(phase) @ h.imag)


def partial_sums(positions: Reals, theta: Float[np.ndarray, " half"]) -> Complex[np.ndarray, "... half"]:
    """Returns A_k(s) = sum_{j < k} exp(i s theta_j), with k = 1 .. d/2 along a last axis after those of positions."""
    phase = np.multiply.outer(np.asarray(positions, dtype=float), theta)
    return np.cumsum(exp_i(phase), axis=-1)


def exp_i(phase: Float[np.ndarray, "*shape"]) -> Complex[np.ndarray, "*shape"]:
    """Returns exp(i phase), several times faster than NumPy's exponential of a complex array."""
    out = np.empty(phase.shape, dtype=complex)
    np.cos(phase, out=out.real)
    np.sin(phase, out=out.imag)
    return out


def as_complex(x: Float[np.ndarray, "*batch d"], pairing: Pairing) -> Complex[np.ndarray, "*batch half"]:
    """Returns the pairs of a query or key of shape (..., d) as complex numbers, shape (..., d/2).

    Rotating the query or key to position n multiplies these by exp(i n theta_j).

    Raises:
        ValueError: d is odd, or the pairing is unknown.
    """
    d = x.shape[-1]
    check_head_dim(d, "last dimension of query and key")
    if pairing == "interleaved":
        return x[..., 0::2] + 1j * x[..., 1::2]
    if pairing == "half":
        return x[..., : d // 2] + 1j * x[..., d // 2 :]
    raise ValueError(f"pairing: must be 'interleaved' or 'half', got {pairing!r}")
