import json

import pytest

from experiments.records import record, source_hashes
from experiments.records.study import Study
from experiments.runner import verify
from tests.pipeline import synthetic


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    return tmp_path


def recorded(metrics, **changes):
    """A committed record of a study that now gives `metrics`, and that study."""
    study = Study(name="positions", says="", config={"x": 1}, run=lambda _: metrics, **changes)
    study.measure()
    path = record.path_of("positions", live=False)
    path.parent.mkdir(exist_ok=True)
    study.path.rename(path)
    return path, study


def again(study, metrics):
    return Study(**{**vars(study), "run": lambda _: metrics})


def test_a_new_run_within_its_tolerances_is_the_same():
    path, study = recorded({"a": [1.0, 2.0], "n": 3, "says": "yes", "noise": 5.0}, tolerances={"": 1e-6, "noise": None})
    now = again(study, {"a": [1.0, 2.0 + 1e-7], "n": 3, "says": "yes", "noise": 9.0})
    assert verify.verify(path, {"positions": now}, rerun=True) == {
        "record": "recorded/positions.json",
        "rerun": True,
        "errors": [],
        "warnings": [],
    }


@pytest.mark.parametrize(
    ("metrics", "where"),
    [
        ({"a": [1.0, 2.001], "n": 3, "says": "yes"}, "a: 2.001 now, 2.0 recorded"),
        ({"a": [1.0], "n": 3, "says": "yes"}, "a: "),
        ({"a": [1.0, 2.0], "n": 3, "says": "no"}, "says: 'no' now, 'yes' recorded"),
        ({"a": [1.0, 2.0], "says": "yes"}, ": {"),
        ({"a": [1.0, 2.0], "n": True, "says": "yes"}, "n: True now, 3 recorded"),
    ],
)
def test_a_new_run_that_differs_fails_and_says_where(metrics, where):
    path, study = recorded({"a": [1.0, 2.0], "n": 3, "says": "yes"}, tolerances={"": 1e-6})
    (error,) = verify.verify(path, {"positions": again(study, metrics)}, rerun=True)["errors"]
    assert error.startswith(where)


def test_the_longest_path_decides_and_a_name_that_only_begins_alike_does_not():
    tolerances = {"": 0.0, "a": 0.1, "a.b": None}
    old = {"a": {"b": 1.0, "c": 1.0}, "ab": 1.0}
    new = {"a": {"b": 9.0, "c": 1.05}, "ab": 1.05}
    assert list(verify._differences("", new, old, tolerances)) == ["ab: 1.05 now, 1.0 recorded"]


def test_a_record_that_todays_project_would_not_make_is_a_warning(monkeypatch):
    path, study = recorded({"a": 1.0})
    monkeypatch.setattr(source_hashes, "sources", lambda _: ["frequencies 0123", "run 4567"])
    now = Study(**{**vars(study), "config": {"x": 2}, "inputs": lambda: {"data": "new"}})
    row = verify.verify(path, {"positions": now}, rerun=True)
    assert row["errors"] == []
    code_line, config_line, inputs_line = row["warnings"]
    assert "frequencies" in code_line
    assert config_line == "its config changed since: x"
    assert inputs_line == "its inputs changed since"


def test_a_record_of_a_study_that_stopped_before_its_end_is_a_warning_that_names_the_command():
    path, study = recorded({"stopped_early": True})
    (warning,) = verify.verify(path, {"positions": study}, rerun=True)["warnings"]
    assert warning == "its study stopped before its end; it goes on with: python -m experiments positions"


def test_a_profiles_record_is_held_against_that_profile_and_one_of_a_model_of_ones_own_against_nothing_but_itself():
    study = Study(
        name="positions", says="", config={"model": "m", "x": 1}, run=lambda _: {}, profiles={"gpu": {"x": 2}}
    )
    study.variant(profile="gpu").measure()
    now = Study(**{**vars(study), "profiles": {"gpu": {"x": 3}}, "tolerances": {"": 0.0}})
    path = record.path_of("positions@gpu", live=True)
    assert verify.verify(path, {"positions": study}, rerun=True)["warnings"] == []
    assert verify.verify(path, {"positions": now}, rerun=True)["warnings"] == ["its config changed since: x"]
    own = study.variant(model="another")
    own.measure()
    row = verify.verify(own.path, {"positions": now}, rerun=True)
    assert (row["errors"], row["warnings"], row["rerun"]) == ([], [], False)


def test_a_config_that_is_not_what_was_hashed_fails(results):
    synthetic.write("positions", {}, live=False, config={"other": 1})
    (error,) = verify.verify(record.path_of("positions", live=False), {}, rerun=False)["errors"]
    assert "config" in error


def test_the_command_exits_1_for_a_tampered_record_and_names_it(results, monkeypatch, capsys):
    synthetic.write("positions", {"a": 1.5}, live=False)
    path = record.path_of("positions", live=False)
    monkeypatch.setattr("sys.argv", ["verify", "--hashes-only", "--json"])
    monkeypatch.setattr(verify, "STUDIES", ())
    assert verify.main() == 0
    assert json.loads(capsys.readouterr().out)[0]["errors"] == []
    path.write_text(path.read_text().replace("1.5", "1.4"))
    assert verify.main() == 1
    assert "changed after it was written" in json.loads(capsys.readouterr().out)[0]["errors"][0]


def test_every_committed_record_is_what_its_study_wrote(monkeypatch):
    monkeypatch.undo()
    paths = sorted((record.RESULTS / "recorded").glob("*.json"))
    assert paths
    for path in paths:
        found = record.read_file(path)
        assert record.digest(found["config"]) == found["config_sha256"], path.name
