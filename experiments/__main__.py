"""Runs studies: those that are named, or all live ones, as far as their records are not current.

A live study is cheap and runs on every machine that draws the figures. A recorded one takes long, or needs what not
everybody has; its committed record is drawn, and it runs when it is named or with --all. Each study runs in a process
of its own, so that an interruption costs at most those in hand; run it again to go on.
"""

import argparse
import json
import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from experiments import FORMER_NAMES, STUDIES
from experiments.measurement.budget import Budget
from experiments.records import record
from experiments.records.adopt import adopt
from experiments.records.record import ROOT, RecordError
from experiments.records.study import Study, load
from experiments.runner.orders import Order
from experiments.runner.scheduler import Step, run_steps
from pi_model.errors import RunError, UsageError
from pi_theory.console import exit_code, put, script_parser, wrap

REDO = ROOT / "build" / "redo.json"
SHORTEST_MINUTES = 0.1


def main() -> int:
    parser = script_parser("experiments", __doc__, "tiny_heads --model my-llama --figures")
    parser.add_argument("names", nargs="*", metavar="NAME", help="Studies to run. Without a name, all live ones.")
    parser.add_argument(
        "--all", action="store_true", help="Run the recorded studies as well, which takes hours on two cores."
    )
    parser.add_argument("--force", action="store_true", help="Run even those whose record is current.")
    parser.add_argument(
        "--profile", default="", help="Use the settings of this name, such as gpu or toy, where a study has them."
    )
    parser.add_argument(
        "--model",
        default="",
        help="Use this model: a folder, a GGUF file, a name on the hub (owner/name), tiny-llama or smollm2-135m. "
        "Settings that are lengths in tokens follow its window.",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=JSON",
        type=_setting,
        help="With --model, change another setting of the study. May be given several times.",
    )
    parser.add_argument(
        "--minutes", type=float, help="Stop before this many minutes are over. The same command goes on later."
    )
    parser.add_argument("--figures", action="store_true", help="Then draw figures, tables and the page.")
    parser.add_argument(
        "--keep",
        action="store_true",
        help="Put the records of the named studies among the committed ones, and run nothing.",
    )
    parser.add_argument(
        "--list", action="store_true", help="List the studies and whether their records are current, and run nothing."
    )
    parser.add_argument("--json", action="store_true", help="Print what was listed or run as JSON.")
    arguments = parser.parse_args()
    return exit_code(
        parser.prog,
        lambda: _asked(arguments),
        wrong_usage=UsageError,
        failures=(RunError,),  # an input of a study that cannot be had
        interrupted="interrupted; finished studies are kept, run it again to go on",
    )


def _asked(arguments: argparse.Namespace) -> int:
    orders = _orders(arguments)
    studies = [order.study() for order in orders]
    if arguments.list:
        return _list(studies, as_json=arguments.json)
    if arguments.keep:
        return _keep(studies)
    return _run(orders, arguments)


def _run(orders: list[Order], arguments: argparse.Namespace) -> int:
    budget = Budget.of_minutes(arguments.minutes)
    since = _redo_since([order.study().record_name for order in orders]) if arguments.force else ""
    pending = [order for order in orders if (found := order.study().current()) is None or found["written"] <= since]
    if any(order.study().committed for order in pending):
        record.refuse_uncommitted()
    steps = [order.step(budget) for order in pending]
    if arguments.figures:
        steps.append(Step("figures, tables and page", [sys.executable, "-m", "figures"], 20, last=True))
    status = run_steps(steps)
    studies = [order.study() for order in pending]
    if arguments.json:
        put(json.dumps([_row(study) for study in studies], indent=1))
    elif not status:
        put("".join(f"{line}\n" for line in map(_conclusion, studies) if line), end="")
    if arguments.force and not status:
        REDO.unlink()
    return status


def _conclusion(study: Study) -> str:
    """What is to be said of a study that has run: what it concludes, where its record is, and how it goes on."""
    found = study.current(partial=True)
    if found is None:
        return ""
    said = f"{study.conclusion(found['metrics'])}; " if study.conclusion else ""
    said += f"the record is {os.path.relpath(study.path)}"
    if found["metrics"].get("stopped_early"):
        said += f"; the time was over before the end, it goes on with: {_to_paste(study)}"
    return f"{study.record_name}: {said}"


def _to_paste(study: Study) -> str:
    """The command that runs a study, with the Python that runs this."""
    python = os.path.relpath(sys.executable) if Path(sys.executable).is_relative_to(Path.cwd()) else sys.executable
    return study.command.replace("python", shlex.quote(python), 1)


def _orders(arguments: argparse.Namespace) -> list[Order]:
    """The studies that the command line asks for.

    Raises:
        UsageError: it asks for something that is not there.
    """
    names = [FORMER_NAMES.get(name, name) for name in arguments.names]
    if unknown := sorted(set(names) - set(STUDIES)):
        raise UsageError(f"no study named {', '.join(unknown)}; choose from {', '.join(STUDIES)}")
    if not names and (arguments.model or arguments.set or arguments.keep):
        raise UsageError("--model, --set and --keep: name the studies they are for")
    if arguments.minutes is not None and not arguments.minutes >= SHORTEST_MINUTES:  # nor is NaN
        raise UsageError(f"--minutes: give at least {SHORTEST_MINUTES:g}")
    profiles = {name for study in map(load, STUDIES) for name in study.profiles} if arguments.profile else set()
    if arguments.profile and arguments.profile not in profiles:
        known = f"choose from {', '.join(sorted(profiles))}" if profiles else "no study has any"
        raise UsageError(f"--profile: unknown {arguments.profile!r}, {known}")
    if not names:
        names = [name for name in STUDIES if arguments.all or arguments.list or load(name).live]
    return [Order(name, arguments.profile, arguments.model, dict(arguments.set)) for name in names]


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
            print(f"{study.record_name}: its record is not current; run it first: {_to_paste(study)}", file=sys.stderr)
            return 1
        print(adopt(study.path).relative_to(record.RESULTS))
    return 0


def _list(studies: list[Study], *, as_json: bool) -> int:
    rows = [_row(study) for study in studies]
    if as_json:
        print(json.dumps(rows, indent=1))
        return 0
    width = max(len(row["record"]) for row in rows)
    for row in rows:
        state = "current" if row["current"] else "stale" if row["written"] else "missing"
        first = f"{row['record']:{width}}  {'live' if row['live'] else 'recorded':8}  {state:7}  "
        print(wrap(row["says"], " " * len(first), first))
        if not row["live"] and row["written"]:
            print(wrap(f"(made {row['written'][:10]} on {row['device']})", " " * len(first)))
    return 0


def _row(study: Study) -> dict[str, Any]:
    current = study.current()
    try:
        found = current or record.read_file(study.path)
    except RecordError:
        found = {}
    return {
        "record": study.record_name,
        "live": study.live,
        "current": current is not None,
        "says": study.says,
        "command": study.command,
        "path": str(study.path.relative_to(record.RESULTS)),
        "written": found.get("written"),
        "device": found.get("device"),
        "wall_seconds": current and current["wall_seconds"],
    }


if __name__ == "__main__":
    sys.exit(main())
