"""A run's folder: whose it is, what may lie in it, and what is checked before a weight is read."""

import json
import shutil
from concurrent.futures import Future
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributed.checkpoint.api import CheckpointException

from pi_model.distributed.process_group import process_group
from pi_model.errors import RunError, UsageError
from pi_model.locks import NAME, locked
from pi_model.training import checkpoints, run_log
from pi_model.training.config import Architecture, Config, Evaluation, Lora, MixturePart, Summaries
from pi_model.training.loop import train
from pi_model.training.midrun_evaluation import MidrunEvaluation
from pi_model.training.preparation import prepare, weight_reader
from pi_model.training.run_log import read_log
from pi_model.training.sharding import sharded_model
from tests.model.small_runs import small_config, write_documents


@pytest.fixture
def data(tmp_path):
    return write_documents(tmp_path / "documents.jsonl")


@pytest.fixture
def config(tiny_folder, data):
    return small_config(tiny_folder, data, steps=2, checkpoint_every=1)


FOREIGN = st.one_of(
    st.sampled_from(
        ["step-00000005-keep", "step-5", "step-0000_005", "step-00000001 (1)", ".partial-x", "broken-00000001"]
    ),
    st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1).map("step-{}".format),
).filter(lambda name: name not in {f"step-{step:08}" for step in range(9)})


@pytest.fixture(scope="module")
def grown(tiny_folder, tmp_path_factory):
    """A run of one step, which the tests let grow beside foreign names."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("grown")
        patch.setenv("PI_MODEL_CACHE", str(folder / "cache"))
        config = small_config(tiny_folder, write_documents(folder / "d.jsonl"), steps=1, checkpoint_every=1)
        train(config, folder / "run")
        return config, folder


@given(names=st.sets(FOREIGN, max_size=4), kind=st.sampled_from(["file", "folder", "checkpoint"]))
def test_foreign_names_beside_checkpoints_are_neither_read_nor_removed(names, kind, grown):
    _, folder = grown
    kept = checkpoints.Checkpoints.__new__(checkpoints.Checkpoints)
    kept.folder = folder / "names"
    shutil.rmtree(kept.folder, ignore_errors=True)
    shutil.copytree(folder / "run/checkpoints", kept.folder)
    for name in names:
        path = kept.folder / name
        if kind == "file":
            path.touch()
        elif kind == "folder":
            path.mkdir()
        else:
            shutil.copytree(kept.folder / "step-00000001", path)
    assert kept.steps() == [1]
    assert kept._numbered(".partial-") == []


def test_a_run_beside_foreign_names_goes_on_and_leaves_them(grown, tmp_path, monkeypatch):
    config, folder = grown
    monkeypatch.setenv("PI_MODEL_CACHE", str(folder / "cache"))
    out = tmp_path / "run"
    shutil.copytree(folder / "run", out)
    shutil.copytree(out / "checkpoints/step-00000001", out / "checkpoints/step-00000005-keep")
    (out / "checkpoints/step-00000003").write_text("a file of the user's, in the way")
    (out / "checkpoints/.partial-notes").touch()
    (out / "notes.txt").touch()
    assert train(replace(config, steps=3, keep=1), out).resumed_at == 1
    names = {path.name for path in (out / "checkpoints").iterdir()}
    assert names == {"step-00000003", "step-00000005-keep", ".partial-notes", "broken-00000003"}
    assert (out / "checkpoints/broken-00000003").read_text().startswith("a file of the user's")
    assert (out / "notes.txt").exists()


def test_a_run_killed_before_its_first_line_goes_on(config, tmp_path):
    (tmp_path / "out/checkpoints").mkdir(parents=True)
    (tmp_path / "out" / NAME).touch()
    assert train(config, tmp_path / "out").steps == 2


def test_a_second_run_in_the_same_folder_is_refused_and_changes_nothing(config, tmp_path):
    out = tmp_path / "out"
    train(config, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    with locked(out / NAME, "it"), pytest.raises(RunError, match=r"out: .*out: in use by process \d+ on .* since"):
        train(replace(config, steps=4), out)
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}


def test_a_run_goes_on_where_folder_model_and_data_have_moved(config, tiny_folder, data, tmp_path):
    train(config, tmp_path / "out")
    shutil.copytree(tiny_folder, tmp_path / "elsewhere/model")
    shutil.move(data, tmp_path / "elsewhere")
    shutil.move(tmp_path / "out", tmp_path / "elsewhere/run")
    moved = replace(
        config,
        model=str(tmp_path / "elsewhere/model"),
        data=(MixturePart(name=str(tmp_path / "elsewhere/documents.jsonl")),),
        steps=3,
    )
    assert train(moved, tmp_path / "elsewhere/run").resumed_at == 2


@pytest.mark.parametrize("changed", ["model", "data"])
def test_another_model_or_other_data_in_the_same_place_is_another_run(changed, config, tiny_folder, tmp_path):
    config = replace(config, model=str(tmp_path / "model"))
    shutil.copytree(tiny_folder, tmp_path / "model")
    train(config, tmp_path / "out")
    if changed == "model":
        content = json.loads((tmp_path / "model/config.json").read_text())
        (tmp_path / "model/config.json").write_text(json.dumps(content | {"rms_norm_eps": 0.01}))
    else:
        write_documents(tmp_path / "documents.jsonl", words=121)
    with pytest.raises(UsageError, match=f"holds a run whose {changed}_sha256 was"):
        train(config, tmp_path / "out")


@pytest.mark.parametrize("out", ["model/run", "model", "data/run", "."])
def test_a_run_is_not_written_into_what_it_reads_nor_around_it(out, config, tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "model")
    (tmp_path / "data").mkdir()
    shutil.copy(config.data[0].name, tmp_path / "data")
    config = replace(config, model=str(tmp_path / "model"), data=(MixturePart(name=str(tmp_path / "data")),))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match=r"out: .*(is|is inside|holds) .*that is read"):
        train(config, tmp_path / out)
    assert sorted(tmp_path.rglob("*")) == before


def test_evaluations_of_other_data_are_made_anew_and_told_apart(config, tmp_path):
    out, other = tmp_path / "out", write_documents(tmp_path / "other.jsonl", words=150)
    asked = {"steps": (0, 2), "windows": (64,), "stride": 32, "samples": 2}
    first = Evaluation(data=config.data[0].name, **asked)
    for evaluation in (first, first, Evaluation(data=str(other), **asked), replace(first, stride=16), first):
        train(replace(config, evaluation=evaluation), out)
    lines = read_log(out / "evaluations.jsonl")
    # A finished run is measured as it is now; step 0 cannot be measured any more.
    assert [line["step"] for line in lines] == [0, 2, 2, 2]
    assert lines[0]["measured_sha256"] == lines[1]["measured_sha256"]
    assert len({line["measured_sha256"] for line in lines}) == 3
    moved = shutil.copytree(tmp_path, tmp_path.with_name("moved"))
    train(replace(config, evaluation=replace(first, data=str(moved / "documents.jsonl"))), out)
    assert read_log(out / "evaluations.jsonl") == lines


def test_a_checkpoint_that_cannot_be_written_says_why_and_leaves_nothing(config, tmp_path, monkeypatch):
    real, calls = checkpoints.async_save, []

    def full(state, *, checkpoint_id, process_group):
        written = real(state, checkpoint_id=checkpoint_id, process_group=process_group)
        calls.append(checkpoint_id)
        if len(calls) < 2:
            return written
        written.result()
        failed = Future()
        reason = OSError(28, "No space left on device", str(checkpoint_id / "__0_0.distcp"))
        failed.set_exception(CheckpointException("save", {0: (reason, None)}))
        return failed

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "async_save", full)
        with pytest.raises(RunError, match=r"step-00000002: not written: No space left on device; free space there"):
            train(config, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/checkpoints").iterdir()] == ["step-00000001"]
    assert train(config, tmp_path / "out").resumed_at == 1


def test_a_log_that_cannot_be_written_ends_the_run_with_its_last_checkpoint_whole(config, tmp_path, monkeypatch):
    real = run_log.append_line

    def full(path, line):
        real(Path("/dev/full") if '"step": 2' in line else path, line)

    with monkeypatch.context() as patch:
        patch.setattr(run_log, "append_line", full)
        with pytest.raises(RunError, match="/dev/full: not written: No space left"):
            train(config, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out/checkpoints").iterdir()] == ["step-00000001"]
    assert train(config, tmp_path / "out").resumed_at == 1


GROUPS = {
    "": small_config("m", "d"),
    "evaluation.": Evaluation(),
    "lora.": Lora(),
    "data.": Summaries(name="x", stream_tokens=1),
    "architecture.": Architecture(vocabulary=300, hidden=32, intermediate=64, layers=2, heads=4, kv_heads=2),
}
COUNTED = [
    (prefix, item.name)
    for prefix, group in GROUPS.items()
    for item in fields(group)
    if int in (kind := get_type_hints(type(group))[item.name], *get_args(kind))
]


@given(field=st.sampled_from(COUNTED), value=st.integers(max_value=-1) | st.integers(min_value=2**53 + 1))
def test_no_whole_number_is_negative_or_beyond_what_a_float_holds(field, value):
    prefix, name = field
    group = GROUPS[prefix]
    listed = isinstance(getattr(group, name), tuple)
    with pytest.raises(UsageError, match=f"^{prefix}{name}: must be at (least|most) "):
        replace(group, **{name: (value,) if listed else value})


@pytest.mark.parametrize("field", COUNTED, ids="".join)
def test_zero_never_stands_for_a_default(field):
    prefix, name = field
    group = GROUPS[prefix]
    if prefix + name in ("seed", "warmup_steps", "evaluation.steps", "evaluation.passkey_positions"):
        return
    with pytest.raises(UsageError, match=f"^{prefix}{name}: must be at least "):
        replace(group, **{name: (0,) if isinstance(getattr(group, name), tuple) else 0})


@settings(max_examples=10)
@given(
    name=st.sampled_from(["data", "split", "windows", "stride", "max_tokens", "samples", "passkey_positions"]),
    value=st.integers(-2, 200),
)
def test_evaluations_that_are_taken_can_be_made(name, value, grown):
    """Whatever the config takes can be measured; nothing is left to fail in the middle of a run."""
    config, folder = grown
    asked = {"steps": (0,), "data": config.data[0].name, "windows": (32,), "stride": 16, "samples": 1, "max_tokens": 99}
    asked |= {name: {"windows": (value,), "data": "", "split": " "}.get(name, value)}
    try:
        checked = replace(config, factor=8.0, evaluation=Evaluation(**asked, passkey_trials=1))
    except UsageError as error:
        told = str(error)
        assert told.startswith(("evaluation.stride: ", "evaluation.max_tokens: ", f"evaluation.{name}: "))
        return
    with pytest.MonkeyPatch.context() as patch, process_group("cpu") as device:
        patch.setenv("PI_MODEL_CACHE", str(folder / "cache"))
        start = prepare(checked, folder / "measured")
        model = sharded_model(start.hf_config(), weight_reader(checked, start), device)
        measured = MidrunEvaluation(checked, start).at(0, model)
        assert measured.keys() >= {"step", "loss_nats"}
        assert len(measured.get("accuracy", {})) == checked.evaluation.passkey_positions


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"warmup_steps": 7}, ["warmup_steps: 7 of 6 steps, so the rate never reaches peak_lr"]),
        ({"warmup_steps": 6}, []),
        (
            {"evaluation": Evaluation(steps=(2, 6, 7, 99), passkey_positions=1)},
            ["evaluation.steps: nothing is measured at 7, 99, beyond the run's 6 steps"],
        ),
        ({"evaluation": Evaluation(passkey_positions=1)}, ["evaluation.steps: names no step, so nothing is measured"]),
    ],
)
def test_what_may_not_be_meant_is_said(changes, said):
    assert replace(GROUPS[""], **changes).remarks() == said


def test_the_device_is_not_part_of_what_a_run_is(config):
    assert Config.__dataclass_fields__["device"].default == "auto"
    assert replace(config, device="auto").sha256() == replace(config, device="cuda").sha256() == config.sha256()
