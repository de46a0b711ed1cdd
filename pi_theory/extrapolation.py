r"""How large a score can be at any distance: B(s) and the bounds of |a(s)| that use it.

With A_k(s) = sum_{j<k} exp(i s theta_j) and h_{d/2} := 0, summation by parts turns the score
a(s) = Re sum_j h_j exp(i s theta_j) into Re sum_k A_k(s) (h_{k-1} - h_k) with k = 1 .. d/2. Hence

    |a(s)| <= max_j |h_j - h_{j+1}| B(s) <= 2 max_j |h_j| B(s),      B(s) = sum_{k=1}^{d/2} |A_k(s)|.

The first inequality is attained by the h for which h_{k-1} - h_k = conj(A_k)/|A_k|. The last form is never better than
the trivial bound |a(s)| <= (d/2) max_j |h_j|, because B(s) >= d/4 (proved in `pi_theory.proofs`).

Source: Chen et al. 2023, arXiv:2306.15595, Eq. 8.
"""

import itertools
import math
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Complex, Float

from pi_theory.arguments import Number, check_base, check_count, check_finite, check_head_dim, check_positive
from pi_theory.rope import Reals, exp_i, frequencies, partial_sums

_CHUNK = 1 << 17  # complex numbers that `B` works on at once: few enough to stay in the caches
_LONGEST_BLOCK = 2048  # positions: a block's sums stay in the nearest cache, and the error of its powers below 1e-12
_TERMS_OF_A_THREAD = 1 << 20  # fewer take less time than starting a thread does
_TWO_PI = np.longdouble("6.283185307179586476925286766559005768")


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
    chunk = max(1, _CHUNK // theta.size)
    parts = [np.abs(partial_sums(flat[i : i + chunk], theta)).sum(axis=-1) for i in range(0, flat.size, chunk)]
    return np.concatenate([np.empty(0), *parts]).reshape(np.shape(positions))


def B_on_grid(
    count: int, *, start: float = 0.0, step: float = 1.0, head_dim: int, base: Number
) -> Float[np.ndarray, " count"]:
    """Returns B(s) at start, start + step, ..., ``count`` positions in all, many times faster than `B` does.

    The speed comes from exp(i (s_b + n step) theta) = exp(i s_b theta) exp(i step theta)^n. Exponentials are computed
    once for each block's start s_b, and powers once for all blocks, so that each further position costs one
    multiplication, one addition and one square root per frequency. These are compiled when they are first needed,
    which takes a second or two, and kept for later. Large grids are shared between threads. Memory is the output and
    a few blocks, so that millions of positions fit.

    Phases are reduced in extended precision. Where the machine has one, values are correct to about 1e-13, also at a
    distance of a million, where those of `B` are to 1e-10.

    Args:
        count: the number of positions, at least 1.
        start: the first position.
        step: the distance between positions, above 0.
        head_dim: d, even, at least 2.
        base: c > 1.

    Raises:
        ValueError: an argument is outside its domain.
    """
    from pi_theory.summed_norms import sum_norms  # here, because it imports numba

    check_count(count, "count")
    check_finite(start, "start")
    check_positive(step, "step")
    check_head_dim(head_dim)
    check_base(base)
    # About four times the square root makes the blocks' starts and their powers cost the same.
    length = min(64 * math.ceil(math.sqrt(count) / 16), _LONGEST_BLOCK)
    starts = start + step * np.arange(0, count, length, dtype=float)
    phases = _exact_phases(np.append(step, starts), head_dim, base)
    step_phase, block_phases = phases[0], phases[1:]
    out = np.empty((starts.size, length))
    threads = min(os.cpu_count() or 1, 1 + out.size * head_dim // _TERMS_OF_A_THREAD)
    if threads == 1:
        sum_norms(block_phases, step_phase, out)
    else:
        with ThreadPoolExecutor(threads) as pool:
            parts = np.array_split(block_phases, threads), itertools.repeat(step_phase), np.array_split(out, threads)
            list(pool.map(sum_norms, *parts))
    return out.reshape(-1)[:count]


def _exact_phases(positions: Float[np.ndarray, " n"], head_dim: int, base: Number) -> Complex[np.ndarray, "n half"]:
    """exp(i s theta_j), with s theta_j reduced modulo 2 pi before it is rounded to float64."""
    turns_per_position = np.exp(-np.log(np.longdouble(base)) * np.arange(0, head_dim, 2) / head_dim) / _TWO_PI
    turns = np.multiply.outer(positions, turns_per_position)
    return exp_i(2 * math.pi * (turns - np.rint(turns)).astype(float))


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
