"""Carries records over a change of code that changes no result, with a note of how that was shown.

    python -m experiments.records.carry tiny_sweep tiny_heads --since COMMIT

A record goes stale when the code that its study reaches changes, also by a change that was meant to change nothing,
such as a rewrite for readability. Measuring again would take hours, so this shows what can be shown soon: the study
runs at toy size (its profile ``toy``) by the code of COMMIT and by today's, and every number has to be the same to the
last bit. The record then gets today's hashes, keeps the commit that measured it, and says under ``carried`` what was
compared. A study whose config or inputs changed cannot be carried, nor one whose toy runs differ anywhere.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from experiments import STUDIES
from experiments.records import record, source_hashes
from experiments.records.record import ROOT, Record, RecordError
from experiments.records.study import Study, load
from pi_model.errors import RunError, UsageError
from pi_model.files import cache_dir
from pi_theory.console import exit_code, script_parser

# They are the machine's and the hour's, not the study's.
_NOT_COMPARED = ("seconds", "training_seconds", "resumed")
_RUNS: dict[str, Any] = {}
_RUN = """
import importlib, json, sys
from pi_theory.console import exit_code, script_parser
place, changes = json.load(sys.stdin)
study = importlib.import_module(place).STUDY
json.dump(study.run({**study.config, **changes}), sys.stdout)
"""


def carry(name: str, since: str, before: str = "") -> str:
    """Puts today's hashes into a committed record, once toy runs by the code of ``since`` and by today's are alike.

    Args:
        name: of the record: that of its study, with ``@`` and a profile's name after it for that profile's.
        since: a commit at which the record was current, as it was where it was made.
        before: the name that the study had then, if it had another.

    Returns:
        What was compared, in one sentence, as the record now says it too.

    Raises:
        UsageError: there is code that is not committed, the record is not of that commit's code, the study's config or
            inputs are not those of the record, or it has no toy size.
        RunError: the two runs differ, or one of them failed.
        RecordError: the record is missing, or was changed after it was written.
    """
    study, path = _study(name), record.path_of(name, live=False)
    found = {key: value for key, value in record.read_file(path).items() if key != "kept"}
    record.refuse_uncommitted()
    now = study.fingerprint()
    if any(now[key] != found[key] for key in ("config_sha256", "inputs")):
        raise UsageError(f"{name}: its config or inputs changed since it was measured; measure it again")
    note: Record = {"from": _git("rev-parse", since), "to": _git("rev-parse", "HEAD")}
    with _checkout(since) as then:
        place = _place(then, before or study.name)
        of_then = source_hashes.sources(place, then)
        if of_then != found["code"]:
            raise UsageError(f"{name}: --since: its record is not of that commit's code")
        if of_then == now["code"]:
            note["how"] = "every definition that the study reaches is the same in both commits"
        else:
            toy = _toy(study)
            old = _metrics(note["from"], then, place, toy)
            more = _compare("metrics", old, _metrics(note["to"], ROOT, f"experiments.studies.{study.name}", toy))
            note |= {"how": "run at toy size by both commits, every number is the same to the last bit", "toy": toy}
            if more:  # the study measures more today, which this record goes without
                note["measured since"] = more
    said = {"study": study.name, "command": study.command, "says": study.says}
    record.write({**found, **said, **now, "carried": [*found.get("carried", []), note]}, path)
    return str(note["how"])


def _study(name: str) -> Study:
    """The study of a record, in the profile of its label. Raises UsageError: there is none."""
    name, _, label = name.partition("@")
    if name not in STUDIES:
        raise UsageError(f"no study of that name; choose from {', '.join(STUDIES)}")
    study = load(name)
    if label and label not in study.profiles:
        raise UsageError(f"{name} has no profile named {label}; choose from {', '.join(study.profiles)}")
    return study.variant(profile=label)


def _toy(study: Study) -> dict[str, Any]:
    """The settings to compare by: the profile toy, in the precision of the record."""
    if "toy" not in study.profiles:
        raise UsageError(f"{study.name}: it has no profile named toy to be compared by; measure it again")
    return study.profiles["toy"] | {key: study.config[key] for key in ("dtype",) if key in study.config}


@contextmanager
def _checkout(commit: str) -> Iterator[Path]:
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "checkout"
        _git("worktree", "add", "--detach", str(folder), commit)
        try:
            yield folder
        finally:
            _git("worktree", "remove", "--force", str(folder))


def _place(folder: Path, name: str) -> str:
    """The module of a study in a checkout; before there were rooms they stood in the package itself."""
    rooms = (f"experiments.studies.{name}", f"experiments.{name}")
    for place in rooms:
        if folder.joinpath(*place.split(".")).with_suffix(".py").exists():
            return place
    raise UsageError(f"that commit has no study named {name}; give the name it had then")


def _metrics(commit: str, folder: Path, place: str, changes: dict[str, Any]) -> Any:
    """What `_run` gives, run once for all records of a study that share their toy settings."""
    key = json.dumps([commit, place, changes])
    if key not in _RUNS:
        _RUNS[key] = _run(folder, place, changes)
    return _RUNS[key]


def _run(folder: Path, place: str, changes: dict[str, Any]) -> Any:
    """The metrics of a study at other settings, by the code in a folder, from none of its own earlier progress."""
    with TemporaryDirectory() as cache:
        (cache_dir() / "packages").mkdir(parents=True, exist_ok=True)
        (Path(cache) / "packages").symlink_to(cache_dir() / "packages")
        # Twice, as old commits have processes that race for an empty cache, and fail once.
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-c", _RUN],
                input=json.dumps([place, changes]),
                cwd=folder,
                env=os.environ | {"PI_MODEL_CACHE": cache, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)},
                capture_output=True,
                text=True,
            )
            if not done.returncode:
                break
    if done.returncode:
        raise RunError(f"{place} failed at toy size: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.splitlines()[-1])  # what a study prints as it goes on stands before it


def _compare(where: str, then: Any, now: Any) -> list[str]:
    """What today's result has and the old one has not, by its path; all that both have is the same.

    Raises:
        RunError: it is not; the message names the first place.
    """
    if isinstance(then, dict) and isinstance(now, dict) and then.keys() <= now.keys():
        more = [f"{where}.{key}" for key in now if key not in then]
        both = (key for key in then if key not in _NOT_COMPARED)
        return sum((_compare(f"{where}.{key}", then[key], now[key]) for key in both), more)
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        pairs = enumerate(zip(then, now, strict=True))
        return sum((_compare(f"{where}[{index}]", *pair) for index, pair in pairs), list[str]())
    if then != now:
        raise RunError(f"{where}: {str(then)[:80]} then, {str(now)[:80]} now; the record cannot be carried")
    return []


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise UsageError(f"git {' '.join(arguments)}: {done.stderr.strip().splitlines()[0]}")
    return done.stdout.strip()


def main() -> int:
    parser = script_parser("experiments.records.carry", __doc__, "tiny_sweep --since HEAD~1")
    parser.add_argument("names", nargs="+", metavar="NAME", help="The committed records that are carried.")
    parser.add_argument("--since", required=True, metavar="COMMIT", help="A commit at which the records were current.")
    parser.add_argument(
        "--before", default="", metavar="NAME", help="The name that the study had at that commit, if it had another."
    )
    asked = parser.parse_args()
    since = _git("rev-parse", asked.since)  # once, as HEAD may move in the time that this takes
    failed = 0
    for name in asked.names:
        try:
            print(f"{name}: {carry(name, since, asked.before)}", flush=True)
        except (UsageError, RunError, RecordError) as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            failed = 2 if isinstance(error, UsageError) else 1
    return failed


if __name__ == "__main__":
    sys.exit(exit_code("python -m experiments.records.carry", main))
