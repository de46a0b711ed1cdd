import json
import shlex
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments import STUDIES
from experiments import __main__ as main
from experiments.records import record, source_hashes
from experiments.records.study import Study, load
from experiments.runner import orders
from pi_model.errors import UsageError


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of four modules: the study uses `near`, which uses `far`; nobody uses `other`."""
    sources = {
        "experiments/__init__.py": "",
        "experiments/studies/__init__.py": "",
        "experiments/studies/demo.py": "from pi_theory.near import f\n\ndef run(config):\n    return f()\n",
        "pi_theory/__init__.py": "",
        "pi_theory/near.py": "def f():\n    from pi_theory import far\n    return far\n",
        "pi_theory/far.py": "VALUE = 1\n",
        "pi_theory/other.py": "VALUE = 2\n",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(source_hashes, "ROOT", tmp_path)
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(record, "_git", lambda *_: "")  # two processes a record, and nothing to see
    return tmp_path


def change(path, salt):
    """Makes what the definitions of a file compute differ."""
    text = path.read_text()
    path.write_text(text.replace("return ", f"return {salt!r}, ").replace("VALUE = ", f"VALUE = {salt!r}, "))


def demo(runs, config=None, inputs=None):
    def run(config):
        runs.append(config)
        return {"value": config["x"]}

    return Study(name="demo", says="", config=config or {"x": 1}, run=run, inputs=lambda: inputs or {})


def test_a_study_is_current_after_it_ran_and_its_record_says_how(project):
    runs = []
    made = demo(runs).measure()
    assert demo(runs).current() == made
    assert made["metrics"] == {"value": 1}
    assert made["command"] == "python -m experiments demo"
    for key in ("config_sha256", "code_sha256", "versions", "device", "wall_seconds", "peak_memory_gib", "written"):
        assert made[key] is not None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(
    st.sampled_from(["config", "input", "script", "direct import", "indirect import", "unused", "nothing"]),
    st.integers(),
)
def test_a_study_is_redone_exactly_when_config_code_or_inputs_changed(project, what, salt):
    runs = []
    demo(runs, {"x": salt}, {"data": "a"}).measure()
    files = {
        "script": "experiments/studies/demo.py",
        "direct import": "pi_theory/near.py",
        "indirect import": "pi_theory/far.py",
    }
    if name := files.get(what, "pi_theory/other.py" if what == "unused" else None):
        change(project / name, salt)
    again = demo(
        runs, {"x": salt + 1} if what == "config" else {"x": salt}, {"data": "b"} if what == "input" else {"data": "a"}
    )
    assert (again.current() is not None) == (what in ("unused", "nothing"))
    changed = {
        "script": "run",
        "direct import": "f",
        "indirect import": "VALUE",
    }
    assert source_hashes.changed(record.read("demo")) == ([changed[what]] if what in changed else [])


# what may change -> the studies that depend on it
GRAPH = {
    "experiments/studies/one.py": {"one"},
    "experiments/studies/two.py": {"two"},
    "pi_theory/near.py": {"one"},
    "pi_theory/far.py": {"one", "two"},
    "pi_theory/other.py": set(),
    "config of one": {"one"},
    "config of two": {"two"},
    "input of two": {"two"},
    "record of one": {"one"},
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.sets(st.sampled_from(sorted(GRAPH))), st.integers())
def test_a_second_run_of_the_graph_redoes_what_depends_on_a_change_and_nothing_else(
    project, monkeypatch, changes, salt
):
    (project / "experiments/studies/one.py").write_text(
        "from pi_theory.near import f\n\ndef run(config):\n    return f()\n"
    )
    (project / "experiments/studies/two.py").write_text(
        "from pi_theory import far\n\ndef run(config):\n    return far\n"
    )
    configs, inputs, ran = {"one": {"x": salt}, "two": {"x": salt}}, {"data": "a"}, []

    def load(name):
        own = {"inputs": lambda: dict(inputs)} if name == "two" else {}
        return Study(name=name, says="", config=configs[name], run=lambda _: {"ran": ran.append(name)}, **own)

    def run_steps(steps):
        for step in steps:
            load(step.name).measure()
        return 0

    monkeypatch.setattr(main, "STUDIES", ("one", "two"))
    monkeypatch.setattr(main, "load", load)
    monkeypatch.setattr(orders, "load", load)
    monkeypatch.setattr(main, "run_steps", run_steps)
    monkeypatch.setattr(sys, "argv", ["experiments"])
    assert main.main() == 0
    ran.clear()
    for name in changes:
        what, _, study = name.partition(" of ")
        if what == "config":
            configs[study] = {"x": salt + 1}
        elif what == "input":
            inputs["data"] = "b"
        elif what == "record":
            record.path_of(study, live=True).unlink()
        else:
            change(project / name, salt)
    assert main.main() == 0
    assert set(ran) == {study for name in changes for study in GRAPH[name]}
    assert len(ran) == len(set(ran))
    ran.clear()
    assert main.main() == 0
    assert ran == []


def test_a_damaged_record_is_not_current(project):
    runs = []
    demo(runs).measure()
    path = record.path_of("demo", live=True)
    path.write_text(path.read_text().replace('"value": 1', '"value": 2'))
    assert demo(runs).current() is None


def test_a_study_that_stopped_before_its_end_goes_on_and_what_it_has_may_be_kept(project):
    made = Study(name="demo", says="", config={}, run=lambda _: {"stopped_early": True})
    made.measure()
    assert made.current() is None
    assert made.current(partial=True)["metrics"] == {"stopped_early": True}
    whole = Study(name="demo", says="", config={}, run=lambda _: {"stopped_early": False})
    whole.measure()
    assert whole.current()["metrics"] == {"stopped_early": False}


def test_a_live_study_is_not_current_by_its_committed_record(project):
    made = demo([]).measure()
    record.path_of("demo", live=False).parent.mkdir()
    record.path_of("demo", live=True).rename(record.path_of("demo", live=False))
    assert demo([]).current() is None
    assert record.read("demo")["metrics"] == made["metrics"]


def trained(project):
    return Study(
        name="demo",
        says="",
        config={"model": "tiny", "x": 1, "device": "cpu"},
        run=lambda config: dict(config),
        live=False,
        inputs=lambda: {"checkpoint": "tiny's", "data": "a"},
        profiles={"gpu": {"device": "cuda"}},
    )


def test_a_variant_has_settings_a_record_and_a_command_of_its_own(project):
    model = project / "My LLaMA"
    model.mkdir()
    (model / "config.json").write_text("{}")
    variant = trained(project).variant(profile="gpu", model=str(model), changes={"x": 2})
    made = variant.measure()
    assert made["metrics"] == {"model": str(model), "x": 2, "device": "cuda"}
    assert record.path_of("demo@gpu@my-llama", live=True).exists()
    assert made["label"] == "gpu@my-llama"
    assert made["command"] == f"python -m experiments demo --profile gpu --model '{model}' --set x=2"
    assert made["inputs"]["data"] == "a"
    assert made["inputs"]["checkpoint"] not in ("tiny's", None)
    assert variant.current() is not None
    assert trained(project).current() is None
    (model / "config.json").write_text("{ }")
    assert variant.current() is None


def test_a_study_without_a_profile_stays_as_it_is_under_it(project):
    study = trained(project)
    assert study.variant(profile="huge").record_name == "demo"
    assert study.variant(profile="gpu").record_name == "demo@gpu"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"changes": {"x": 2}}, "--model"),
        ({"model": "m", "changes": {"y": 2}}, "has no 'y'; it has model, x, device"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(project, more, said):
    with pytest.raises(UsageError, match=said):
        trained(project).variant(**more)


def test_a_study_without_a_model_takes_none(project):
    with pytest.raises(UsageError, match="runs no model"):
        demo([]).variant(model="m")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["positions", "--model", "m"], "runs no model"),
        (["--model", "m"], "name the studies"),
        (["--profile", "nonsense"], "choose from"),
        (["positions", "--minutes", "0"], "--minutes: give at least"),
        (["positions", "--minutes", "nan"], "--minutes: give at least"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(arguments, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["experiments", *arguments])
    assert main.main() == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error


def test_only_a_current_record_is_kept_among_the_committed_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["experiments", "--keep", "positions"])
    assert main.main() == 1
    assert "python -m experiments positions" in capsys.readouterr().err
    (tmp_path / "recorded").mkdir()
    monkeypatch.setattr(record, "uncommitted", lambda: ["pi_theory/rope.py"])
    load("positions").measure()
    assert main.main() == 2
    assert "commit pi_theory/rope.py first" in capsys.readouterr().err
    monkeypatch.setattr(record, "uncommitted", list)
    made = load("positions").measure()
    assert main.main() == 0
    assert record.read_file(record.path_of("positions", live=False)) == {**made, "kept": "recorded"}


def test_redoing_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(main, "REDO", tmp_path / "build" / "redo.json")
    began = main._redo_since(["a", "b"])
    assert main._redo_since(["a", "b"]) == began
    main.REDO.write_text('{"names": ["a"], "since": "2000"}')
    assert main._redo_since(["a"]) == "2000"
    assert main._redo_since(["a", "b"]) > began[:4]


@pytest.mark.parametrize("name", STUDIES)
def test_every_listed_study_loads_and_knows_its_code(name):
    found = load(name)
    assert found.name == name
    assert "run" in {line.split()[0] for line in source_hashes.sources(f"experiments.studies.{name}")}


def test_an_unknown_study_is_one_line_and_exit_2():
    done = subprocess.run([sys.executable, "-m", "experiments", "nonsense"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "nonsense" in done.stderr


def model_of_window(tmp_path, window):
    folder = tmp_path / f"of-{window}"
    folder.mkdir()
    config = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "max_position_embeddings": window}
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


WITH_LENGTHS = [name for name in STUDIES if load(name).lengths]


def test_every_study_of_models_has_lengths_but_those_whose_recipes_or_factors_give_them():
    without = {name for name in STUDIES if "model" in load(name).config} - set(WITH_LENGTHS)
    assert without <= {"smollm2_finetune", "tiny_pretrain", "tiny_examined"}


@pytest.mark.parametrize("name", WITH_LENGTHS)
def test_settings_follow_the_window_of_ones_own_model(name, tmp_path):
    study = load(name)
    fitted = study.variant(model=model_of_window(tmp_path, 4 * study.window)).config
    for key, value in study.config.items():
        if key in study.lengths:
            assert fitted[key] == ([4 * one for one in value] if isinstance(value, list) else 4 * value), key
        elif key != "model":
            assert fitted[key] == value, key
    chosen = study.lengths[0]
    given = study.variant(model=fitted["model"], changes={chosen: study.config[chosen]})
    assert given.config[chosen] == study.config[chosen]


def test_a_study_that_has_run_says_where_its_record_is_and_a_command_that_can_be_pasted(project, monkeypatch):
    monkeypatch.chdir(project)
    model = project / "My LLaMA"
    model.mkdir()
    (model / "config.json").write_text("{}")
    study = trained(project).variant(model=str(model))
    study.measure()
    assert main._conclusion(study) == "demo@my-llama: the record is results/live/demo@my-llama.json"
    words = shlex.split(main._to_paste(study))
    assert words == [sys.executable, "-m", "experiments", "demo", "--model", str(model)]
