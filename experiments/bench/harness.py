"""The parts of the benchmark: how one is measured, put into the committed record, and held against what that says."""

import gc
import importlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from experiments.bench.timing import Row
from experiments.records import record, source_hashes
from experiments.records.record import NoRecord, Record

NAME, GPU_NAME = "bench", "bench_gpu"  # of the two records
# part, as the record names it -> minutes on two cores, until the record says how long it took
PARTS = {
    "bench_theory": 1.0,
    "bench_startup": 2.0,
    "bench_growth": 3.0,
    "bench_perplexity": 33.0,
    "bench_passkey": 7.0,
    "bench_training": 25.0,
}
OPT_IN = {"bench_peers": 8.0, "bench_cold": 17.0}
# Ranges that do not meet are noise still, as long as the values are this near: a machine is not the same every day.
NOISE = 0.05
FALL = 0.1  # A value that is worse by more than this share is named, wherever the ranges lie.
_SAYS = "Ours beside what people would otherwise run, what a user waits for, and how times grow"


def script(name: str) -> str:
    """The module that measures a part."""
    return f"experiments.bench.{name.removeprefix('bench_')}"


def measure(name: str, say: Callable[[float], None], *, as_json: bool = False) -> dict[str, Any]:
    """Runs a part and prints its rows as they come.

    Args:
        name: of the part.
        say: is called with the seconds gone by, before the first row and after each.
        as_json: print rows as JSON lines.

    Returns:
        What `part` makes of the rows.

    Raises:
        Different: two ways to one answer did not give it.
    """
    start, rows = time.perf_counter(), []
    say(0)
    row: Row
    for row in importlib.import_module(script(name)).rows():
        rows.append(asdict(row))
        print(json.dumps(rows[-1]) if as_json else show(rows[-1]), flush=True)
        say(time.perf_counter() - start)
    gc.collect()
    return part(name, rows, time.perf_counter() - start)


def part(name: str, rows: Iterable[dict[str, Any]], seconds: float) -> dict[str, Any]:
    """What a record keeps of a part: ``rows``, and where, when, how fast and by which code they were measured."""
    about = {"wall_seconds": round(seconds, 1), "peak_memory_gib": round(record.peak_memory_gib(), 3)}
    by = {"code_sha256": record.digest(source_hashes.sources(script(name)))}
    return {**record.commit(), **record.environment(), **about, **by, "rows": list(rows)}


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
        "says": _SAYS,
        "command": command,
        "config": {},
        "config_sha256": record.digest({}),
        "code": source_hashes.sources("experiments.bench.gpu" if study == GPU_NAME else "experiments.bench.harness"),
        **record.commit(),
        **record.environment(),
        "wall_seconds": sum(one["wall_seconds"] for one in parts.values()),
        "peak_memory_gib": max(one["peak_memory_gib"] for one in parts.values()),
        "metrics": {"parts": dict(sorted(parts.items()))},
    }
    record.write(made, record.path_of(study, live=False))


def fallen(now: dict[str, Any], before: dict[str, Any] | None) -> list[str]:
    """A line for every row that is worse than it was, by more than a tenth or by more than its noise."""
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
    """Whether a value is worse by more than a fall, or by more than noise where the ranges do not meet."""
    left = row["value"] / old["value"] if row["more"] else old["value"] / row["value"]
    apart = row["highest"] < old["lowest"] if row["more"] else row["lowest"] > old["highest"]
    return left < 1 - FALL or (apart and left < 1 - NOISE)


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
