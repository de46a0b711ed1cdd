"""What code a study is: its script and whatever the script imports from this project, directly or not."""

import ast
import hashlib
from pathlib import Path

from experiments.records.record import ROOT, Record, digest

_PACKAGES = ("pi_theory", "pi_model", "experiments")
# how records are kept does not change what is measured
_NOT_THE_STUDY = (
    "experiments",
    "experiments.records.source_hashes",
    "experiments.records.record",
    "experiments.records.study",
)


def changed(record: Record) -> list[str]:
    """The modules of a record's study that differ from those that made it; of an older record, its script."""
    script = f"experiments.studies.{record['study']}"
    if not _path(script).exists():
        return [script]
    now, then = sources(script), record.get("code")
    if then is None:
        return [] if record.get("code_sha256") == digest(now) else [script]
    return sorted(name for name in {*now, *then} if now.get(name) != then.get(name))


def sources(module: str) -> dict[str, str]:
    """SHA-256 of the source of a module and of each project module it imports, by name."""
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found and name not in _NOT_THE_STUDY:
            source = _path(name).read_bytes()
            found[name] = hashlib.sha256(source).hexdigest()
            waiting += _imports(source)
    return dict(sorted(found.items()))


def _imports(source: bytes) -> tuple[str, ...]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return tuple(sorted(name for name in names if name.split(".")[0] in _PACKAGES and _path(name).exists()))


def _path(module: str) -> Path:
    stem = ROOT.joinpath(*module.split("."))
    return stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")
