"""The theory's main computations beside the obvious way to do each.

B(s) is held against the paper's recipe and against what its sines and cosines alone cost, certificates against one ball
an interval, and the finite-window program against a loop over the primal program.
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
UPTO, REL_WIDTH = 1024, 1e-2  # of the certified minimum
PIECES = 512  # of the certified envelope
WINDOW, POSITIONS = 512, 12  # of the finite-window program
_BLOCK = 1 << 15  # angles that the caches hold


def ours(count: int) -> list[float]:
    """The mean of B over so many positions, as the library computes it."""
    return [float(B_on_grid(count, head_dim=HEAD_DIM, base=BASE).mean())]


def recipe(count: int) -> list[float]:
    """The mean of B by vectorised float32 torch, in the steps of Chen et al. 2023, Appendix C.2."""
    import torch  # not at the top: its memory is not ours

    freqs = 1.0 / (BASE ** (torch.arange(0, HEAD_DIM, 2).float() / HEAD_DIM))
    angles = torch.outer(torch.arange(count).float(), freqs)
    sums = angles.sin().cumsum(dim=1).pow(2) + angles.cos().cumsum(dim=1).pow(2)
    return [float(sums.sqrt().sum(dim=1).mean())]


def pairs(count: int) -> list[float]:
    """Computes as many sines and cosines as B has terms, and nothing else: in float64, on all cores, within caches."""
    import torch

    angles = torch.arange(min(_BLOCK, count * HEAD_DIM // 2), dtype=torch.float64)
    out = torch.empty_like(angles)
    for _ in range(-(-count * HEAD_DIM // 2 // len(angles))):
        torch.sin(angles, out=out)
        torch.cos(angles, out=out)
    return [float(out[-1])]


def certified(upto: int) -> list[float]:
    """The lower and upper end of the certified minimum of B/d on [0, upto]."""
    return _ends(minimum(0, upto, head_dim=HEAD_DIM, base=BASE, rel_width=REL_WIDTH).value)


def certified_by_balls(upto: int) -> list[float]:
    """The minimum by bisection of the interval with the lowest bound, where every interval is one ball."""

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
    """The mean of the certified envelope of B/d on [0, 64]."""
    found = envelope(0, 64, pieces, head_dim=HEAD_DIM, base=BASE)
    return [float((found.lower + found.upper).mean() / 2)]


def bands_by_balls(pieces: int) -> list[float]:
    """The mean of the envelope of B/d on [0, 64] with one ball a piece."""
    edges = np.linspace(0, 64, pieces + 1).tolist()
    found = [
        enclosure(B_ball(interval_ball(a, b), head_dim=HEAD_DIM, base=BASE, bits=64) / HEAD_DIM)
        for a, b in itertools.pairwise(edges)
    ]
    return [float(np.mean([(piece.lower + piece.upper) / 2 for piece in found]))]


def programs(window: int, count: int) -> list[float]:
    """The certified upper bound of the finite-window program at so many positions."""
    program = FiniteWindow(head_dim=64, base=BASE, window=window, scaling=LinearPI(2.0))
    return [program.worst_case(position, 1.0).upper_bound for position in _odd(window, count)]


def programs_naively(window: int, count: int) -> list[float]:
    """The value of the primal program, set up anew at each position and not certified."""
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
    return [2 * round(window * (i + 0.5) / count) + 1 for i in range(count)]


def rows() -> Iterator[Row]:
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
