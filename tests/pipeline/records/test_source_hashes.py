"""A record outlives rewording, reformatting and moving, and no change of what is computed."""

import ast
import re
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments import STUDIES
from experiments.records import record, source_hashes

PACKAGES = ("pi_theory", "pi_model", "experiments")
DEMO = {
    "experiments/studies/demo.py": """
        from experiments.records.study import Study
        from pi_theory import near
        from pi_theory.registry import ALL
        import pi_theory.registered

        def run(config):
            return {"value": near.scaled(config["x"]), "all": [one(2) for one in ALL]}

        STUDY = Study(name="demo", says="what it shows", config={"x": 1}, run=run)
        """,
    "experiments/records/study.py": "class Study:\n    pass\n",
    "pi_theory/near.py": """
        from pi_theory.far import FACTOR as BY

        def scaled(x, *, offset=0.5):
            \"\"\"Scaled.\"\"\"
            if x > 3:
                raise ValueError(f"x: at most 3, got {x}")
            return BY * x + offset

        def not_used(x):
            return x - 7
        """,
    "pi_theory/far.py": "FACTOR = 2\nOTHER = 3\n",
    "pi_theory/registry.py": """
        ALL = []

        def register(function):
            ALL.append(function)
            return function
        """,
    "pi_theory/registered.py": """
        from pi_theory.registry import register

        @register
        def doubled(x):
            return 2 * x
        """,
}


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = text.strip("\n").split("\n")
        indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
        path.write_text("\n".join(line[indent:] for line in lines) + "\n")


@pytest.fixture
def demo(tmp_path, monkeypatch):
    write(tmp_path, DEMO)
    monkeypatch.setattr(source_hashes, "ROOT", tmp_path)
    return tmp_path


def sources():
    return source_hashes.sources("experiments.studies.demo")


def names(lines):
    return {line.split()[0] for line in lines}


def test_a_study_is_the_definitions_that_its_run_reaches(demo):
    assert names(sources()) == {"run", "scaled", "FACTOR", "ALL", "register", "doubled"}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("pi_theory/near.py", '"""Scaled."""', '"""Scaled, and moved by ``offset``."""'),
        ("pi_theory/near.py", '    """Scaled."""\n', ""),
        ("pi_theory/near.py", "return BY", "# why\n    return BY"),
        ("pi_theory/near.py", "BY * x + offset", "(\n        BY * x\n        + offset\n    )"),
        ("pi_theory/near.py", "FACTOR as BY", "FACTOR as BY, OTHER"),
        ("pi_theory/near.py", "BY", "TIMES"),
        ("pi_theory/near.py", "at most 3, got {x}", "give 3 or less; {x} is more"),
        ("pi_theory/near.py", "x - 7", "x - 8"),
        ("pi_theory/far.py", "OTHER = 3", "OTHER = 4"),
        ("pi_theory/far.py", "FACTOR = 2", "import math\nFACTOR = 2"),
        ("experiments/studies/demo.py", "what it shows", "what it shows, said better"),
        ("experiments/studies/demo.py", "import pi_theory.registered", "import pi_theory.registered\nimport math"),
    ],
)
def test_what_cannot_change_the_result_leaves_the_hashes_alone(demo, file, old, new):
    before = sources()
    text = (demo / file).read_text()
    assert old in text
    (demo / file).write_text(text.replace(old, new))
    assert sources() == before


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("pi_theory/far.py", "FACTOR = 2", "FACTOR = 3", {"FACTOR"}),
        ("pi_theory/far.py", "FACTOR = 2", "FACTOR = 2.0", {"FACTOR"}),
        ("pi_theory/near.py", "offset=0.5", "offset=0.25", {"scaled"}),
        ("pi_theory/near.py", "x + offset", "x - offset", {"scaled"}),
        ("pi_theory/near.py", "x > 3", "x >= 3", {"scaled"}),
        ("pi_theory/near.py", "raise ValueError", "raise KeyError", {"scaled"}),
        ("pi_theory/near.py", "return BY * x", "return not_used(x)", {"scaled", "not_used", "FACTOR"}),
        ("pi_theory/registered.py", "2 * x", "3 * x", {"doubled"}),
        ("pi_theory/registered.py", "@register\n", "", {"doubled"}),
        ("experiments/studies/demo.py", "run=run", "run=lambda config: run(config | {'x': 2})", {"run"}),
    ],
)
def test_what_can_change_the_result_changes_them_and_is_named(demo, file, old, new, changed):
    before = sources()
    text = (demo / file).read_text()
    assert old in text
    (demo / file).write_text(text.replace(old, new))
    differ = names({*before} ^ {*sources()})
    assert changed <= differ
    made = {"study": "demo", "code": before}
    assert source_hashes.changed(made) == sorted(differ)


def test_a_moved_module_and_a_moved_function_leave_the_hashes_alone(demo):
    before = sources()
    (demo / "pi_theory/inner").mkdir()
    (demo / "pi_theory/inner/__init__.py").write_text("")
    shutil.move(demo / "pi_theory/near.py", demo / "pi_theory/inner/nearest.py")
    script = demo / "experiments/studies/demo.py"
    script.write_text(
        script.read_text()
        .replace("from pi_theory import near", "from pi_theory.inner.nearest import scaled")
        .replace("near.scaled", "scaled")
    )
    (demo / "pi_theory/farther.py").write_text((demo / "pi_theory/far.py").read_text())
    (demo / "pi_theory/far.py").write_text("from pi_theory.farther import FACTOR\n")
    assert sources() == before


def test_a_name_that_no_statement_binds_is_an_error_and_not_a_gap(demo):
    path = demo / "pi_theory/near.py"
    path.write_text(path.read_text().replace("FACTOR as BY", "made_by_a_trick as BY"))
    with pytest.raises(LookupError, match=r"pi_theory\.far does not define made_by_a_trick"):
        sources()


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_can_be_read_to_its_end(name):
    assert "run" in names(source_hashes.sources(f"experiments.studies.{name}"))


# The rest is held on the project's own source: any file, any constant in it.


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkout")
    for package in PACKAGES:
        shutil.copytree(record.ROOT / package, root / package, ignore=shutil.ignore_patterns("results", "__pycache__"))
    return root


STUDY = "experiments.studies.amplification"
FILES = ["pi_theory/scaling.py", "pi_theory/amplification.py", "pi_theory/rope.py", "pi_theory/arguments.py"]


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FILES), st.text(st.characters(codec="ascii", exclude_characters='"\\\0\r'), max_size=40))
def test_reformatted_and_reworded_source_is_the_same_study(checkout, monkeypatch, file, words):
    monkeypatch.setattr(source_hashes, "ROOT", checkout)
    before, path = source_hashes.sources(STUDY), checkout / file
    text = path.read_text()
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and source_hashes._is_text(body[0]):
            body[0].value.value = words
    try:
        path.write_text(f"# {words!r}\n{ast.unparse(tree)}\n")  # without comments, in another format
        assert source_hashes.sources(STUDY) == before
    finally:
        path.write_text(text)


def mutable(tree, reached):
    """The numbers, comparisons and operators in the definitions of a file that the study reaches."""
    for statement in tree.body:
        if getattr(statement, "name", None) in reached:
            raised = {
                id(inner) for node in ast.walk(statement) if isinstance(node, ast.Raise) for inner in ast.walk(node)
            }
            for node in ast.walk(statement):
                number = isinstance(node, ast.Constant) and type(node.value) in (int, float)
                if id(node) not in raised and (number or isinstance(node, ast.Compare | ast.BinOp)):
                    yield node


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FILES[:2]), st.integers(0, 10**6))
def test_any_changed_constant_or_operator_that_is_reached_is_another_study(checkout, monkeypatch, file, which):
    monkeypatch.setattr(source_hashes, "ROOT", checkout)
    before, path = source_hashes.sources(STUDY), checkout / file
    text = path.read_text()
    tree = ast.parse(text)
    places = list(mutable(tree, names(before)))
    node = places[which % len(places)]
    if isinstance(node, ast.Constant):
        node.value += 1
    elif isinstance(node, ast.Compare):
        node.ops[0] = ast.Lt() if isinstance(node.ops[0], ast.LtE) else ast.LtE()
    else:
        node.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
    try:
        path.write_text(ast.unparse(tree) + "\n")
        assert source_hashes.sources(STUDY) != before
    finally:
        path.write_text(text)


@pytest.mark.parametrize("file", FILES)
def test_any_moved_module_of_the_project_is_the_same_study(checkout, monkeypatch, tmp_path, file):
    root = shutil.copytree(checkout, tmp_path / "moved")
    monkeypatch.setattr(source_hashes, "ROOT", root)
    before = source_hashes.sources(STUDY)
    old = file.removesuffix(".py").replace("/", ".")
    (root / "pi_theory" / "elsewhere").mkdir()
    (root / "pi_theory" / "elsewhere" / "__init__.py").write_text("")
    shutil.move(root / file, root / "pi_theory" / "elsewhere" / "moved.py")
    for path in root.rglob("*.py"):
        path.write_text(re.sub(rf"\b{re.escape(old)}\b", "pi_theory.elsewhere.moved", path.read_text()))
    assert source_hashes.sources(STUDY) == before
