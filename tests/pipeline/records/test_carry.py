"""A record is carried over a rewrite that changes no number, and not over one that does."""

import json
import shutil
import subprocess
import sys

import pytest

from experiments.records import record

DEMO = """
from experiments.records.study import Study


def run(config):
    numbers = [n / 3 for n in range(config["n"])]
    return {"sum": sum(numbers), "seconds": 0.1}


STUDY = Study(
    name="demo", says="", config={"n": 1000}, run=run, live=False, profiles={"toy": {"n": 10}, "gpu": {"n": 2000}}
)
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout with a study that has a committed record."""
    root = tmp_path_factory.mktemp("checkout")
    for package in ("pi_theory", "pi_model", "experiments"):
        shutil.copytree(record.ROOT / package, root / package, ignore=shutil.ignore_patterns("results", "__pycache__"))
    (root / ".gitignore").write_text("__pycache__/\n")
    (root / "experiments/studies/demo.py").write_text(DEMO)
    listed = root / "experiments/__init__.py"
    listed.write_text(listed.read_text().replace("STUDIES = (", 'STUDIES = ("demo",'))
    git(root, "init", "--quiet")
    commit(root)
    assert measured(root).returncode == 0
    commit(root)
    return root


def git(root, *arguments):
    person = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *person, *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def commit(root):
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--allow-empty", "--message", "a step")


def python(root, *arguments):
    return subprocess.run([sys.executable, *arguments], cwd=root, capture_output=True, text=True)


def measured(root):
    return python(root, "-c", "from experiments.records.study import load; load('demo').measure()")


def rewritten(root, changes):
    text = DEMO
    for old, new in changes.items():
        text = text.replace(old, new)
    (root / "experiments/studies/demo.py").write_text(text)


def measured_at_head(root):
    """Commits the study as it was, and its record."""
    rewritten(root, {})
    commit(root)
    assert measured(root).returncode == 0
    commit(root)


def carried(root, name="demo"):
    return python(root, "-m", "experiments.records.carry", name, "--since", "HEAD~1")


def the_record(root):
    return json.loads((root / "experiments/results/recorded/demo.json").read_text())


def current(root):
    said = "from experiments.records.study import load; print(load('demo').current() is not None)"
    return python(root, "-c", said).stdout == "True\n"


def test_a_rewrite_that_changes_no_number_carries_the_record_with_a_note(checkout):
    before = the_record(checkout)
    rewritten(checkout, {"numbers": "thirds"})
    commit(checkout)
    assert not current(checkout)
    done = carried(checkout)
    assert done.returncode == 0, done.stderr
    assert "same to the last bit" in done.stdout
    assert current(checkout)
    now = the_record(checkout)
    (note,) = now["carried"]
    assert note["toy"] == {"n": 10}
    assert (note["from"], note["to"]) == tuple(git(checkout, "rev-parse", "HEAD~1", "HEAD").split())
    assert all(now[key] == before[key] for key in ("metrics", "commit", "written"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"n / 3": "n * (1 / 3)"}, "the record cannot be carried"),
        ({'"n": 1000': '"n": 2000'}, "measure it again"),
        ({'"toy": {"n": 10}, ': "", "numbers": "halves"}, "no profile named toy"),
        ({'"sum": sum(numbers), ': ""}, "the record cannot be carried"),
    ],
    ids=str,
)
def test_a_change_that_could_change_the_result_does_not(checkout, changes, said):
    measured_at_head(checkout)
    before = the_record(checkout)
    rewritten(checkout, changes)
    commit(checkout)
    done = carried(checkout)
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert the_record(checkout)["metrics"] == before["metrics"]


def test_a_record_is_not_carried_from_a_commit_whose_code_did_not_make_it(checkout):
    measured_at_head(checkout)
    for other in ("first", "second"):
        rewritten(checkout, {"numbers": other})
        commit(checkout)
    done = carried(checkout)
    assert done.returncode == 2
    assert "demo: --since: its record is not of that commit's code" in done.stderr
    assert not current(checkout)


def test_the_record_of_a_profile_is_carried_by_its_own_settings(checkout):
    git(checkout, "checkout", "--quiet", ":/a step", "--", ".")
    said = "from experiments.records.study import load; load('demo').variant(profile='gpu').measure()"
    assert python(checkout, "-c", said).returncode == 0
    commit(checkout)
    results = checkout / "experiments/results"
    assert python(checkout, "-m", "experiments.records.adopt", results / "live/demo@gpu.json").returncode == 0
    rewritten(checkout, {"numbers": "other_words"})
    commit(checkout)
    done = carried(checkout, "demo@gpu")
    assert done.returncode == 0, done.stderr
    kept = json.loads((results / "recorded/demo@gpu.json").read_text())
    assert (kept["label"], kept["config"]["n"], len(kept["carried"])) == ("gpu", 2000, 1)
    assert "no profile named cpu" in carried(checkout, "demo@cpu").stderr


def test_neither_a_record_nor_a_carried_one_is_made_from_code_that_is_not_committed(checkout):
    rewritten(checkout, {"numbers": "not_committed"})
    done = carried(checkout)
    assert done.returncode == 2
    assert "commit experiments/studies/demo.py first" in done.stderr
    assert (
        "UsageError: a committed record names the commit that made it: commit experiments/" in measured(checkout).stderr
    )
    git(checkout, "checkout", "--quiet", "--", ".")
