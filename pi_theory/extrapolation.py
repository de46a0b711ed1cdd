r"""How large a score can be anywhere: B(s) and the bounds of |a(s)| that use it.

With A_k(s) = sum_{j<k} exp(i s theta_j) and h_{d/2} := 0, Abel summation turns a(s) = Re sum_j h_j exp(i s theta_j)
into Re sum_k A_k(s) (h_{k-1} - h_k), k = 1 .. d/2, hence (Chen et al. 2023, Eq. 8)

    |a(s)| <= max_j |h_j - h_{j+1}| B(s) <= 2 max_j |h_j| B(s),      B(s) = sum_{k=1}^{d/2} |A_k(s)|.

The first inequality is attained: choose h_{k-1} - h_k = conj(A_k)/|A_k|. The second is weaker than the trivial
|a(s)| <= (d/2) max|h_j| wherever B(s) >= d/4.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Complex, Float

from pi_theory.arguments import Number, check_count, check_finite, check_head_dim, check_positive
from pi_theory.rope import Reals, exp_i, frequencies, partial_sums

_BLOCK = 1 << 13  # positions worked on at once: long enough for threads to overlap, short enough for the cache


def B(positions: Reals, *, head_dim: int, base: Number) -> Float[np.ndarray, "..."]:
    """B(s) = sum_k |A_k(s)| at real positions of any shape, in memory bounded by the output's size.

    B(0) = d (d + 2) / 8, the largest value.

    >>> float(B(0.0, head_dim=128, base=10000))
    2080.0
    """
    theta = frequencies(head_dim, base)
    flat = np.atleast_1d(np.asarray(positions, dtype=float)).ravel()
    chunk = max(1, 16 * _BLOCK // theta.size)
    parts = [np.abs(partial_sums(flat[i : i + chunk], theta)).sum(axis=-1) for i in range(0, flat.size, chunk)]
    return np.concatenate([np.empty(0), *parts]).reshape(np.shape(positions))


def B_on_grid(
    count: int, *, start: float = 0.0, step: float = 1.0, head_dim: int, base: Number
) -> Float[np.ndarray, " count"]:
    """B at start, start + step, ... (count positions): many times faster than `B`, for millions of positions.

    exp(i (s_b + delta) theta) = exp(i s_b theta) exp(i delta theta): exponentials are taken once for a block of offsets
    delta and once for each block start s_b, so that a position costs one multiplication for each frequency. Memory is
    the output and a few blocks. Blocks are shared between threads; NumPy works outside the interpreter lock.

    Raises:
        ValueError: count < 1, step <= 0, or an argument outside its domain.
    """
    check_count(count, "count")
    check_finite(start, "start")
    check_positive(step, "step")
    theta = frequencies(head_dim, base)
    length = min(max(256, count // 16), _BLOCK)  # a short grid would spend its time on the offsets
    block_starts = start + step * np.arange(0, count, length)
    offset_phases = exp_i(np.multiply.outer(theta, step * np.arange(length)))
    out = np.zeros((block_starts.size, length))
    threads = min(os.cpu_count() or 1, block_starts.size)

    def run(first: int) -> None:
        partial_sum, term = np.empty((2, length), dtype=complex)
        norm = np.empty(length)
        for b in range(first, block_starts.size, threads):
            partial_sum[:] = 0
            for block_phase, offset_phase in zip(exp_i(block_starts[b] * theta), offset_phases, strict=True):
                np.multiply(offset_phase, block_phase, out=term)
                np.add(partial_sum, term, out=partial_sum)
                np.abs(partial_sum, out=norm)
                np.add(out[b], norm, out=out[b])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, range(threads)))
    return out.reshape(-1)[:count]


def eq8_bound(s: float, *, head_dim: int, base: Number, hmax: float = 1.0) -> float:
    """Eq. 8, last form: 2 hmax B(s)."""
    return 2 * hmax * float(B(s, head_dim=head_dim, base=base))


def eq8_difference_bound(h: Complex[np.ndarray, " half"], s: float, *, base: Number) -> float:
    """Eq. 8, first form: max_j |h_j - h_{j+1}| B(s), with h_{d/2} = 0."""
    steps = np.abs(np.diff(h, append=0))
    return float(steps.max()) * float(B(s, head_dim=2 * h.size, base=base))


def eq8_difference_witness(s: float, *, head_dim: int, base: Number) -> Complex[np.ndarray, " half"]:
    """h with every |h_j - h_{j+1}| = 1 for which a(s) = B(s): the first form of Eq. 8 cannot be improved."""
    sums = partial_sums(s, frequencies(head_dim, base))
    size = np.abs(sums)
    steps = np.where(size > 0, sums.conj() / np.where(size > 0, size, 1), 1)
    return np.cumsum(steps[::-1])[::-1]


def trivial_bound(*, head_dim: int, hmax: float = 1.0) -> float:
    """|a(s)| <= sum_j |h_j| <= (d/2) hmax: attained at every s by h_j = hmax exp(-i s theta_j)."""
    return hmax * check_head_dim(head_dim) / 2
