"""Records: one JSON file a study, with everything needed to trust it or to make it again.

A record holds the study's config, the hashes of config, code and inputs, the commit, package versions, device, wall
time, peak memory and the metrics, and a hash of itself: an edited record is refused. Live records are made on the
machine that draws the figures and are not committed; recorded ones come from machines or hours that not everybody
has, or are what later runs are held against, and are.

A record is named after its study, with ``@`` and a label after it for other settings or another model than the
study's own.
"""

import hashlib
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pi_model.errors import UsageError

SCHEMA = 1
ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "experiments" / "results"
_CODE = ("pi_theory", "pi_model", "experiments")
_PACKAGES = ("numpy", "scipy", "sympy", "python-flint", "torch", "transformers", "matplotlib")
# of records that are no study's
_COMMANDS = {"bench": "make bench BENCH_ARGS=--keep", "bench_gpu": "python -m experiments.bench.gpu"}

Record = dict[str, Any]


@dataclass(frozen=True)
class _Reading:
    """What `reading` asked for, and what was read since."""

    label: str = ""
    committed: bool = False
    seen: dict[str, Record] = field(default_factory=dict)


_READING: ContextVar[_Reading | None] = ContextVar("reading", default=None)


class RecordError(Exception):
    """A record that is missing or not what its study wrote; the message names the command that makes it."""


class NoRecord(RecordError):
    """There is none of this study."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no record of study {name!r}; make it with: {_command(name)}")
        self.study = name


def path_of(study: str, *, live: bool) -> Path:
    return RESULTS / ("live" if live else "recorded") / f"{study}.json"


def digest(value: Any) -> str:
    """SHA-256 of a JSON value in canonical form."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def read(study: str) -> Record:
    """The record of a study, live if there is one, else recorded; inside `reading`, the asked label's if there is one.

    Raises:
        RecordError: missing (`NoRecord`), unreadable, of another schema, or changed since it was written.
    """
    asked = _READING.get() or _Reading()
    names = [f"{study}@{asked.label}", study] if asked.label else [study]
    places = [False] if asked.committed else [True, False]
    for path in (path_of(name, live=live) for name in names for live in places):
        if path.exists():
            record = asked.seen[path.stem] = read_file(path)
            return record
    raise NoRecord(study)


def read_file(path: Path) -> Record:
    """The record in a file, with ``kept``, "live" or "recorded". Raises RecordError as `read` does."""
    make = f"make it with: {_command(path.stem)}"
    try:
        record: Record = json.loads(path.read_text())
    except FileNotFoundError:
        raise NoRecord(path.stem) from None
    except (OSError, ValueError) as error:
        raise RecordError(f"{path.name} cannot be read ({error}); {make}") from None
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        said = record.get("schema") if isinstance(record, dict) else None
        raise RecordError(f"{path.name} has schema {said}, expected {SCHEMA}; {make}")
    if record.get("sha256") != _own_digest(record):
        raise RecordError(f"{path.name} was changed after it was written; {make}")
    return {**record, "kept": path.parent.name}


@contextmanager
def reading(label: str = "", *, committed: bool = False) -> Iterator[dict[str, Record]]:
    """Collects, by name, the records read inside.

    Args:
        label: records under ``STUDY@label`` stand in for their studies' own.
        committed: live records are not looked at.
    """
    asked = _Reading(label, committed)
    token = _READING.set(asked)
    try:
        yield asked.seen
    finally:
        _READING.reset(token)


def labels(study: str) -> list[str]:
    """The labels under which a study has records, as in ``STUDY@label``, sorted."""
    return sorted({path.stem.partition("@")[2] for path in RESULTS.glob(f"*/{study}@*.json")})


def _command(name: str) -> str:
    study, _, label = name.partition("@")
    if study in _COMMANDS:
        return _COMMANDS[study]
    return f"python -m experiments {study}" + (" with the --profile or --model of its label" if label else "")


def write(record: Record, path: Path) -> None:
    """Writes a record with its own hash, atomically."""
    record = {**record, "sha256": _own_digest(record)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())


def write_atomically(path: Path, content: bytes) -> None:
    """The whole content or nothing, whatever happens while writing."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def commit() -> Record:
    """The commit that is checked out, and whether code differs from it: ``{commit, dirty}``; null outside of git.

    To be asked before a study runs: what it imports is what stands there then.
    """
    changed = uncommitted()
    return {"commit": _git("rev-parse", "HEAD"), "dirty": None if changed is None else bool(changed)}


def uncommitted() -> list[str] | None:
    """The files of code, new ones included, that the checked-out commit does not hold as they are; None without git."""
    status = _git("status", "--porcelain", "--untracked-files=all", "--", *_CODE)
    return None if status is None else [line[3:] for line in status.splitlines() if line.endswith(".py")]


def refuse_uncommitted() -> None:
    """A committed record names a commit, which has to hold the code that made it. Raises UsageError: it does not."""
    changed = uncommitted()
    if changed is None:
        raise UsageError("a committed record names the commit that made it, and there is no git checkout here")
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise UsageError(f"a committed record names the commit that made it: commit {changed[0]}{more} first")


def environment() -> Record:
    """Where a study ran: versions and device, the GPU included if the study used one."""
    return {
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
        "device": _device(),
    }


def peak_memory_gib() -> float:
    """Largest resident size so far of this process or of any one process it started."""
    unit = 1 if sys.platform == "darwin" else 1024
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    return max(_own_peak_bytes() or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit, children) / 2**30


def _own_peak_bytes() -> int | None:
    """Linux's own figure: ru_maxrss there starts from the size of the process that started this one."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def _own_digest(record: Record) -> str:
    return digest({key: value for key, value in record.items() if key != "sha256"})


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.rstrip()


def _device() -> str:
    """The GPU that this process used, if it did, and the processor."""
    torch = sys.modules.get("torch")
    gpu = f"{torch.cuda.get_device_name()}, " if torch and torch.cuda.is_initialized() else ""
    return f"{gpu}CPU, {os.cpu_count()} cores, {_processor()}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
