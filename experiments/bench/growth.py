"""How the time of each main computation grows with its size.

The time is fitted by a power of the size, and the exponent is what a row gives: 1 is linear, 2 is quadratic.
"""

import statistics
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
from scipy.optimize import linprog

from experiments.bench.perplexity import model_and_document, ours, sweep
from experiments.bench.timing import Call, Row, measured, race
from pi_theory.amplification import FiniteWindow
from pi_theory.certified.envelope import minimum
from pi_theory.extrapolation import B_on_grid
from pi_theory.scaling import LinearPI

REPEATS = 2
AT_LEAST = 0.05  # seconds that a turn takes, by repeating the call
MODEL = "tiny-llama"
WINDOWS, STRIDE = 9, 256  # of a sliding window; the stride in tokens
PROGRAM = "finite-window program, one position"


def grid(count: int) -> Call:
    """Computes B(s) at so many positions."""
    return lambda: [float(B_on_grid(count, head_dim=128, base=10_000)[-1])]


def certified_minimum(upto: int) -> Call:
    """Certifies the minimum of B/d over the positions from 0 to `upto`."""
    return lambda: [minimum(0, upto, head_dim=128, base=10_000).value.lower]


def program(window: int) -> Call:
    """Bounds the worst score between two positions of a window, from nothing cached."""

    def call() -> list[float]:
        fresh = FiniteWindow(head_dim=64, base=10_000, window=window, scaling=LinearPI(2.0))
        return [fresh.worst_case(window // 2 + 1, 1.0).upper_bound]

    return call


def sliding(window: int) -> Call:
    """Measures the perplexity of a document that is read in a fixed number of windows."""
    return partial(ours, *model_and_document(MODEL, window + (WINDOWS - 1) * STRIDE), window, STRIDE)


def truncated(tokens: int) -> Call:
    """Measures the perplexity of a document's beginning at three lengths, of which `tokens` is the longest."""
    return partial(sweep, *model_and_document(MODEL, tokens), [tokens // 4, tokens // 2, tokens])


def steps(window: int) -> int:
    """Counts the steps of the simplex method in a `program`."""
    done = []

    def counted(*arguments: Any, **how: Any) -> Any:
        done.append(solution := linprog(*arguments, **how))
        return solution

    with patch("pi_theory.amplification.linprog", counted):
        program(window)()
    return sum(solution.nit for solution in done)


# What is measured, what makes the call for a size, the sizes, what they count, and the power that theory allows: each
# position of a grid costs the same, an interval is cut where the bound is close alone, and attention is quadratic in a
# window. A program looks through its trained positions in each of its steps, whose own power is counted and added.
GROWTHS: list[tuple[str, Callable[[int], Call], tuple[int, ...], str, float]] = [
    ("B(s) on a grid", grid, (65_536, 262_144, 1_048_576, 4_194_304), "positions", 1),
    ("certified minimum of B/d", certified_minimum, (4_096, 32_768, 262_144, 1_048_576), "length of the interval", 1),
    (PROGRAM, program, (128, 256, 512, 2048), "trained positions", 1),
    (f"sliding perplexity, {MODEL}, {WINDOWS} windows", sliding, (512, 1024, 2048, 8192), "window", 2),
    (f"truncated sweep, {MODEL}", truncated, (2048, 4096, 8192, 32_768), "tokens", 2),
]


def exponent(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """The slope of the logarithm of time against that of size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def rows() -> Iterator[Row]:
    """The exponent of each computation, from turns over its sizes."""
    for what, made, sizes, of, power in GROWTHS:
        calls = {str(size): made(size) for size in sizes}
        seconds = race(calls, repeats=REPEATS, relative=None, at_least=AT_LEAST)
        exponents = [exponent(sizes, list(turn)) for turn in zip(*seconds.values(), strict=True)]
        if what == PROGRAM:
            power += exponent(sizes, [float(steps(size)) for size in sizes])
        each = [statistics.median(turns) for turns in seconds.values()]
        yield measured(what, f"power of the {of}", exponents, aim=power, sizes=list(sizes), each_seconds=each)
