import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments import STUDIES, record, study
from experiments.study import Study, code_digest, load


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of four modules: the study uses `near`, which uses `far`; nobody uses `other`."""
    sources = {
        "experiments/__init__.py": "",
        "experiments/demo.py": "from pi_theory.near import f\n",
        "pi_theory/__init__.py": "",
        "pi_theory/near.py": "def f():\n    from pi_theory import far\n    return far\n",
        "pi_theory/far.py": "VALUE = 1\n",
        "pi_theory/other.py": "VALUE = 2\n",
    }
    for name, text in sources.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(study, "ROOT", tmp_path)
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    return tmp_path


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
        "script": "experiments/demo.py",
        "direct import": "pi_theory/near.py",
        "indirect import": "pi_theory/far.py",
    }
    if name := files.get(what, "pi_theory/other.py" if what == "unused" else None):
        path = project / name
        path.write_text(path.read_text() + f"# {salt} {len(path.read_text())}\n")
    again = demo(
        runs, {"x": salt + 1} if what == "config" else {"x": salt}, {"data": "b"} if what == "input" else {"data": "a"}
    )
    assert (again.current() is not None) == (what in ("unused", "nothing"))


def test_a_damaged_record_is_not_current(project):
    runs = []
    demo(runs).measure()
    path = record.path_of("demo", live=True)
    path.write_text(path.read_text().replace('"value": 1', '"value": 2'))
    assert demo(runs).current() is None


@pytest.mark.parametrize("name", STUDIES)
def test_every_listed_study_loads_and_knows_its_code(name):
    found = load(name)
    assert found.name == name
    assert len(code_digest(f"experiments.{name}")) == 64


def test_an_unknown_study_is_one_line_and_exit_2():
    done = subprocess.run([sys.executable, "-m", "experiments", "nonsense"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "nonsense" in done.stderr
