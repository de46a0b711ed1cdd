"""Speed and memory of the theory's main computations.

B(s) stands beside the recipe of the paper's appendix, and beside what its square roots and multiply-adds alone cost on
this machine, which is its limit. Certified minima and envelopes stand beside the plain way to get them in ball
arithmetic, and the linear program of a finite window beside a loop that certifies nothing.
"""

import heapq
import itertools
import math
import operator
import os
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import numpy as np
from scipy.optimize import linprog

from experiments.bench.timing import Row, faster, leaner, peak_gib, race, same
from pi_theory.amplification import FiniteWindow
from pi_theory.certified.balls import B_ball, Enclosure, enclosure, interval_ball
from pi_theory.certified.envelope import envelope, minimum
from pi_theory.certified.linear_program import LinearProgramCertifier
from pi_theory.extrapolation import B_on_grid
from pi_theory.scaling import LinearPI

HEAD_DIM, BASE = 128, 10_000
COUNTS = (4096, 65_536, 1_000_000)
REPEATS = 9
UPTO, REL_WIDTH = 1024, 1e-2  # interval of the certified minimum, and how narrow its enclosure has to be
PIECES = 512  # pieces of the certified envelope
WINDOW, POSITIONS = 512, 12  # trained positions of the finite-window program, and positions asked for
RECIPE = "Appendix C.2 recipe, float32 torch"
FASTER_AIM, LIMIT_AIM = 10, 0.5  # beside the recipe, and beside the machine's limit
_IN_CACHE = 512  # numbers of which a few arrays stay in the nearest cache


def ours(count: int) -> list[float]:
    """The mean of B(s) over so many positions, by this project."""
    return [float(B_on_grid(count, head_dim=HEAD_DIM, base=BASE).mean())]


def recipe(count: int) -> list[float]:
    """The mean of B(s) by the steps of Chen et al. 2023, Appendix C.2, in float32 and vectorised with torch."""
    import torch  # here, because its memory must not be counted as ours

    freqs = 1.0 / (BASE ** (torch.arange(0, HEAD_DIM, 2).float() / HEAD_DIM))
    angles = torch.outer(torch.arange(count).float(), freqs)
    sums = angles.sin().cumsum(dim=1).pow(2) + angles.cos().cumsum(dim=1).pow(2)
    return [float(sums.sqrt().sum(dim=1).mean())]


def limit(count: int) -> list[float]:
    """As many square roots and complex multiply-adds as B has and nothing else, compiled, in the nearest cache."""
    threads = (os.cpu_count() or 1) if count > COUNTS[0] else 1  # as many as B takes
    rounds = count * HEAD_DIM // 2 // _IN_CACHE // threads
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(_roots(), itertools.repeat(_IN_CACHE, threads), itertools.repeat(rounds)))


@cache
def _roots() -> Callable[[int, int], float]:
    """What adds so many times to a sum of so many numbers the roots of |z|^2, each after an addition to z."""
    import numba  # here, because its memory must not be counted as the recipe's

    def roots(length: int, rounds: int) -> float:
        total, unit = np.zeros(length, np.complex128), np.full(length, 0.6 + 0.8j)
        out = np.zeros(length)
        for _ in range(rounds):
            for i in range(length):
                total[i] += (0.6 + 0.8j) * unit[i]
                out[i] += math.sqrt(total[i].real ** 2 + total[i].imag ** 2)
        return out[0]

    return numba.njit("float64(int64, int64)", nogil=True, fastmath={"contract"})(roots)


def certified(upto: int) -> list[float]:
    """The two ends of the certified minimum of B/d, by this project."""
    return _ends(minimum(0, upto, head_dim=HEAD_DIM, base=BASE, rel_width=REL_WIDTH).value)


def certified_by_balls(upto: int) -> list[float]:
    """The two ends of the certified minimum, by bisecting again and again the interval that has the lowest bound.

    Every interval is enclosed by one ball.
    """

    def bounds(a: float, b: float) -> Enclosure:
        return enclosure(B_ball(interval_ball(a, b), head_dim=HEAD_DIM, base=BASE, bits=64) / HEAD_DIM)

    best = float("inf")
    waiting = [(bounds(a, a + 1).lower, float(a), float(a + 1)) for a in range(upto)]
    heapq.heapify(waiting)
    while waiting[0][0] < best * (1 - REL_WIDTH):
        _, a, b = heapq.heappop(waiting)
        middle = (a + b) / 2
        best = min(best, bounds(middle, middle).upper)
        for half in ((a, middle), (middle, b)):
            heapq.heappush(waiting, (bounds(*half).lower, *half))
    return _ends(Enclosure(waiting[0][0], best))


def _ends(found: Enclosure) -> list[float]:
    return [found.lower, found.upper]


def bands(pieces: int) -> list[float]:
    """The mean of the certified envelope of B/d on [0, 64], by this project."""
    found = envelope(0, 64, pieces, head_dim=HEAD_DIM, base=BASE)
    return [float((found.lower + found.upper).mean() / 2)]


def bands_by_balls(pieces: int) -> list[float]:
    """The mean of the certified envelope with the same pieces, each enclosed by one ball."""
    edges = np.linspace(0, 64, pieces + 1).tolist()
    found = [
        enclosure(B_ball(interval_ball(a, b), head_dim=HEAD_DIM, base=BASE, bits=64) / HEAD_DIM)
        for a, b in itertools.pairwise(edges)
    ]
    return [float(np.mean([(piece.lower + piece.upper) / 2 for piece in found]))]


def programs(window: int, count: int) -> list[float]:
    """Certified bounds of the worst score at positions between the trained ones, by this project."""
    program = FiniteWindow(head_dim=64, base=BASE, window=window, scaling=LinearPI(2.0))
    return [program.worst_case(position, 1.0).upper_bound for position in _odd(window, count)]


def programs_naively(window: int, count: int) -> list[float]:
    """The worst score at the same positions, each from a primal program built anew, without a certificate."""
    values = []
    for position in _odd(window, count):
        certifier = LinearProgramCertifier(head_dim=64, base=BASE, window=window)
        trained = certifier.trained()
        target = np.array([float(x) for x in certifier.row(position / 2)])
        rows = np.vstack([trained, -trained])
        solution = linprog(-target, A_ub=rows, b_ub=np.ones(len(rows)), bounds=(-1, 1), method="highs")
        values.append(-float(solution.fun))
    return values


def _odd(window: int, count: int) -> list[int]:
    """Odd positions, evenly spread over the extended window. With a factor of 2 they lie between trained positions."""
    return [2 * round(window * (i + 0.5) / count) + 1 for i in range(count)]


def rows() -> Iterator[Row]:
    """How many times as fast ours is in each computation, and which share of the recipe's peak memory B(s) takes."""
    for count in COUNTS:
        what = f"B(s), {count} positions"
        ways = {"ours": partial(ours, count), "theirs": partial(recipe, count), "limit": partial(limit, count)}
        same({name: ways[name]() for name in ("ours", "theirs")}, 1e-3)
        found = race(ways, repeats=REPEATS, relative=None)
        # Where not even the limit is twice as fast as ours has to be, half of the limit is what can be aimed for.
        half = LIMIT_AIM * statistics.median(map(operator.truediv, found["theirs"], found["limit"]))
        yield faster(what, RECIPE, found, aim=min(FASTER_AIM, round(half, 1)))
        found["theirs"] = found["limit"]
        rate = count * HEAD_DIM / 2 / statistics.median(found["limit"])
        yield faster(what, "its square roots and multiply-adds alone", found, aim=LIMIT_AIM, roots_per_second=rate)
    peaks = [[peak_gib("experiments.bench.theory", who, COUNTS[-1]) for _ in range(3)] for who in ("ours", "recipe")]
    yield leaner(f"B(s), {COUNTS[-1]} positions", RECIPE, *peaks)
    found = race(
        {"ours": partial(certified, UPTO), "theirs": partial(certified_by_balls, UPTO)}, repeats=3, relative=0.02
    )
    what = f"certified minimum of B/d on [0, {UPTO}], to {REL_WIDTH:.0%}"
    yield faster(what, "bisection, one ball an interval", found)
    found = race({"ours": partial(bands, PIECES), "theirs": partial(bands_by_balls, PIECES)}, repeats=3, relative=0.05)
    yield faster(f"certified envelope of B/d, {PIECES} pieces", "one ball a piece", found)
    case = (WINDOW, POSITIONS)
    found = race({"ours": partial(programs, *case), "theirs": partial(programs_naively, *case)}, repeats=3)
    what = f"finite-window program, {WINDOW} positions trained, {POSITIONS} asked for"
    yield faster(what, "a loop over the primal, not certified", found)
