"""Runs studies: those named, or all live ones, as far as their records are not current.

Each runs in a process of its own, so that peak memory is its own and an interruption costs at most those in hand; run
it again to go on.
"""

import argparse
import json
import shutil
import sys
from datetime import UTC, datetime
from typing import Any

from experiments import STUDIES
from experiments.records import record
from experiments.records.record import ROOT
from experiments.records.study import Study, load
from experiments.runner.scheduler import Step, run_steps
from pi_model.errors import RunError, UsageError

REDO = ROOT / "build" / "redo.json"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m experiments",
        description=__doc__,
        epilog="example: python -m experiments tiny_heads --model my-llama --figures",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="studies to run (default: all live ones)")
    parser.add_argument("--all", action="store_true", help="the recorded studies as well: hours on two cores")
    parser.add_argument("--force", action="store_true", help="run even those whose record is current")
    parser.add_argument("--profile", default="", help="settings that a study names so, e.g. gpu; the others as ever")
    parser.add_argument("--model", default="", help="run the named studies on this LLaMA: a folder, GGUF or hub name")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=JSON", type=_setting, help="with --model: another setting"
    )
    parser.add_argument("--figures", action="store_true", help="then draw figures, tables and the page")
    parser.add_argument("--keep", action="store_true", help="copy the named studies' records to the committed ones")
    parser.add_argument("--list", action="store_true", help="list the studies and whether their records are current")
    parser.add_argument("--json", action="store_true", help="print what was listed or run as JSON")
    arguments = parser.parse_args()
    try:
        studies = _chosen(arguments)
    except UsageError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    try:
        if arguments.list:
            return _list(studies, as_json=arguments.json)
        if arguments.keep:
            return _keep(studies)
        return _run(studies, arguments)
    except RunError as error:  # an input of a study that cannot be had
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1


def _run(studies: list[Study], arguments: argparse.Namespace) -> int:
    names = [study.record_name for study in studies]
    since = _redo_since(names) if arguments.force else ""
    pending = [study for study in studies if (found := study.current()) is None or found["written"] <= since]
    variant = {"profile": arguments.profile, "model": arguments.model, "changes": dict(arguments.set)}
    steps = [
        Step(
            study.record_name,
            [sys.executable, "-m", "experiments.records.study", study.name, json.dumps(variant)],
            60 * study.minutes,
            study.cores,
        )
        for study in pending
    ]
    if arguments.figures:
        steps.append(Step("figures, tables and page", [sys.executable, "-m", "figures"], 20, last=True))
    status = run_steps(steps)
    if arguments.force and not status:
        REDO.unlink()
    if arguments.json:
        print(json.dumps([_row(study) for study in pending], indent=1))
    return status


def _chosen(arguments: argparse.Namespace) -> list[Study]:
    """The studies that the command line asks for.

    Raises:
        UsageError: it asks for something that is not there.
    """
    if unknown := sorted(set(arguments.names) - set(STUDIES)):
        raise UsageError(f"no study named {', '.join(unknown)}; choose from {', '.join(STUDIES)}")
    if not arguments.names and (arguments.model or arguments.set or arguments.keep):
        raise UsageError("--model, --set and --keep: name the studies they are for")
    studies = [load(name) for name in arguments.names or STUDIES]
    profiles = {name for study in map(load, STUDIES) for name in study.profiles} if arguments.profile else set()
    if arguments.profile and arguments.profile not in profiles:
        known = f"choose from {', '.join(sorted(profiles))}" if profiles else "no study has any"
        raise UsageError(f"--profile: unknown {arguments.profile!r}, {known}")
    if not (arguments.names or arguments.all or arguments.list):
        studies = [study for study in studies if study.live]
    changes = dict(arguments.set)
    return [study.variant(profile=arguments.profile, model=arguments.model, changes=changes) for study in studies]


def _setting(text: str) -> tuple[str, Any]:
    key, _, value = text.partition("=")
    try:
        return key, json.loads(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=JSON, as in windows='[256, 512]'") from None


def _redo_since(names: list[str]) -> str:
    """When redoing these studies began: now, or when a run that was stopped before its end began it."""
    try:
        redo = json.loads(REDO.read_text())
        if redo["names"] == names:
            return redo["since"]
    except (OSError, ValueError, KeyError, TypeError):
        pass
    redo = {"names": names, "since": datetime.now(UTC).isoformat(timespec="seconds")}
    REDO.parent.mkdir(exist_ok=True)
    record.write_atomically(REDO, json.dumps(redo).encode())
    return redo["since"]


def _keep(studies: list[Study]) -> int:
    for study in studies:
        if study.current(partial=True) is None:
            print(f"{study.record_name}: its record is not current; run it first: {study.command}", file=sys.stderr)
            return 1
        if study.path != (kept := record.path_of(study.record_name, live=False)):
            shutil.copyfile(study.path, kept)
        print(kept.relative_to(record.RESULTS))
    return 0


def _list(studies: list[Study], *, as_json: bool) -> int:
    rows = [_row(study) for study in studies]
    if as_json:
        print(json.dumps(rows, indent=1))
        return 0
    width = max(len(row["record"]) for row in rows)
    for row in rows:
        state = "current" if row["current"] else "to run"
        print(f"{row['record']:{width}}  {'live' if row['live'] else 'recorded':8}  {state:7}  {row['says']}")
    return 0


def _row(study: Study) -> dict[str, Any]:
    found = study.current()
    return {
        "record": study.record_name,
        "live": study.live,
        "current": found is not None,
        "says": study.says,
        "command": study.command,
        "path": str(study.path.relative_to(record.RESULTS)),
        "wall_seconds": found and found["wall_seconds"],
    }


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; finished studies are kept, run it again to go on", file=sys.stderr)
        sys.exit(130)
