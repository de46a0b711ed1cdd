"""How each main computation grows with its size: the exponent of the power of the size that fits its time best."""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from experiments.bench_perplexity import model_and_document
from pi_model.evaluation.perplexity import sliding_perplexity, truncated_perplexity
from pi_theory.amplification import FiniteWindow
from pi_theory.envelope import minimum
from pi_theory.extrapolation import B_on_grid
from pi_theory.scaling import LinearPI

REPEATS = 3
DOCUMENT = 8192  # tokens

Call = Callable[[], object]


def grid(count: int) -> Call:
    return lambda: B_on_grid(count, head_dim=128, base=10_000)


def certified_minimum(upto: int) -> Call:
    return lambda: minimum(0, upto, head_dim=128, base=10_000)


def program(window: int) -> Call:
    def call() -> object:
        fresh = FiniteWindow(head_dim=64, base=10_000, window=window, scaling=LinearPI(2.0))
        return fresh.worst_case(window // 2 + 1, 1.0)

    return call


def sliding(window: int) -> Call:
    model, ids = model_and_document("tiny", DOCUMENT)
    return lambda: sliding_perplexity(model, [ids], windows=[window], stride=256)


def sweep(tokens: int) -> Call:
    model, ids = model_and_document("tiny", tokens)
    return lambda: truncated_perplexity(model, [ids], windows=[tokens // 4, tokens // 2, tokens])


# what, what makes the call for a size, its sizes, and what they count
GROWTHS: list[tuple[str, Callable[[int], Call], tuple[int, int, int], str]] = [
    ("B(s) on a grid", grid, (65_536, 262_144, 1_048_576), "positions"),
    ("certified minimum of B/d", certified_minimum, (4_096, 32_768, 262_144), "length of the interval"),
    ("finite-window program, one position", program, (128, 256, 512), "trained positions"),
    (f"sliding perplexity, tiny, {DOCUMENT} tokens, stride 256", sliding, (512, 1024, 2048), "window"),
    ("truncated sweep, tiny", sweep, (2048, 4096, 8192), "tokens"),
]


def exponent(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """Slope of log time against log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def rows() -> Iterator[dict[str, Any]]:
    """Exponents, and the median times they come from."""
    for what, made, sizes, of in GROWTHS:
        seconds = []
        for size in sizes:
            call = made(size)
            call()
            seconds.append(statistics.median(_seconds(call) for _ in range(REPEATS)))
        yield {"what": what, "exponent": exponent(sizes, seconds), "sizes": sizes, "of": of, "each_seconds": seconds}


def _seconds(call: Call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
