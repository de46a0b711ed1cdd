"""A study: a config, a function from the config to metrics, and the record that results.

A study is redone exactly when its config, its code or its inputs changed. Its code is its script and whatever the
script imports from this project, directly or not, found by reading the imports; all are compared by hash.
"""

import ast
import hashlib
import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments import record
from experiments.record import ROOT, Record, RecordError

_PACKAGES = ("pi_theory", "pi_model", "experiments")
# how records are kept does not change what is measured
_NOT_THE_STUDY = ("experiments", "experiments.record", "experiments.study")


@dataclass(frozen=True, kw_only=True)
class Study:
    """The measurement of the script ``experiments/NAME.py``, run as ``python -m experiments NAME``."""

    name: str
    says: str  # one line: what it shows
    config: dict[str, Any]
    run: Callable[[dict[str, Any]], dict[str, Any]]  # config -> metrics, JSON values
    live: bool = True  # made on every machine; otherwise the committed record is drawn
    inputs: Callable[[], dict[str, str]] = field(default=dict)  # name -> SHA-256 of data, tokenizer, checkpoint
    minutes: float = 0.5  # a first guess of its duration on two cores

    def fingerprint(self) -> dict[str, Any]:
        """What a record must agree with to be current."""
        return {
            "config_sha256": record.digest(self.config),
            "code_sha256": code_digest(f"experiments.{self.name}"),
            "inputs": self.inputs(),
        }

    def current(self) -> Record | None:
        """The record, if it is there, whole and made by this config, this code and these inputs."""
        try:
            found = record.read(self.name)
        except RecordError:
            return None
        return found if all(found.get(key) == value for key, value in self.fingerprint().items()) else None

    def measure(self) -> Record:
        """Runs the study and writes its record."""
        fingerprint = self.fingerprint()
        start = time.perf_counter()
        metrics = self.run(self.config)
        made: Record = {
            "schema": record.SCHEMA,
            "study": self.name,
            "says": self.says,
            "command": f"python -m experiments {self.name}",
            "config": self.config,
            **fingerprint,
            **record.environment(),
            "wall_seconds": round(time.perf_counter() - start, 3),
            "peak_memory_gib": round(record.peak_memory_gib(), 3),
            "metrics": metrics,
        }
        record.write(made, record.path_of(self.name, live=self.live))
        return record.read(self.name)


def code_digest(module: str) -> str:
    """SHA-256 over the sources of a module and all project modules it imports."""
    sources = {name: hashlib.sha256(_path(name).read_bytes()).hexdigest() for name in sorted(_closure(module))}
    return record.digest(sources)


def load(name: str) -> Study:
    """The study of the script ``experiments/NAME.py``."""
    study: Study = importlib.import_module(f"experiments.{name}").STUDY
    return study


def _closure(module: str) -> set[str]:
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found or name in _NOT_THE_STUDY:
            continue
        found.add(name)
        waiting += _imports(name)
    return found


def _imports(module: str) -> list[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(_path(module).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return sorted(name for name in names if name.split(".")[0] in _PACKAGES and _is_module(name))


def _path(module: str) -> Path:
    stem = ROOT.joinpath(*module.split("."))
    return stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")


def _is_module(name: str) -> bool:
    return _path(name).exists()


if __name__ == "__main__":
    try:
        load(sys.argv[1]).measure()
    except KeyboardInterrupt:
        sys.exit(130)
