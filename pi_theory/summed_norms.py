"""The loops of B(s) over a grid, compiled by numba.

NumPy can write the same sums, but goes through memory once for each of their operations; compiled, they take little
longer than their square roots alone. Importing this module takes as long as importing numba does, and the first import
compiles, so it is imported where a grid is computed. What was compiled is kept beside this file or, where that cannot
be written, in the user's cache.
"""

import inspect
import math
from typing import Any

import numpy as np
from numba import njit


def _sum_norms(starts: Any, step: Any, out: Any) -> None:
    """Fills out[b, i] with B(s_b + i step), the sum over k of |sum_{j < k} exp(i s_b theta_j) exp(i step theta_j)^i|.

    Args:
        starts: exp(i s_b theta_j) at the start s_b of each block, complex128 of shape (blocks, d/2).
        step: exp(i step theta_j), complex128 of shape (d/2,).
        out: float64 of shape (blocks, length).
    """
    blocks, length = out.shape
    half = len(step)
    power = np.ones((half, length), np.complex128)
    for j in range(half):
        for i in range(1, length):
            power[j, i] = power[j, i - 1] * step[j]
    partial_sum = np.empty(length, np.complex128)
    for b in range(blocks):
        partial_sum[:] = 0
        out[b] = 0
        for j in range(half):
            for i in range(length):
                partial_sum[i] += starts[b, j] * power[j, i]
                out[b, i] += math.sqrt(partial_sum[i].real ** 2 + partial_sum[i].imag ** 2)


def _compiled(function: Any, signature: str) -> Any:
    # Tests wrap every function of the package to check its types, and numba compiles plain functions only.
    plain = inspect.unwrap(function)
    how: Any = {"nogil": True, "fastmath": {"contract"}}  # a multiplication and an addition may be rounded once
    try:
        return njit(signature, cache=True, **how)(plain)
    except (RuntimeError, OSError):  # there is no folder to keep it in, or the disk is full
        return njit(signature, **how)(plain)


sum_norms = _compiled(_sum_norms, "void(complex128[:, ::1], complex128[::1], float64[:, ::1])")
