import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.runner import scheduler
from experiments.runner.scheduler import Step, run_steps
from tests.forks import ended


@pytest.fixture(autouse=True)
def build(tmp_path, monkeypatch):
    monkeypatch.setattr(scheduler, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(scheduler, "DURATIONS", tmp_path / "durations.json")
    return tmp_path


def step(name, program, **more):
    return Step(name, [sys.executable, "-c", program], 0.1, **{"cores": 1, **more})


def test_every_step_runs_and_its_duration_is_kept(build):
    steps = [step(name, f"open({str(build / name)!r}, 'w')") for name in "abc"]
    assert run_steps(steps) == 0
    assert {path.name for path in build.iterdir()} >= {"a", "b", "c"}
    assert set(json.loads(scheduler.DURATIONS.read_text())) == {"a", "b", "c"}


def test_the_last_step_waits_for_all_others(build):
    slow = step("slow", f"import time; time.sleep(0.5); open({str(build / 'slow')!r}, 'w')")
    last = step("last", f"open({str(build / 'slow')!r})", last=True)
    assert run_steps([last, slow]) == 0


def test_a_failed_step_shows_its_last_words_and_stops_what_waits(build, capsys):
    failing = step("failing", "print('much before'); raise SystemExit('the disk is full')", cores=None)
    never = step("never", f"open({str(build / 'never')!r}, 'w')", last=True)
    assert run_steps([failing, never]) == 1
    said = capsys.readouterr()
    assert "the disk is full" in said.out + said.err
    assert not (build / "never").exists()


def test_a_step_is_ended_with_what_it_started_when_its_time_is_over(build, capsys):
    child = "import time; time.sleep(600)"
    program = f"""
import pathlib, signal, subprocess, sys, time
one = subprocess.Popen([sys.executable, "-c", {child!r}])
pathlib.Path({str(build / "pid")!r}).write_text(str(one.pid))
time.sleep(600)
"""
    start = time.monotonic()
    late = step("late", program, deadline=time.time() + 5)
    other = step("other", f"open({str(build / 'other')!r}, 'w')", last=True)
    assert run_steps([late, other]) == 1
    assert time.monotonic() - start < 60
    assert "late: the time was over" in capsys.readouterr().err
    assert (build / "other").exists()
    assert ended((build / "pid").read_text())


def test_a_step_whose_time_is_over_is_not_begun(build):
    assert run_steps([step("never", f"open({str(build / 'never')!r}, 'w')", deadline=time.time() - 1)]) == 1
    assert not (build / "never").exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=5)
@given(st.lists(st.sampled_from([1, 2, None]), min_size=1, max_size=4))
def test_no_more_cores_are_used_than_there_are(build, wanted):
    log = build / "log"
    log.write_text("")
    program = f"""
import os, time
def say(text):
    file = os.open({str(log)!r}, os.O_WRONLY | os.O_APPEND)
    os.write(file, text.encode())
say("+%s\\n"); time.sleep(0.1); say("-%s\\n")
"""
    there_are = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    steps = [
        step(str(n), program.replace("%s", str(min(c or there_are, there_are))), cores=c) for n, c in enumerate(wanted)
    ]
    assert run_steps(steps) == 0
    used = 0
    for line in log.read_text().split():
        used += int(line)
        assert used <= there_are


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_ending_the_runner_ends_its_steps_and_what_they_started(build, how):
    pid = build / "pid"
    child = f"""
import subprocess, sys
one = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(pid)!r}, "w").write(str(one.pid))
one.wait()
"""
    program = f"""
import sys
from functools import partial
from pathlib import Path
from experiments.runner import scheduler
scheduler.LOGS, scheduler.DURATIONS = Path({str(build / "logs")!r}), Path({str(build / "durations.json")!r})
scheduler.run_steps([scheduler.Step("long", [sys.executable, "-c", {child!r}], 60)])
"""
    # Whoever runs the suite in the background ignores Ctrl-C, and what it starts would inherit that.
    heeds = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    runner = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL, preexec_fn=heeds)
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.05)
    runner.send_signal(how)
    assert runner.wait(timeout=20) != 0
    for _ in range(100):
        try:
            os.kill(int(pid.read_text()), 0)
        except ProcessLookupError:
            break
        time.sleep(0.05)
    else:
        pytest.fail("the step's own process lives on")
