"""One process: signals that come twice, faults that keep their traceback, and an export that is tried at the start."""

import gc
import json
import os
import signal
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pi_model.cli.main import main
from pi_model.errors import RunError
from pi_model.training import export, loop, stop_requests
from pi_model.training.loop import train
from pi_model.training.meter import collected_together
from pi_theory.console import out_of_memory
from tests.commands import ending
from tests.model.small_runs import small_config, write_documents


@pytest.fixture
def config(tiny_folder, tmp_path):
    return small_config(tiny_folder, write_documents(tmp_path / "d.jsonl"), steps=2)


@given(seconds=st.lists(st.floats(0.0, 4.0), min_size=1, max_size=5), kind=st.sampled_from(["SIGINT", "SIGTERM"]))
def test_signals_within_two_seconds_are_one_and_a_later_one_stops(seconds, kind):
    """Every wait is since the signal before; only the time since the first counts."""
    number, now = signal.Signals[kind], [100.0]
    stopped = []
    before = signal.signal(number, lambda *_: stopped.append(now[0]))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stop_requests.time, "monotonic", lambda: now[0])
            patch.setenv("RANK", "1")
            with stop_requests.stop_requests() as requests:
                assert not requests.asked()
                for wait in (0.0, *seconds):
                    now[0] += wait
                    signal.raise_signal(number)
                    assert requests.asked()
                    if now[0] - 100.0 >= stop_requests.SAME_SECONDS:
                        break
    finally:
        signal.signal(number, before)
    assert stopped == ([now[0]] if now[0] - 100.0 >= stop_requests.SAME_SECONDS else [])


def test_out_of_memory_is_what_the_allocators_say_and_nothing_else():
    def raised(work):
        try:
            work()
        except (RuntimeError, MemoryError) as error:
            return error
        return pytest.fail("nothing was raised")

    assert out_of_memory(raised(lambda: torch.empty(2**50)))
    assert out_of_memory(raised(lambda: bytearray(2**60)))
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert out_of_memory(RuntimeError("CUDA error: out of memory"))
    for other in (
        "CUDA error: an illegal memory access was encountered",
        "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory",
        "The file is not memory-mapped",
    ):
        assert not out_of_memory(RuntimeError(other))


@pytest.mark.parametrize("error", [RuntimeError("illegal memory access"), TypeError("three\nlines\nof it")], ids=repr)
def test_any_other_fault_is_one_line_that_names_the_file_with_its_traceback(error, config, tmp_path, monkeypatch):
    def broken(*_):
        raise error

    monkeypatch.setattr(loop, "optimizer_step", broken)
    (tmp_path / "run.json").write_text(json.dumps({"config": config.as_json()}))
    out = tmp_path / "out"
    ended = ending(main, "finetune", "--config", tmp_path / "run.json", "--out", out, "--quiet")
    path = out / "tracebacks/rank-00000.txt"
    said = f"{type(error).__name__}: {' '.join(str(error).split())}; the traceback is in {path}"
    assert (ended.code, ended.err) == (1, f"pi-model: error: {said}\n")
    assert "in broken" in path.read_text()
    monkeypatch.undo()
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))
    assert ending(main, "finetune", "--config", tmp_path / "run.json", "--out", out, "--quiet").code == 0


def test_what_would_fail_after_the_last_step_fails_before_the_first(config, tmp_path, monkeypatch):
    def refused(*_, **__):
        raise RunError("not written: the tokenizer")

    real, written = export.check_written, []
    monkeypatch.setattr(export, "check_written", refused)
    with pytest.raises(RunError, match="the tokenizer"):
        train(config, tmp_path / "out")
    assert not (tmp_path / "out/steps.jsonl").read_text()
    assert not (tmp_path / "out/model").exists()
    assert not (tmp_path / "out/.rehearsal").exists()

    def looked_at(folder, extension):
        (path,) = folder.glob("*.safetensors")
        written.append((path.stat().st_size, path.stat().st_blocks * 512))
        real(folder, extension)

    monkeypatch.setattr(export, "check_written", looked_at)
    train(config, tmp_path / "out")
    (outline, room), (size, _) = written
    assert room < size / 2
    assert abs(outline - size) < 512  # but for the header, which the two write with other spaces


def test_a_disk_without_room_for_the_trained_model_is_told_before_the_first_step(config, tmp_path, monkeypatch):
    usage = export.shutil.disk_usage
    monkeypatch.setattr(export.shutil, "disk_usage", lambda path: usage(path)._replace(free=1000))
    with pytest.raises(RunError, match=r"out: the trained model will need 0\.0 GiB, but .* free space there"):
        train(config, tmp_path / "out")


def test_garbage_is_collected_at_fixed_steps_and_as_before_afterwards():
    steps = []
    gc.callbacks.append(note := lambda phase, _: steps.append(now) if phase == "start" else None)
    try:
        with collected_together() as collect:
            for now in range(101):
                collect(now)
                [[] for _ in range(2000)]
    finally:
        gc.callbacks.remove(note)
    assert steps == [0, 50, 100]
    assert gc.isenabled()


def test_a_trace_of_a_step_is_written_where_asked_for(config, tmp_path):
    train(replace(config, steps=2), tmp_path / "out", profile_step=2)
    trace = json.loads((tmp_path / "out/profile/rank-00000.json").read_text())
    assert any("mm" in event.get("name", "") for event in trace["traceEvents"])
    assert os.listdir(tmp_path / "out/profile") == ["rank-00000.json"]
