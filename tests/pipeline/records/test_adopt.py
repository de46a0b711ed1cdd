"""A record that was made without a checkout is adopted when, and only when, its code is that of the commit."""

import sys

import pytest

from experiments.bench import harness
from experiments.records import adopt, record, source_hashes
from experiments.records.study import load
from pi_model.errors import UsageError
from tests.pipeline import synthetic

COMMIT = {"commit": "c" * 40, "dirty": False}


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Where records are kept, a clean checkout, and a file name of another machine's choice."""
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(record, "commit", lambda: COMMIT)
    monkeypatch.setattr(record, "uncommitted", list)
    return tmp_path / "from-the-gpu.json"


def made(path, **changes):
    """The record of a study's toy size, as a machine without git writes it."""
    study = load("smollm2_finetune").variant(profile="toy")
    about = {"study": study.name, "label": study.label, "config": study.config, "commit": None, "dirty": None}
    synthetic.write(metrics={"found": 1}, **{**study.fingerprint(), **about, **changes}).rename(path)
    return record.read_file(path)


@pytest.mark.parametrize("about", [{}, {"commit": "a" * 40, "dirty": True}])
def test_a_record_without_a_commit_gets_todays_and_says_so(elsewhere, about):
    before = made(elsewhere, **about)
    kept = record.read_file(adopt.adopt(elsewhere))
    differ = {key for key in kept if kept[key] != before.get(key)}
    assert differ == {"commit", "dirty", "adopted", "sha256", "kept"}
    assert (kept["commit"], kept["dirty"], kept["adopted"]) == ("c" * 40, False, adopt.HOW)


def test_a_record_that_names_its_commit_keeps_it(elsewhere):
    made(elsewhere, commit="b" * 40, dirty=False)
    kept = record.read_file(adopt.adopt(elsewhere))
    assert kept["commit"] == "b" * 40
    assert "adopted" not in kept


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"code": ["train 000000000000"]}, "its code changed since it was measured: "),
        ({"config_sha256": "0" * 64}, "changed since it was measured: config_sha256"),
        ({"inputs": {}}, "changed since it was measured: inputs"),
        ({"study": "no_such_study"}, "no_such_study: no study makes it"),
        ({"label": "no-such-profile"}, "it has no profile of that name"),
    ],
)
def test_a_record_of_other_code_config_or_inputs_is_refused(elsewhere, changes, said):
    made(elsewhere, **changes)
    with pytest.raises(UsageError, match=said):
        adopt.adopt(elsewhere)
    assert not list(record.RESULTS.glob("recorded/*"))


def test_nothing_is_adopted_while_code_is_not_committed(elsewhere, monkeypatch, capsys):
    made(elsewhere)
    monkeypatch.setattr(record, "uncommitted", lambda: ["pi_model/files.py"])
    monkeypatch.setattr(sys, "argv", ["adopt", str(elsewhere)])
    assert adopt.main() == 2
    assert "commit pi_model/files.py first" in capsys.readouterr().err


def test_a_benchmarks_parts_are_adopted_beside_those_that_are_kept(elsewhere):
    today = record.digest(source_hashes.sources("experiments.bench.gpu"))
    part = {"code_sha256": today, "commit": None, "dirty": None, "wall_seconds": 1.0, "rows": []}
    synthetic.write(harness.GPU_NAME, {"parts": {"other": part}}, live=False)
    written = synthetic.write(harness.GPU_NAME, {"parts": {harness.GPU_NAME: part}}, commit=None, dirty=None)
    kept = record.read_file(adopt.adopt(written))
    parts = kept["metrics"]["parts"]
    assert parts == {"other": part, harness.GPU_NAME: part | COMMIT | {"adopted": adopt.HOW}}
    changed = {"parts": {harness.GPU_NAME: part | {"code_sha256": "0"}}}
    with pytest.raises(UsageError, match="its code changed since it was measured"):
        adopt.adopt(synthetic.write(harness.GPU_NAME, changed))
