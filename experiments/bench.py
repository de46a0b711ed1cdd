"""Ours beside what people would otherwise run: every row a ratio measured in one run, or two peaks of memory.

Beside them: what a user waits for, and how each computation grows. Ratios are held against those of the committed
record, and a row that fell by more than its noise is named.
"""

import argparse
import importlib
import json
import sys
import time
from typing import Any

from experiments import record

MODULES = (
    "bench_theory",
    "bench_perplexity",
    "bench_passkey",
    "bench_training",
    "bench_startup",
    "bench_growth",
)
NAME = "bench"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"benchmarks to run, of {', '.join(MODULES)} (all)")
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    parser.add_argument("--keep", action="store_true", help="make this run the one that later ones are held against")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(MODULES))
    if unknown:
        parser.exit(2, f"{parser.prog}: no benchmark named {', '.join(unknown)}; choose from {', '.join(MODULES)}\n")
    if arguments.keep and arguments.names:
        parser.exit(2, f"{parser.prog}: --keep needs all benchmarks; leave the names out\n")
    names = arguments.names or list(MODULES)
    before = _kept()
    start, table = time.perf_counter(), []
    for name in names:
        for row in importlib.import_module(f"experiments.{name}").rows():
            table.append({"benchmark": name, **row})
            print(json.dumps(row) if arguments.json else show(row), flush=True)
    config = {"names": names}
    made = {
        "schema": record.SCHEMA,
        "study": NAME,
        "command": "make bench",
        "config": config,
        "config_sha256": record.digest(config),
        **record.environment(),
        "wall_seconds": round(time.perf_counter() - start, 3),
        "metrics": {"rows": table},
    }
    record.write(made, record.path_of(NAME, live=not arguments.keep))
    for line in fallen(table, before):
        print(line, file=sys.stderr)
    return 0


def _kept() -> list[dict[str, Any]]:
    path = record.path_of(NAME, live=False)
    rows: list[dict[str, Any]] = json.loads(path.read_text())["metrics"]["rows"] if path.exists() else []
    return rows


def fallen(now: list[dict[str, Any]], before: list[dict[str, Any]]) -> list[str]:
    """A line for every row whose whole range of ratios lies below the range it had; for memory, by over a twentieth."""
    then = {(row["benchmark"], row["what"], row.get("theirs")): row for row in before}
    lines = []
    for row in now:
        old = then.get((row["benchmark"], row["what"], row.get("theirs")))
        if old is None:
            continue
        if "ratio" in row and row["ratio_highest"] < old["ratio_lowest"]:
            lines.append(f"fell: {row['what']}: {row['ratio']:.2f} times as fast, was {old['ratio']:.2f}")
        if "ours_peak_gib" in row and row["ours_peak_gib"] > 1.05 * old["ours_peak_gib"]:
            lines.append(f"fell: {row['what']}: {row['ours_peak_gib']:.2f} GiB, was {old['ours_peak_gib']:.2f}")
    return lines


def show(row: dict[str, Any]) -> str:
    """One line: what, beside what, and how much."""
    what = f"{row['what']:<60}"
    if "ratio" in row:
        return (
            f"{what} {row['ratio']:6.2f} times as fast as {row['theirs']} "
            f"({row['ratio_lowest']:.2f} to {row['ratio_highest']:.2f} over {row['repeats']} pairs, "
            f"{row['ours_seconds']:.3g} s against {row['theirs_seconds']:.3g} s)"
        )
    if "exponent" in row:
        times = ", ".join(
            f"{seconds:.3g} s at {size}" for size, seconds in zip(row["sizes"], row["each_seconds"], strict=True)
        )
        return f"{what} grows as the power {row['exponent']:.2f} of the {row['of']} ({times})"
    if "seconds" in row:
        return (
            f"{what} {row['seconds']:.2f} s ({row['seconds_lowest']:.2f} to {row['seconds_highest']:.2f}; "
            f"aim {row['aim_seconds']:g} s)"
        )
    peaks = ", ".join(
        f"{key[: -len('_peak_gib')]} {value:.2f} GiB" for key, value in row.items() if key.endswith("_gib")
    )
    return f"{what} {peaks}"


if __name__ == "__main__":
    sys.exit(main())
