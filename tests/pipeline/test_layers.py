"""Dependencies run one way: theory <- model <- experiments <- figures, and only records cross into figures."""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

from experiments.records.record import ROOT

# The modules that say something of a checkpoint, for `pi_model.examine`.
PREDICTIVE = ("scaling", "rope", "interpolation", "amplification", "reach", "resolution", "displacement")
ALLOWED = {
    "paper": {"paper", "experiments.records.record", "figures.verdicts", "pi_theory.console"},
    "pi_theory": {"pi_theory"},
    "pi_model": {"pi_model", *(f"pi_theory.{name}" for name in PREDICTIVE), "pi_theory.arguments", "pi_theory.console"},
    "experiments": {"experiments", "pi_theory", "pi_model"},
    "figures": {"figures", "experiments.records.record", "experiments.records.source_hashes", "pi_theory.console"},
}
# What the package itself defines may be imported, as the list of studies is, but none of its modules.
NAMES_OF_A_PACKAGE = {"paper": {"experiments"}}
FORBIDDEN = {"pi_theory": {"torch", "transformers", "matplotlib"}, "figures": {"torch", "transformers"}}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from experiments import record` imports experiments.records.record
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in inside if is_module(ROOT.joinpath(*name.split(".")))}
            yield from modules or {node.module}


def is_module(path):
    return path.is_dir() or path.with_suffix(".py").exists()


FILES = [path for layer in ALLOWED for path in sorted((ROOT / layer).rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_layer_imports_only_what_is_below_it(path):
    layer = path.relative_to(ROOT).parts[0]
    for name in imports(path):
        package = name.split(".")[0]
        if package in ALLOWED and name not in NAMES_OF_A_PACKAGE.get(layer, set()):
            assert any(name == allowed or name.startswith(allowed + ".") for allowed in ALLOWED[layer]), name
        assert package not in FORBIDDEN.get(layer, set()), name


def test_only_the_room_of_balls_touches_python_flint():
    users = {path.parent for path in FILES if any(name.split(".")[0] == "flint" for name in imports(path))}
    assert users == {ROOT / "pi_theory" / "certified"}


# The rooms of pi_model, each with those it may import. Only the package's own __init__ stands outside: it exports names
# of all of them.
ROOMS = {
    "errors": set(),
    "gpus": set(),
    "notices": set(),
    "locks": {"errors"},
    "files": {"errors", "locks"},
    "packages": {"errors", "files"},
    "distributed": {"errors"},
    "models": {"errors", "files", "packages", "distributed", "notices"},
    "data": {"errors", "files", "locks", "packages", "notices"},
    "evaluation": {"errors", "files", "distributed", "models", "data"},
    "training": {"errors", "files", "locks", "gpus", "distributed", "models", "data", "evaluation"},
    "planning": {"errors", "gpus", "notices", "models", "training"},
    "examine": {
        "errors",
        "files",
        "locks",
        "gpus",
        "distributed",
        "models",
        "data",
        "evaluation",
        "training",
        "planning",
    },
    "cli": {
        *("errors", "files", "locks", "gpus", "distributed", "models", "data", "evaluation", "training", "planning"),
        "examine",
    },
}
IN_ROOMS = sorted((ROOT / "pi_model").glob("*/**/*.py")) + sorted((ROOT / "pi_model").glob("[!_]*.py"))


def test_the_rooms_of_pi_model_are_in_an_order():
    TopologicalSorter(ROOMS).prepare()


@pytest.mark.parametrize("path", IN_ROOMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_room_of_pi_model_imports_only_rooms_below_it(path):
    room = path.relative_to(ROOT / "pi_model").parts[0].removesuffix(".py")
    for name in imports(path):
        package, _, inside = name.partition(".")
        if package == "pi_model":
            assert inside.split(".")[0] in ROOMS[room] | {room}, name


def test_no_modules_import_each_other_in_a_circle():
    """Imports inside functions count as well, because they would hide a circle and not remove it."""
    graph = {module_name(path): set(imports(path)) for path in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
