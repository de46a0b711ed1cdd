"""How two ways to the same answer are compared: in turns within one run, after a warm-up of each.

A comparison whose answers differ is not reported. The ways are "ours", this project, and "theirs".
"""

import gc
import json
import math
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from experiments.records.record import ROOT

Call = Callable[[], Sequence[float]]

FASTER = "times as fast"
LEANER = "of its peak memory"


class Different(Exception):
    """Two ways that should give the same answer gave different ones."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A measured value, and what it should be.

    Attributes:
        what: What was measured. Together with `beside` and `unit` it names the row within its part.
        beside: What it is compared with; "" for nothing.
        unit: The unit of the value. `FASTER` and `LEANER` are ratios to `beside`.
        value: The median of the measurements.
        lowest: The lowest measurement.
        highest: The highest measurement.
        n: The number of measurements.
        aim: What the value should reach or, where less is better, not exceed; None where nothing was aimed for.
        more: Whether more is better.
        detail: The numbers that the value comes from, with their units in the names.
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
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Times several ways to the same answer, in turns whose order is reversed every other time.

    Args:
        ways: By name, the calls that give the answer, as numbers.
        repeats: How many turns each way has, after a warm-up that is not counted.
        relative: The largest relative difference between answers; None where the ways do not answer the same question.
        at_least: How many seconds a turn takes at least, by repeating the call within it; 0 for calls that must not be
            repeated because they change something, as training steps do.
        warm: Whether to leave the warm-up out, for slow ways that have run before at another size. Each turn then is
            one call.
        clock: What counts the seconds: those that pass, or those of a processor (`time.process_time`), to which it
            matters less what else the machine does.

    Returns:
        The seconds of one call in each turn, by name.

    Raises:
        Different: Answers differ by more than `relative`.
    """
    calls = dict.fromkeys(ways, 1)
    answers: dict[str, list[float]] = {}
    for name, way in ways.items() if not warm else ():
        seconds, answers[name] = _timed(way, 1, clock)
        if seconds < 10 * at_least:  # the first call may have spent its time on imports
            seconds, answers[name] = _timed(way, 1, clock)
        calls[name] = math.ceil(max(1, at_least / seconds))
    same(answers, relative)
    turns: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats):
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            seconds, answers[name] = _timed(ways[name], calls[name], clock)
            turns[name].append(seconds)
        same(answers, relative)
    return turns


def _timed(call: Call, times: int, clock: Callable[[], float]) -> tuple[float, list[float]]:
    """The seconds of one of so many calls, and the answer of the last."""
    start = clock()
    for _ in range(times):
        answer = call()
    return (clock() - start) / times, list(answer)


def same(answers: Mapping[str, Sequence[float]], relative: float | None = 1e-4) -> None:
    """Checks that all answers are the first one's numbers.

    Args:
        answers: By name, numbers.
        relative: The largest relative difference; None checks nothing.

    Raises:
        Different: They are not.
    """
    if relative is None or not answers:
        return
    (first, wanted), *others = answers.items()
    for name, found in others:
        if len(found) != len(wanted) or not all(map(partial(math.isclose, rel_tol=relative), found, wanted)):
            raise Different(f"{first} and {name} do not give the same numbers: {wanted[:5]} and {found[:5]}")


def faster(
    what: str, beside: str, seconds: Mapping[str, Sequence[float]], *, aim: float | None = None, **detail: Any
) -> Row:
    """A row that says how many times as fast ours is as theirs, as the median over turns.

    Args:
        what: What was measured.
        beside: What theirs is.
        seconds: The seconds of "ours" and "theirs" in each turn, from `race`.
        aim: How many times as fast it should be at least.
        **detail: More numbers to keep in the row.
    """
    medians: dict[str, Any] = {f"{who}_seconds": statistics.median(seconds[who]) for who in ("ours", "theirs")}
    ratios = [other / own for own, other in zip(seconds["ours"], seconds["theirs"], strict=True)]
    return measured(what, FASTER, ratios, beside=beside, aim=aim, more=True, **medians, **detail)


def leaner(
    what: str, beside: str, ours: Sequence[float], theirs: Sequence[float], *, aim: float | None = None, **detail: Any
) -> Row:
    """A row that says which share of their peak memory ours takes, as the median over pairs of processes.

    Args:
        what: What was measured.
        beside: What theirs is.
        ours: Our peaks in GiB, from `peak_gib`.
        theirs: Their peaks in GiB.
        aim: The share that it should not exceed.
        **detail: More numbers to keep in the row.
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
    """A row with the median of measurements and their range; see `Row` for the arguments."""
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
    """How many seconds a command takes from start to end, in each of several runs after one that is not counted.

    Raises:
        subprocess.CalledProcessError: The command failed.
    """
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def alone(module: str, function: str, *arguments: object) -> tuple[Any, float]:
    """Calls ``module.function(*arguments)`` in a new process, to measure its memory.

    Arguments and result pass as JSON.

    Returns:
        What the function returned, and the largest resident size of the process in GiB, interpreter and libraries
        included.

    Raises:
        RuntimeError: The process failed. The message has the last line that it printed, or its exit code.
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


def added_gib(call: Callable[[], object]) -> float:
    """The most memory in GiB that a call takes beside what its process holds already. Linux alone can tell."""
    status = Path("/proc/self/status")

    def resident(which: str) -> int:
        return int(re.search(rf"{which}:\s+(\d+) kB", status.read_text())[1])  # type: ignore[index]

    gc.collect()  # what is garbage already would be given back meanwhile
    Path("/proc/self/clear_refs").write_text("5")  # forgets the highest resident size so far
    before = resident("VmRSS")
    call()
    return (resident("VmHWM") - before) / 2**20


def peak_gib(module: str, function: str, *arguments: object) -> float:
    """The largest resident size in GiB of a new process that calls ``module.function(*arguments)``."""
    return alone(module, function, *arguments)[1]
