"""Dependencies run one way: theory <- model <- experiments <- figures, and only records cross into figures."""

import ast

import pytest

from experiments.records.record import ROOT

ALLOWED = {
    "paper": {"paper", "experiments.STUDIES", "experiments.records.record"},
    "pi_theory": {"pi_theory"},
    "pi_model": {"pi_model", "pi_theory.scaling", "pi_theory.arguments"},
    "experiments": {"experiments", "pi_theory", "pi_model"},
    "figures": {"figures", "experiments.records.record", "experiments.records.source_hashes"},
}
FORBIDDEN = {"pi_theory": {"torch", "transformers", "matplotlib"}, "figures": {"torch", "transformers"}}


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from experiments import record` imports experiments.records.record
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in inside if ROOT.joinpath(*name.split(".")).with_suffix(".py").exists()}
            yield from modules or {node.module}


FILES = [path for layer in ALLOWED for path in sorted((ROOT / layer).rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_layer_imports_only_what_is_below_it(path):
    layer = path.relative_to(ROOT).parts[0]
    for name in imports(path):
        package = name.split(".")[0]
        if package in ALLOWED:
            assert any(name == allowed or name.startswith(allowed + ".") for allowed in ALLOWED[layer]), name
        assert package not in FORBIDDEN.get(layer, set()), name


def test_only_the_room_of_balls_touches_python_flint():
    users = {path.parent for path in FILES if any(name.split(".")[0] == "flint" for name in imports(path))}
    assert users == {ROOT / "pi_theory" / "certified"}
