"""Ours beside theirs, in one run: interleaved, warmed up apart, the same answer checked first."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from experiments.record import ROOT


def compare(
    ours: Callable[[], Sequence[float]],
    theirs: Callable[[], Sequence[float]],
    *,
    repeats: int = 3,
    relative: float = 1e-4,
) -> dict[str, Any]:
    """Time two ways to the same numbers.

    Returns:
        ratio (theirs / ours: above 1 we are faster), its lowest and highest over the pairs, and median seconds.

    Raises:
        ValueError: the two do not give the same numbers to `relative`.
    """
    ours_say, theirs_say = list(ours()), list(theirs())  # also the warm-up
    same = len(ours_say) == len(theirs_say) and all(
        abs(a - b) <= relative * abs(b) for a, b in zip(ours_say, theirs_say, strict=True)
    )
    if not same:
        raise ValueError(f"not the same numbers: {ours_say[:5]} and {theirs_say[:5]}")
    pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(repeats)]
    ratios = sorted(other / own for own, other in pairs)
    return {
        "ratio": statistics.median(ratios),
        "ratio_lowest": ratios[0],
        "ratio_highest": ratios[-1],
        "ours_seconds": statistics.median(own for own, _ in pairs),
        "theirs_seconds": statistics.median(other for _, other in pairs),
        "repeats": repeats,
    }


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def peak_gib(module: str, function: str, *arguments: object) -> float:
    """Largest resident size of a new process that calls ``module.function(*arguments)``, everything included."""
    program = (
        "import sys, json, importlib\n"
        "module, function, arguments = json.loads(sys.argv[1])\n"
        "getattr(importlib.import_module(module), function)(*arguments)\n"
        "from experiments.record import peak_memory_gib\n"
        "print(peak_memory_gib())"
    )
    told = json.dumps([module, function, arguments])
    done = subprocess.run([sys.executable, "-c", program, told], capture_output=True, text=True, check=True, cwd=ROOT)
    return float(done.stdout.split()[-1])
