r"""How large a score can be at any distance: B(s) and the bounds of |a(s)| that use it.

With A_k(s) = sum_{j<k} exp(i s theta_j) and h_{d/2} := 0, summation by parts turns the score
a(s) = Re sum_j h_j exp(i s theta_j) into Re sum_k A_k(s) (h_{k-1} - h_k) with k = 1 .. d/2. Hence

    |a(s)| <= max_j |h_j - h_{j+1}| B(s) <= 2 max_j |h_j| B(s),      B(s) = sum_{k=1}^{d/2} |A_k(s)|.

The first inequality is attained by the h for which h_{k-1} - h_k = conj(A_k)/|A_k|. The last form is never better than
the trivial bound |a(s)| <= (d/2) max_j |h_j|, because B(s) >= d/4 (proved in `pi_theory.proofs`).

Source: Chen et al. 2023, arXiv:2306.15595, Eq. 8.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Complex, Float

from pi_theory.arguments import Number, check_count, check_finite, check_head_dim, check_positive
from pi_theory.rope import Reals, exp_i, frequencies, partial_sums

# How many positions are worked on at once: enough for threads to overlap, few enough to stay in the cache.
_BLOCK = 1 << 13


def B(positions: Reals, *, head_dim: int, base: Number) -> Float[np.ndarray, "..."]:
    """Returns B(s) = sum_k |A_k(s)| at real distances s, in the shape of ``positions``.

    The largest value is B(0) = d (d + 2) / 8. Positions are taken in chunks, so that memory stays near the output's.

    Raises:
        ValueError: head_dim is not an even integer of at least 2, or base is not a finite number above 1.

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
    """Returns B(s) at start, start + step, ..., ``count`` positions in all, many times faster than `B` does.

    The speed comes from exp(i (s_b + delta) theta) = exp(i s_b theta) exp(i delta theta). Exponentials are computed
    once for a block of offsets delta and once for each block's start s_b, so that each further position costs one
    multiplication per frequency. Blocks are shared between threads, because NumPy works outside the interpreter lock.
    Memory is the output and a few blocks, so that millions of positions fit.

    Args:
        count: the number of positions, at least 1.
        start: the first position.
        step: the distance between positions, above 0.
        head_dim: d, even, at least 2.
        base: c > 1.

    Raises:
        ValueError: an argument is outside its domain.
    """
    check_count(count, "count")
    check_finite(start, "start")
    check_positive(step, "step")
    theta = frequencies(head_dim, base)
    length = min(max(256, count // 16), _BLOCK)  # with whole blocks a short grid would spend its time on the offsets
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
    """Returns 2 hmax B(s), the last form of Eq. 8, which bounds |a(s)| for all h with |h_j| <= hmax."""
    return 2 * hmax * float(B(s, head_dim=head_dim, base=base))


def eq8_difference_bound(h: Complex[np.ndarray, " half"], s: float, *, base: Number) -> float:
    """Returns max_j |h_j - h_{j+1}| B(s) with h_{d/2} = 0, the first form of Eq. 8, for h of shape (d/2,)."""
    steps = np.abs(np.diff(h, append=0))
    return float(steps.max()) * float(B(s, head_dim=2 * h.size, base=base))


def eq8_difference_witness(s: float, *, head_dim: int, base: Number) -> Complex[np.ndarray, " half"]:
    """Returns the h, shape (d/2,), with all |h_j - h_{j+1}| = 1 for which a(s) = B(s).

    It shows that the first form of Eq. 8 cannot be improved.
    """
    sums = partial_sums(s, frequencies(head_dim, base))
    size = np.abs(sums)
    steps = np.where(size > 0, sums.conj() / np.where(size > 0, size, 1), 1)
    return np.cumsum(steps[::-1])[::-1]


def trivial_bound(*, head_dim: int, hmax: float = 1.0) -> float:
    """Returns (d/2) hmax, which bounds |a(s)| <= sum_j |h_j| for all h with |h_j| <= hmax.

    At every s it is attained, by h_j = hmax exp(-i s theta_j).
    """
    return hmax * check_head_dim(head_dim) / 2
