"""Runs commands on the cores there are, with one progress display over all of them and the time left.

What a command writes to its streams is kept in a file, and its last lines are shown when the command fails.
"""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments.records.record import ROOT, write_atomically

LOGS = ROOT / "build" / "logs"
DURATIONS = ROOT / "build" / "durations.json"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Step:
    """A command, and what the scheduler has to know of it.

    Attributes:
        name: what it is called on the screen and in its log's name.
        command: the program and its arguments.
        seconds: a guess of its duration, until it has run here once.
        cores: how many it can use; None is all there are.
        last: whether it waits until every other step has ended.
        deadline: when it is ended if it still runs, in seconds since the epoch.
    """

    name: str
    command: Sequence[str]
    seconds: float
    cores: int | None = None
    last: bool = False
    deadline: float = math.inf


@dataclass
class _Running:
    step: Step
    cores: int
    process: subprocess.Popen[bytes]
    start: float


def run_steps(steps: Sequence[Step]) -> int:
    """Runs every step, the longest first; after a failure those that run are waited for and no other is started.

    A step that still runs at its deadline is ended with all that it started, and one whose deadline has passed is not
    begun; the others go on.

    Returns:
        0, or 1 when a step failed or its time was over, after a line about it on standard error.
    """
    there_are = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    durations = _durations()
    now = time.time()
    guess = {step.name: min(durations.get(step.name, step.seconds), max(step.deadline - now, 0.1)) for step in steps}
    waiting = sorted(steps, key=lambda step: (step.last, -guess[step.name]))
    running: list[_Running] = []
    done, failed, late = 0.0, False, False

    def cores(step: Step) -> int:
        return min(step.cores or there_are, there_are)

    def work(step: Step) -> float:
        return guess[step.name] * cores(step) / there_are

    def next_step() -> Step | None:
        free = there_are - sum(one.cores for one in running)
        ready = (step for step in waiting if cores(step) <= free and not (step.last and running))
        return None if failed else next(ready, None)

    # A terminated runner takes its steps along, as an interrupted one does.
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    layout = "{desc} {bar} {elapsed} done, about {remaining} left"
    bar = tqdm(total=sum(map(work, steps)) or 1, bar_format=layout, disable=None if steps else True)
    try:
        while running or (waiting and not failed):
            while (step := next_step()) is not None:
                waiting.remove(step)
                if time.time() >= step.deadline:
                    late = True
                    bar.write(f"{step.name}: the time was over before it began", file=sys.stderr)
                    continue
                running.append(_start(step, cores(step)))
                if bar.disable:
                    number = len(steps) - len(waiting)
                    print(f"{number}/{len(steps)}: {step.name}", file=sys.stderr, flush=True)
            time.sleep(0.1)
            now = time.monotonic()
            for one in [one for one in running if time.time() >= one.step.deadline and one.process.poll() is None]:
                running.remove(one)
                _end([one])
                done += work(one.step)
                late = True
                said = f"{one.step.name}: the time was over; run again, it goes on from what it kept"
                bar.write(said, file=sys.stderr)
            for one in [one for one in running if one.process.poll() is not None]:
                running.remove(one)
                one.process.communicate()  # closes its pipe
                done += work(one.step)
                if one.process.returncode:
                    failed = True
                    bar.write(_last_words(one), file=sys.stderr)
                else:
                    durations[one.step.name] = round(now - one.start, 1)
                    _keep(durations)
            finished = len(steps) - len(waiting) - len(running)
            names = " and ".join(one.step.name for one in running)
            bar.set_description_str(f"{finished}/{len(steps)} {names}", refresh=False)
            bar.n = done + sum(
                work(one.step) * min(1, (now - one.start) / max(guess[one.step.name], 0.1)) for one in running
            )
            bar.refresh()
    finally:
        _end(running)
        bar.close()
        signal.signal(signal.SIGTERM, before)
    return int(failed or late)


def _start(step: Step, cores: int) -> _Running:
    LOGS.mkdir(parents=True, exist_ok=True)
    environment = os.environ | ({name: str(cores) for name in _THREADS} if step.cores else {})
    with _log(step).open("wb") as log:
        # A group of its own: Ctrl-C reaches the runner only, which ends its steps and what they started. The pipe tells
        # a step that the runner was killed.
        process = subprocess.Popen(
            step.command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    return _Running(step, cores, process, time.monotonic())


def _end(running: Sequence[_Running]) -> None:
    """Ends processes with all that they started; those that do not heed it within five seconds are killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for one in running:
            with suppress(ProcessLookupError):
                os.killpg(one.process.pid, number)
        for one in running:
            with suppress(subprocess.TimeoutExpired):
                one.process.communicate(timeout=5)


def _log(step: Step) -> Path:
    return LOGS / f"{step.name}.log"


def _last_words(one: _Running) -> str:
    said = _log(one.step).read_text(errors="replace").strip().splitlines()
    ended = f"{one.step.name} failed (exit {one.process.returncode}, all it said is in {_log(one.step)})"
    return "\n".join([*said[-5:], ended])


def _durations() -> dict[str, Any]:
    """How many seconds each step took when it last ended well, by name."""
    try:
        found = json.loads(DURATIONS.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _keep(durations: dict[str, Any]) -> None:
    write_atomically(DURATIONS, json.dumps(durations, indent=1).encode())
