import ast
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest

import pi_theory
from experiments.records.record import ROOT

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in (ROOT / "pi_theory").rglob("*.py")
    if path.name != "__init__.py"
}


@pytest.mark.parametrize("name", pi_theory.__all__)
def test_every_exported_name_exists(name):
    assert getattr(pi_theory, name) is not None
    assert name in dir(pi_theory)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = pi_theory.nonsense


def test_the_package_names_each_of_its_modules():
    named = {name.split(".")[1] for name in MODULES} - {"__main__"}  # which is run, and not imported
    assert named <= set(pi_theory.__all__)


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("pi_theory", "numpy sympy scipy flint numba"),
        ("pi_theory.verdicts", "sympy"),
        ("pi_theory.extrapolation", "numba"),
    ],
)
def test_importing_a_light_module_loads_nothing_heavy(module, absent):
    script = f"import sys, {module}; print(sorted(set({absent.split()!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_importing_the_package_takes_less_than_fifty_milliseconds():
    script = "import time; start = time.perf_counter(); import pi_theory; print(time.perf_counter() - start)"
    runs = [subprocess.run([sys.executable, "-c", script], capture_output=True, check=True) for _ in range(3)]
    assert min(float(done.stdout) for done in runs) < 0.05


def test_no_module_imports_one_that_imports_it():
    def imported(path):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                yield from {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)} & set(MODULES)

    TopologicalSorter({name: set(imported(path)) for name, path in MODULES.items()}).prepare()
