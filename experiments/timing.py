"""Ours beside theirs, turn by turn in one run: warmed up apart, and never without the same answer."""

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from experiments.record import ROOT

Call = Callable[[], Sequence[float]]

FASTER = "times as fast"
LEANER = "of its peak memory"


class Different(Exception):
    """Two ways to one answer did not give it."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A measured value, and what it should be.

    Attributes:
        what: ours; with `beside` and `unit` it names the row in its part.
        beside: what it is held against, "" for nothing.
        unit: of the value: `FASTER` and `LEANER` are ratios to `beside`.
        value: the median.
        lowest, highest: over n measurements.
        n: how many.
        aim: what the value should reach, or not exceed; None where nothing was aimed for.
        more: whether more is better.
        detail: what the value comes from, units in the names.
    """

    what: str
    beside: str = ""
    unit: str
    value: float
    lowest: float
    highest: float
    n: int
    aim: float | None = None
    more: bool = False
    detail: dict[str, Any] = field(default_factory=dict)


def race(
    ways: Mapping[str, Call], *, repeats: int, relative: float | None = 1e-4, at_least: float = 0.2
) -> dict[str, list[float]]:
    """Seconds of one call, by way: `repeats` turns of each, every other turn in the opposite order.

    Args:
        ways: to the same numbers.
        repeats: turns, after one that is not counted.
        relative: how far answers may lie apart; None where they are not the same thing.
        at_least: calls are repeated within a turn until one takes so many seconds; 0 for calls that change something,
            as training steps do.

    Raises:
        Different: the numbers of some turn lie further apart.
    """
    calls = {}
    answers = {}
    for name, way in ways.items():
        seconds, answers[name] = _timed(way, 1)
        if seconds < 10 * at_least:  # the first call may have imported something
            seconds, answers[name] = _timed(way, 1)
        calls[name] = math.ceil(max(1, at_least / seconds))
    _check(answers, relative)
    turns: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats):
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            seconds, answers[name] = _timed(ways[name], calls[name])
            turns[name].append(seconds)
        _check(answers, relative)
    return turns


def _timed(call: Call, times: int) -> tuple[float, list[float]]:
    """Seconds of one call, and its answer."""
    start = time.perf_counter()
    for _ in range(times):
        answer = call()
    return (time.perf_counter() - start) / times, list(answer)


def _check(answers: dict[str, list[float]], relative: float | None) -> None:
    (first, wanted), *others = answers.items()
    for name, found in others if relative is not None else []:
        if len(found) != len(wanted) or not all(
            math.isclose(a, b, rel_tol=relative or 0) for a, b in zip(found, wanted, strict=True)
        ):
            raise Different(f"{first} and {name} do not give the same numbers: {wanted[:5]} and {found[:5]}")


def faster(
    what: str, beside: str, ours: Sequence[float], theirs: Sequence[float], *, aim: float | None = None, **detail: Any
) -> Row:
    """How many times as fast as theirs, turn by turn.

    Args:
        ours, theirs: seconds, of `race`.
        aim: at least so many times.
    """
    seconds = {"ours_seconds": statistics.median(ours), "theirs_seconds": statistics.median(theirs)}
    ratios = [other / own for own, other in zip(ours, theirs, strict=True)]
    return measured(what, FASTER, ratios, beside=beside, aim=aim, more=True, **seconds, **detail)


def leaner(what: str, beside: str, ours: float, theirs: float, *, aim: float | None = None, **detail: Any) -> Row:
    """What share of their peak memory.

    Args:
        ours, theirs: GiB, of `peak_gib`.
        aim: at most this share.
    """
    peaks = {"ours_peak_gib": ours, "theirs_peak_gib": theirs}
    return measured(what, LEANER, [ours / theirs], beside=beside, aim=aim, **peaks, **detail)


def measured(
    what: str,
    unit: str,
    values: Sequence[float],
    *,
    beside: str = "",
    aim: float | None = None,
    more: bool = False,
    **detail: Any,
) -> Row:
    """The median of values with their range."""
    return Row(
        what=what,
        beside=beside,
        unit=unit,
        value=statistics.median(values),
        lowest=min(values),
        highest=max(values),
        n=len(values),
        aim=aim,
        more=more,
        detail=detail,
    )


def seconds_of(command: Sequence[str], repeats: int) -> list[float]:
    """Wall seconds of a whole process, after one run that is not counted.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def peak_gib(module: str, function: str, *arguments: object) -> float:
    """Largest resident size of a new process that calls ``module.function(*arguments)``, everything included.

    Raises:
        RuntimeError: it failed; with its last words.
    """
    program = (
        "import sys, json, importlib\n"
        "module, function, arguments = json.loads(sys.argv[1])\n"
        "getattr(importlib.import_module(module), function)(*arguments)\n"
        "from experiments.record import peak_memory_gib\n"
        "print(peak_memory_gib())"
    )
    told = json.dumps([module, function, arguments])
    done = subprocess.run([sys.executable, "-c", program, told], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{module}.{function}{arguments} failed: {done.stderr.strip().splitlines()[-1:]}")
    return float(done.stdout.split()[-1])
