"""Rotary position embedding as the paper writes it: frequencies, coefficients h, score a(s), partial sums A_k(s).

A query q at position m and a key k at position n, both of even dimension d, are rotated pair by pair and multiplied;
the score depends on s = m - n alone:

    a(s) = Re sum_{j < d/2} h_j exp(i s theta_j),     theta_j = c^(-2j/d),     h_j = q_j conj(k_j)

with q_j, k_j the j-th pairs read as complex numbers. Source: Su et al. 2021, arXiv:2104.09864; Chen et al. 2023,
arXiv:2306.15595, Eq. 3 (scores here are before the division by sqrt(d)).

Which components form a pair differs between code bases and is an argument wherever it matters:
"interleaved" pairs (2j, 2j + 1), as the paper and Meta's LLaMA do; "half" pairs (j, j + d/2), the rotate-half of
Hugging Face transformers.
"""

from typing import Literal

import numpy as np
from jaxtyping import Complex, Float, Int

from pi_theory.arguments import Number, check_base, check_head_dim

Pairing = Literal["interleaved", "half"]
Reals = float | Float[np.ndarray, "..."] | Int[np.ndarray, "..."]


def frequencies(head_dim: int, base: Number) -> Float[np.ndarray, " half"]:
    """theta_j = base^(-2j / head_dim) in radians a position, shape (head_dim / 2,); theta_0 = 1 is the fastest.

    Raises:
        ValueError: head_dim odd or < 2, base <= 1 or not finite.

    >>> frequencies(4, 10000).tolist()
    [1.0, 0.01]
    """
    check_head_dim(head_dim)
    check_base(base)
    return float(base) ** (-np.arange(0, head_dim, 2) / head_dim)


def coefficients(
    query: Float[np.ndarray, "*batch d"], key: Float[np.ndarray, "*batch d"], pairing: Pairing
) -> Complex[np.ndarray, "*batch half"]:
    """h_j = q_j conj(k_j) from unrotated queries and keys, shape (..., d) -> (..., d / 2).

    Raises:
        ValueError: d odd, shapes that differ, or an unknown pairing.
    """
    if query.shape != key.shape:
        raise ValueError(f"key: shape {key.shape} differs from the query's {query.shape}")
    return as_complex(query, pairing) * as_complex(key, pairing).conj()


def score(
    h: Complex[np.ndarray, " half"], positions: Reals, theta: Float[np.ndarray, " half"]
) -> Float[np.ndarray, "..."]:
    """a(s) = Re sum_j h_j exp(i s theta_j) at real positions s of any shape.

    >>> score(np.array([1 + 0j]), 0.0, frequencies(2, 10000)).item()
    1.0
    """
    phase = np.multiply.outer(np.asarray(positions, dtype=float), theta)
    return np.asarray(np.cos(phase) @ h.real - np.sin(phase) @ h.imag)


def partial_sums(positions: Reals, theta: Float[np.ndarray, " half"]) -> Complex[np.ndarray, "... half"]:
    """A_k(s) = sum_{j < k} exp(i s theta_j) for k = 1 .. d/2 along the last axis."""
    phase = np.multiply.outer(np.asarray(positions, dtype=float), theta)
    return np.cumsum(exp_i(phase), axis=-1)


def exp_i(phase: Float[np.ndarray, "*shape"]) -> Complex[np.ndarray, "*shape"]:
    """exp(i phase), several times faster than NumPy's exponential of a complex array."""
    out = np.empty(phase.shape, dtype=complex)
    np.cos(phase, out=out.real)
    np.sin(phase, out=out.imag)
    return out


def as_complex(x: Float[np.ndarray, "*batch d"], pairing: Pairing) -> Complex[np.ndarray, "*batch half"]:
    """The pairs of an unrotated query or key as complex numbers; rotation by position n multiplies by exp(i n theta).

    Raises:
        ValueError: d odd, or an unknown pairing.
    """
    d = x.shape[-1]
    check_head_dim(d, "last dimension of query and key")
    if pairing == "interleaved":
        return x[..., 0::2] + 1j * x[..., 1::2]
    if pairing == "half":
        return x[..., : d // 2] + 1j * x[..., d // 2 :]
    raise ValueError(f"pairing: must be 'interleaved' or 'half', got {pairing!r}")
