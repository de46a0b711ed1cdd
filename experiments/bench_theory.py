"""B(s) beside the paper's recipe, its envelope beside single balls, the linear program beside a cold loop."""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from scipy.optimize import linprog

from experiments.timing import compare, peak_gib
from pi_theory.amplification import FiniteWindow
from pi_theory.envelope import envelope
from pi_theory.extrapolation import B_on_grid
from pi_theory.intervals import B_ball, LinearProgramCertifier, enclosure, interval_ball
from pi_theory.scaling import LinearPI

HEAD_DIM, BASE = 128, 10_000
COUNTS = (4096, 65_536, 1_000_000)
LONGEST = COUNTS[-1]


def ours(count: int) -> list[float]:
    return [float(B_on_grid(count, head_dim=HEAD_DIM, base=BASE).mean())]


def recipe(count: int) -> list[float]:
    """B by vectorised float32 torch, the steps of Chen et al. 2023, Appendix C.2."""
    import torch  # not at the top: its memory is not ours

    freqs = 1.0 / (BASE ** (torch.arange(0, HEAD_DIM, 2).float() / HEAD_DIM))
    angles = torch.outer(torch.arange(count).float(), freqs)
    sums = angles.sin().cumsum(dim=1).pow(2) + angles.cos().cumsum(dim=1).pow(2)
    return [float(sums.sqrt().sum(dim=1).mean())]


def bands(pieces: int) -> list[float]:
    """The certified envelope of B/d on [0, 64]: pieces of it, as [mean lower, mean upper]."""
    found = envelope(0, 64, pieces, head_dim=HEAD_DIM, base=BASE)
    return [float((found.lower + found.upper).mean() / 2)]


def bands_by_balls(pieces: int) -> list[float]:
    """The same pieces, one ball evaluation each."""
    edges = np.linspace(0, 64, pieces + 1).tolist()
    found = [
        enclosure(B_ball(interval_ball(a, b), head_dim=HEAD_DIM, base=BASE, bits=64) / HEAD_DIM)
        for a, b in itertools.pairwise(edges)
    ]
    return [float(np.mean([(piece.lower + piece.upper) / 2 for piece in found]))]


def programs(count: int) -> list[float]:
    program = FiniteWindow(head_dim=64, base=BASE, window=512, scaling=LinearPI(2.0))
    return [program.worst_case(position, 1.0).upper_bound for position in _odd(count)]


def programs_naively(count: int) -> list[float]:
    """The primal program from the start at each position, uncertified."""
    values = []
    for position in _odd(count):
        certifier = LinearProgramCertifier(head_dim=64, base=BASE, window=512)
        trained = certifier.trained()
        target = np.array([float(x) for x in certifier.row(position / 2)])
        rows = np.vstack([trained, -trained])
        solution = linprog(-target, A_ub=rows, b_ub=np.ones(len(rows)), bounds=(-1, 1), method="highs")
        values.append(-float(solution.fun))
    return values


def _odd(count: int) -> list[int]:
    return [2 * round(512 * (i + 0.5) / count) + 1 for i in range(count)]


def rows() -> Iterator[dict[str, Any]]:
    for count in COUNTS:
        timed = compare(partial(ours, count), partial(recipe, count), repeats=7, relative=1e-3)
        yield {"what": f"B(s), {count} positions", "theirs": "Appendix C.2 recipe, float32 torch", **timed}
    peaks = {f"{who}_peak_gib": peak_gib("experiments.bench_theory", who, LONGEST) for who in ("ours", "recipe")}
    yield {"what": f"B(s), {LONGEST} positions, memory of the whole process", "theirs": "the recipe", **peaks}
    timed = compare(partial(bands, 512), partial(bands_by_balls, 512), relative=0.05)
    yield {"what": "certified envelope of B/d, 512 pieces", "theirs": "one ball a piece", **timed}
    timed = compare(partial(programs, 12), partial(programs_naively, 12))
    yield {"what": "finite-window program, 12 positions", "theirs": "primal from scratch, not certified", **timed}
