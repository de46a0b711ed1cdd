"""Ours beside what people would otherwise run: ratios measured in one run, what a user waits for, how times grow.

Rows are held against those of the committed record: one that fell by more than its noise is named, and one that misses
its aim. With --keep the parts that ran take the place of the record's, and the README shows them.
"""

import argparse
import gc
import importlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from experiments.bench.timing import Different, Row
from experiments.records import record
from experiments.records import source_hashes as code
from experiments.records.record import NoRecord, Record, RecordError
from pi_model.errors import RunError, UsageError

NAME = "bench"
# part -> minutes on two cores, until the record says how long it took
PARTS = {
    "bench_theory": 1.0,
    "bench_startup": 0.5,
    "bench_growth": 1.0,
    "bench_perplexity": 6.5,
    "bench_passkey": 4.0,
    "bench_training": 9.5,
}
OPT_IN = {"bench_cold": 17.0}
# Ranges that do not meet are noise still, as long as the values are this near: a machine is not the same every day.
NOISE = 0.05


def main() -> int:
    parts = PARTS | OPT_IN
    parser = argparse.ArgumentParser(
        prog="python -m experiments.bench",
        description=__doc__,
        epilog="example: python -m experiments.bench bench_theory --keep",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="PART",
        help=f"what to measure: {', '.join(PARTS)} (default: these), {', '.join(OPT_IN)}",
    )
    parser.add_argument("--keep", action="store_true", help="put the rows into the committed record, part by part")
    parser.add_argument("--json", action="store_true", help="print rows as JSON lines")
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(parts)):
        parser.exit(2, f"{parser.prog}: no part named {', '.join(unknown)}; choose from {', '.join(parts)}\n")
    try:
        before = kept(NAME)
    except RecordError as error:
        print(f"{parser.prog}: {error}; or restore or remove the file", file=sys.stderr)
        return 1
    names = arguments.names or list(PARTS)
    guess = {name: before[name]["wall_seconds"] if name in before else 60 * parts[name] for name in names}
    failed, said = False, []
    for number, name in enumerate(names):
        say = partial(_say_left, f"{number + 1} of {len(names)}: {name}", [guess[later] for later in names[number:]])
        try:
            part = measure(name, say, as_json=arguments.json)
        except (Different, RunError, UsageError, RuntimeError) as error:
            print(f"{name}: not measured: {error}", file=sys.stderr)
            failed = True
            continue
        if arguments.keep:
            keep(NAME, {name: part}, command="make bench BENCH_ARGS=--keep")
        said += fallen(part, before.get(name)) + missed(part)
    print("\n".join(said), file=sys.stderr, end="\n" * bool(said))
    return int(failed)


def measure(name: str, say: Callable[[float], None], *, as_json: bool = False) -> dict[str, Any]:
    """Runs a part and prints its rows as they come.

    Args:
        say: is called with the seconds gone by, first and after each row.

    Returns:
        ``rows``, and where, when and by what they were measured.
    """
    start, rows = time.perf_counter(), []
    say(0)
    row: Row
    for row in importlib.import_module(f"experiments.bench.{name.removeprefix('bench_')}").rows():
        rows.append(asdict(row))
        print(json.dumps(rows[-1]) if as_json else show(rows[-1]), flush=True)
        say(time.perf_counter() - start)
    gc.collect()
    return part(name, rows, time.perf_counter() - start)


def _say_left(what: str, guesses: Sequence[float], gone: float) -> None:
    """Of the parts from this one on, in seconds; on standard error, where rows are not."""
    left = max(0.0, guesses[0] - gone) + sum(guesses[1:])
    print(f"{what}, about {left / 60:.0f} minutes left", file=sys.stderr, flush=True)


def part(name: str, rows: Iterable[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """What a record keeps of a part."""
    about = {"wall_seconds": round(seconds, 1), "peak_memory_gib": round(record.peak_memory_gib(), 3)}
    by = {"code_sha256": record.digest(code.sources(f"experiments.bench.{name.removeprefix('bench_')}"))}
    return {**record.environment(), **about, **by, "rows": list(rows)}


def kept(study: str) -> dict[str, dict[str, Any]]:
    """The committed parts by name, none where there is no record. Raises RecordError: it was changed."""
    try:
        return record.read_file(record.path_of(study, live=False))["metrics"]["parts"]
    except NoRecord:
        return {}


def keep(study: str, parts: dict[str, dict[str, Any]], *, command: str) -> None:
    """Puts parts into the committed record, in the place of those of their name. Raises RecordError: it was changed."""
    parts = kept(study) | parts
    made: Record = {
        "schema": record.SCHEMA,
        "study": study,
        "says": (__doc__ or "").splitlines()[0],
        "command": command,
        "config": {},
        "config_sha256": record.digest({}),
        "code": code.sources("experiments.bench" if study == NAME else "experiments.bench.gpu"),
        **record.environment(),
        "wall_seconds": sum(one["wall_seconds"] for one in parts.values()),
        "peak_memory_gib": max(one["peak_memory_gib"] for one in parts.values()),
        "metrics": {"parts": dict(sorted(parts.items()))},
    }
    record.write(made, record.path_of(study, live=False))


def fallen(now: dict[str, Any], before: dict[str, Any] | None) -> list[str]:
    """A line for every row that is worse than it was, by more than its noise."""
    then = {_key(row): row for row in before["rows"]} if before else {}
    where = f" (then on {before['device']})" if before and before["device"] != now["device"] else ""
    lines = []
    for row in now["rows"]:
        old = then.get(_key(row))
        if old is not None and _worse(row, old):
            change = f"{row['value']:.3g} {row['unit']}, was {old['value']:.3g}"
            lines.append(f"fell: {_named(row)}: {change}{where}")
    return lines


def _worse(row: dict[str, Any], old: dict[str, Any]) -> bool:
    """Whether the ranges do not meet, the new one on the wrong side, and the values are further apart than noise."""
    if row["more"]:
        return row["highest"] < old["lowest"] and row["value"] < (1 - NOISE) * old["value"]
    return row["lowest"] > old["highest"] and row["value"] > (1 + NOISE) * old["value"]


def missed(now: dict[str, Any]) -> list[str]:
    """A line for every row that does not reach its aim."""
    lines = []
    for row in now["rows"]:
        if row["aim"] is not None and not (row["value"] >= row["aim"] if row["more"] else row["value"] <= row["aim"]):
            bound = "at least" if row["more"] else "at most"
            lines.append(f"misses its aim: {_named(row)}: {row['value']:.3g} {row['unit']}, aim {bound} {row['aim']:g}")
    return lines


def _key(row: dict[str, Any]) -> tuple[str, str, str]:
    return row["what"], row["beside"], row["unit"]


def _named(row: dict[str, Any]) -> str:
    return f"{row['what']} beside {row['beside']}" if row["beside"] else row["what"]


def show(row: dict[str, Any]) -> str:
    """One line: what, beside what, how much."""
    spread = f" ({row['lowest']:.3g} to {row['highest']:.3g}, n = {row['n']})" if row["n"] > 1 else ""
    aim = f"; aim {'at least' if row['more'] else 'at most'} {row['aim']:g}" if row["aim"] is not None else ""
    detail = "; ".join(f"{key} {_text(value)}" for key, value in row["detail"].items())
    return f"{_named(row)}: {row['value']:.3g} {row['unit']}{spread}{aim}{f' [{detail}]' if detail else ''}"


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; the parts that ended are kept", file=sys.stderr)
        sys.exit(130)
