"""A study of fine-tuning runs takes the runs that its record has, and only if they are what it would measure today."""

import sys
from dataclasses import replace

import pytest

from experiments.measurement.kept import study_folder
from experiments.measurement.training import fine_tuning
from experiments.records import record, widen
from experiments.records.study import load
from pi_model.errors import UsageError
from tests.pipeline import synthetic
from tests.pipeline.toy import toy_config

NARROW = {"factors": [2], "seeds": [0], "peak_lrs": [1e-3], "methods": ["linear"], "steps": [1, 2]}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return toy_config(tmp_path_factory.mktemp("toy")) | NARROW


@pytest.fixture
def study(toy, tmp_path, monkeypatch):
    """Sets the config of a study that the command finds under the name of tiny_tables."""
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    found = replace(load("tiny_tables"), inputs=dict)

    def asks_for(**changes):
        asked = replace(found, config=found.config | toy | changes)
        monkeypatch.setattr(widen, "load", lambda name: asked)
        return asked

    return asks_for


def recorded(study, metrics, **changes):
    about = {"config": study.config, **study.fingerprint(), **changes}
    synthetic.write("tiny_tables", metrics, live=False, **about)


def measured(study):
    return study.run(study.config, processes=1, progress=False)


def test_a_widened_study_trains_only_what_its_record_lacks(study, monkeypatch):
    narrow = study()
    before = measured(narrow)
    recorded(narrow, before)
    wide = study(seeds=[0, 1], other_methods=["yarn"])
    assert "1 runs are taken" in widen.widen("tiny_tables")
    trained, train = set(), fine_tuning.train

    def watched(recipe, out):
        trained.add((recipe.method, recipe.seed))
        return train(recipe, out)

    monkeypatch.setattr(fine_tuning, "train", watched)
    after = measured(wide)
    assert trained == {("linear", 1), ("yarn", 0)}
    assert after["base"] == before["base"]
    assert after["runs"][0] == before["runs"][0]
    assert after["resumed"]


@pytest.mark.parametrize(
    ("asked", "changes"),
    [({"warmup_steps": 2}, {}), ({}, {"code": ["train 000000000000"]}), ({}, {"inputs": {"checkpoint": "0"}})],
    ids=["settings", "code", "inputs"],
)
def test_runs_of_other_settings_code_or_inputs_are_not_taken(study, asked, changes):
    recorded(study(), synthetic.tables(), **changes)
    wide = study(seeds=[0, 1], **asked)
    with pytest.raises(UsageError, match="its settings, code or inputs changed"):
        widen.widen("tiny_tables")
    assert not study_folder("tiny_tables", wide.config).exists()


def test_a_study_that_has_begun_keeps_what_it_has(study):
    recorded(study(), synthetic.tables())
    begun = study_folder("tiny_tables", study(seeds=[0, 1]).config)
    begun.mkdir(parents=True)
    with pytest.raises(UsageError, match="it has begun already; go on with: python -m experiments tiny_tables"):
        widen.widen("tiny_tables")
    assert not list(begun.iterdir())


@pytest.mark.parametrize(("name", "status"), [("no_such_study", 2), ("tiny_heads", 2), ("tiny_tables", 1)])
def test_what_cannot_be_widened_is_said_in_one_line(name, status, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(sys, "argv", ["widen", name])
    assert widen.main() == status
    said = capsys.readouterr().err
    assert said.startswith(f"{name}: ")
    assert said.count("\n") == 1
