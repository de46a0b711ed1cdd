"""Speed and memory of the theory's main computations.

B(s) stands beside the recipe of the paper's appendix, and beside what its sines and cosines alone cost. Certified
minima and envelopes stand beside the plain way to get them in ball arithmetic, and the linear program of a finite
window beside a loop that certifies nothing.
"""

import heapq
import itertools
import statistics
from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy.optimize import linprog

from experiments.bench.timing import Row, faster, leaner, peak_gib, race
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
_BLOCK = 1 << 15  # as many angles as the caches of a core hold


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


def pairs(count: int) -> list[float]:
    """As many sines and cosines as B has terms and nothing else, in float64 on all cores and within the caches."""
    import torch

    angles = torch.arange(min(_BLOCK, count * HEAD_DIM // 2), dtype=torch.float64)
    out = torch.empty_like(angles)
    for _ in range(-(-count * HEAD_DIM // 2 // len(angles))):
        torch.sin(angles, out=out)
        torch.cos(angles, out=out)
    return [float(out[-1])]


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
        found = race({"ours": partial(ours, count), "theirs": partial(recipe, count)}, repeats=REPEATS, relative=1e-3)
        yield faster(what, "Appendix C.2 recipe, float32 torch", found, aim=5)
        found = race({"ours": partial(ours, count), "theirs": partial(pairs, count)}, repeats=REPEATS, relative=None)
        rate = count * HEAD_DIM / 2 / statistics.median(found["theirs"])
        yield faster(what, "its sines and cosines alone, float64 torch", found, pairs_per_second=rate)
    peaks = [[peak_gib("experiments.bench.theory", who, COUNTS[-1]) for _ in range(3)] for who in ("ours", "recipe")]
    yield leaner(f"B(s), {COUNTS[-1]} positions", "Appendix C.2 recipe, float32 torch", *peaks)
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
