"""Times and memory of two ways to one answer: turn by turn in one run, and never unless the answers agree."""

import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from experiments.records.record import ROOT

Call = Callable[[], Sequence[float]]

FASTER = "times as fast"
LEANER = "of its peak memory"


class Different(Exception):
    """Two ways that should give the same answer do not."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A measured value, and what it should be.

    Attributes:
        what: what of ours is measured; with `beside` and `unit` it names the row in its part.
        beside: what it is held against; "" is nothing.
        unit: of the value; `FASTER` and `LEANER` are ratios to `beside`.
        value: the median of the measurements.
        lowest, highest: the range of the measurements.
        n: the number of measurements.
        aim: what the value should reach, or should not exceed; None where nothing was aimed for.
        more: whether more is better.
        detail: what the value comes from, with units in the names.
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
    ways: Mapping[str, Call],
    *,
    repeats: int,
    relative: float | None = 1e-4,
    at_least: float = 0.2,
    warm: bool = False,
) -> dict[str, list[float]]:
    """Measures ways to the same numbers in turns, every other turn in the opposite order.

    Args:
        ways: the calls, by name; each returns its numbers.
        repeats: how many turns count; one before them does not.
        warm: whether the ways have run before, at another size, and are slow: then every turn counts and is one call.
        relative: how far answers may lie apart; None where the ways do not give the same numbers.
        at_least: a turn repeats its call until it takes so many seconds; 0 for calls that change something, as training
            steps do.

    Returns:
        By way, the seconds of one call in each turn.

    Raises:
        Different: the numbers of some turn lie further apart than `relative` allows.
    """
    calls = dict.fromkeys(ways, 1)
    answers: dict[str, list[float]] = {}
    for name, way in ways.items() if not warm else ():
        seconds, answers[name] = _timed(way, 1)
        if seconds < 10 * at_least:  # the first call may have imported something
            seconds, answers[name] = _timed(way, 1)
        calls[name] = math.ceil(max(1, at_least / seconds))
    same(answers, relative)
    turns: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats):
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            seconds, answers[name] = _timed(ways[name], calls[name])
            turns[name].append(seconds)
        same(answers, relative)
    return turns


def _timed(call: Call, times: int) -> tuple[float, list[float]]:
    """The seconds that one of so many calls takes, and its answer."""
    start = time.perf_counter()
    for _ in range(times):
        answer = call()
    return (time.perf_counter() - start) / times, list(answer)


def same(answers: Mapping[str, Sequence[float]], relative: float | None = 1e-4) -> None:
    """Raises Different unless all ways gave the numbers of the first, to within `relative`; None asks for nothing."""
    if relative is None or not answers:
        return
    (first, wanted), *others = answers.items()
    for name, found in others:
        if len(found) != len(wanted) or not all(map(partial(math.isclose, rel_tol=relative), found, wanted)):
            raise Different(f"{first} and {name} do not give the same numbers: {wanted[:5]} and {found[:5]}")


def faster(
    what: str, beside: str, seconds: Mapping[str, Sequence[float]], *, aim: float | None = None, **detail: Any
) -> Row:
    """The row that says how many times as fast ours is, turn by turn.

    Args:
        what, beside: see `Row`.
        seconds: of "ours" and "theirs", from `race`.
        aim: ours should be at least so many times as fast.
        detail: see `Row`.
    """
    medians: dict[str, Any] = {f"{who}_seconds": statistics.median(seconds[who]) for who in ("ours", "theirs")}
    ratios = [other / own for own, other in zip(seconds["ours"], seconds["theirs"], strict=True)]
    return measured(what, FASTER, ratios, beside=beside, aim=aim, more=True, **medians, **detail)


def leaner(
    what: str, beside: str, ours: Sequence[float], theirs: Sequence[float], *, aim: float | None = None, **detail: Any
) -> Row:
    """The row that says which share of their peak memory ours needs, process by process.

    Args:
        what, beside: see `Row`.
        ours, theirs: peaks in GiB, from `peak_gib`.
        aim: ours should need at most this share.
        detail: see `Row`.
    """
    peaks: dict[str, Any] = {"ours_peak_gib": statistics.median(ours), "theirs_peak_gib": statistics.median(theirs)}
    shares = [own / other for own, other in zip(ours, theirs, strict=True)]
    return measured(what, LEANER, shares, beside=beside, aim=aim, **peaks, **detail)


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
    """The row of some measurements: their median and their range."""
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
    """The wall seconds of a whole process, run so many times after one run that is not counted.

    Raises:
        subprocess.CalledProcessError: the process failed.
    """
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def alone(module: str, function: str, *arguments: object) -> tuple[Any, float]:
    """Calls ``module.function(*arguments)`` in a new process.

    Args:
        module: the dotted name of a module.
        function: the name of a function in it, whose result JSON can hold.
        arguments: JSON values.

    Returns:
        What the function returned, and the largest resident size of the process in GiB, everything included.

    Raises:
        RuntimeError: the process failed; the message has its last words.
    """
    program = (
        "import sys, json, importlib\n"
        "module, function, arguments = json.loads(sys.argv[1])\n"
        "value = getattr(importlib.import_module(module), function)(*arguments)\n"
        "from experiments.records.record import peak_memory_gib\n"
        "print()\n"
        "print(json.dumps([value, peak_memory_gib()]))"
    )
    told = json.dumps([module, function, arguments])
    done = subprocess.run([sys.executable, "-c", program, told], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]  # negative: killed, as for memory
        raise RuntimeError(f"{module}.{function}{arguments} failed: {why[0]}")
    value, peak = json.loads(done.stdout.splitlines()[-1])
    return value, peak


def peak_gib(module: str, function: str, *arguments: object) -> float:
    """The largest resident size in GiB of a process that makes one call, see `alone`."""
    return alone(module, function, *arguments)[1]
