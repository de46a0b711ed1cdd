r"""The best constant of the stability theorem for scores, enclosed from both sides; sec(1/2) is not it.

It is the least C with sup over reals of |f| <= C sup over integers of |f| for all f of type 1, as scores are.

**From below.** A cosine polynomial f(x) = sum_k a_k cos(2 pi k (x - 1/2)/P) with 2 pi k <= P is of type 1 and has
period P, so that C is at least f(1/2) over the largest |f(n)|, n = 0 .. P - 1. A linear program finds the a_k.

**From above.** Let h be continuous, even and piecewise linear with h = 1 on [0, 1] and h(pi) = 0, and let
h(2 pi - w) = -h(w). Its Fourier series h(w) = sum_n c_n cos((n + 1/2) w) converges absolutely, and it is 1 on [-1, 1].
Multiplied by exp(i w/2) and integrated it reads f(1/2) = sum_n (c_n/2) (f(n + 1) + f(-n)), so that

    |f(1/2)| <= A sup over integers of |f|,     A = sum_n |c_n|.

Integrating by parts, c_n = 2/(pi x^2) sum_i m_i (cos x w_{i+1} - cos x w_i) with x = n + 1/2 and the slopes m_i of h
between the nodes w_i; since cos x pi = 0, |c_n| <= 2 V/(pi x^2), where V = |m_0| + sum_i |m_i - m_{i-1}|, and the
c_n from n = N on add up to at most 2 V/(pi N). A linear program finds the slopes.

At other places, let |f| <= M come within e of M at a distance delta <= 1/2 from the nearest integer. By the comparison
with a cosine in `pi_theory.amplification`, |f| is at least M cos(delta) at that integer, and M cos(1/2 - delta) half a
unit from it, up to what vanishes with e. So C <= max over delta of min(1/cos(delta), A/cos(1/2 - delta)). The first
grows with delta and the second falls, so that C is at most the larger of the two at any delta.
"""

import itertools
import math
from functools import cache

import numpy as np
from flint import arb, ctx
from scipy import sparse
from scipy.optimize import linprog

from pi_theory.certified.balls import Enclosure, ball_sum, enclosure, exact

_PERIOD = 710  # 2 pi 113 / 710 is barely below 1
_NODES, _TERMS, _CERTIFIED_TERMS = 150, 600, 6_000


@cache
def best_constant() -> Enclosure:
    """Returns an interval that holds the best constant of the stability theorem for functions of type 1.

    Raises:
        ArithmeticError: HiGHS solved no program.
    """
    with ctx.workprec(96):
        return Enclosure(enclosure(_from_below()).lower, enclosure(_from_above()).upper)


def _from_below() -> arb:
    waves = np.arange(math.floor(_PERIOD / (2 * math.pi)) + 1)
    places = np.arange(1, _PERIOD // 2 + 1) - 0.5  # distances of the integers from 1/2, by symmetry
    values = np.cos(2 * math.pi / _PERIOD * np.outer(places, waves))
    found = linprog(
        -np.ones(waves.size), A_ub=np.vstack([values, -values]), b_ub=np.ones(2 * places.size), bounds=(None, None)
    )
    if found.x is None:
        raise ArithmeticError(f"stability: HiGHS found no polynomial ({found.message})")
    unit = 2 * arb.pi() / _PERIOD
    if not unit * int(waves[-1]) <= 1:
        raise ArithmeticError(f"stability: frequency {waves[-1]} of period {_PERIOD} exceeds 1")
    turns = [(unit * n / 2).cos() for n in range(2 * _PERIOD)]  # cos(pi n / P), of period 2 P in n
    weights = [exact(float(a)) for a in found.x]
    largest = arb(0)
    for n in range(1, _PERIOD // 2 + 1):
        value = ball_sum(a * turns[int(k) * (2 * n - 1) % (2 * _PERIOD)] for k, a in zip(waves, weights, strict=True))
        largest = largest.max(abs(value))
    return ball_sum(weights) / largest


def _from_above() -> arb:
    nodes = np.linspace(1, math.pi, _NODES + 1)[:-1]
    slopes = [exact(float(slope)) for slope in _slopes(nodes)]
    places = [exact(float(node)) for node in nodes] + [arb.pi()]
    fall = ball_sum(m * (right - left) for m, left, right in zip(slopes, places[:-1], places[1:], strict=True))
    slopes = [-m / fall for m in slopes]  # so that h falls from 1 to exactly 0
    steps = [slopes[0], *(right - left for left, right in itertools.pairwise(slopes))]
    total = arb(0)
    for n in range(_CERTIFIED_TERMS):
        x = arb(2 * n + 1) / 2
        # Summed by parts; the cosine at pi is 0.
        total += abs(ball_sum(step * (x * place).cos() for step, place in zip(steps, places, strict=False))) / x**2
    total = 2 / arb.pi() * (total + ball_sum(map(abs, steps)) / _CERTIFIED_TERMS)
    # The two bounds agree where tan(delta) = (A - cos(1/2)) / sin(1/2); any delta near it will do.
    half = arb(1) / 2
    delta = exact(float(((total - half.cos()) / half.sin()).atan()))
    return (1 / delta.cos()).max(total / (half - delta).cos())


def _slopes(nodes: np.ndarray) -> np.ndarray:
    """Returns slopes of h, which falls from 1 at the first node to 0 at pi, for which the sum of |c_n| is small."""
    ends = np.append(nodes, math.pi)
    x = np.arange(_TERMS) + 0.5
    series = 2 / (math.pi * x[:, None] ** 2) * np.diff(np.cos(np.outer(x, ends)), axis=1)
    change = sparse.eye(nodes.size) - sparse.eye(nodes.size, k=-1)
    absolute = [
        [matrix, -sparse.eye(_TERMS) if n < 2 else None, -sparse.eye(nodes.size) if n >= 2 else None]
        for n, matrix in enumerate((sparse.csr_array(series), sparse.csr_array(-series), change, -change))
    ]
    bounds = sparse.bmat(absolute, format="csr")
    free, positive = nodes.size, _TERMS + nodes.size
    found = linprog(
        np.concatenate([np.zeros(free), np.ones(_TERMS), np.full(nodes.size, 0.4 / _TERMS)]),
        A_ub=bounds,
        b_ub=np.zeros(bounds.shape[0]),
        A_eq=np.concatenate([np.diff(ends), np.zeros(positive)])[None],
        b_eq=[-1],
        bounds=[(None, None)] * free + [(0, None)] * positive,
        method="highs-ipm",
    )
    if found.x is None:
        raise ArithmeticError(f"stability: HiGHS found no function h ({found.message})")
    return found.x[:free]
