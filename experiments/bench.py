"""Ours beside what people would otherwise run: every row a ratio measured in one run, or two peaks of memory."""

import argparse
import importlib
import json
import sys
import time
from typing import Any

from experiments import record

MODULES = ("bench_theory", "bench_perplexity", "bench_passkey", "bench_training")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"benchmarks to run, of {', '.join(MODULES)} (all)")
    parser.add_argument("--json", action="store_true", help="print JSON lines")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(MODULES))
    if unknown:
        parser.exit(2, f"{parser.prog}: no benchmark named {', '.join(unknown)}; choose from {', '.join(MODULES)}\n")
    names = arguments.names or list(MODULES)
    start, table = time.perf_counter(), []
    for name in names:
        for row in importlib.import_module(f"experiments.{name}").rows():
            table.append({"benchmark": name, **row})
            print(json.dumps(row) if arguments.json else show(row), flush=True)
    config = {"names": names}
    made = {
        "schema": record.SCHEMA,
        "study": "bench",
        "command": "make bench",
        "config": config,
        "config_sha256": record.digest(config),
        **record.environment(),
        "wall_seconds": round(time.perf_counter() - start, 3),
        "metrics": {"rows": table},
    }
    record.write(made, record.path_of("bench", live=True))
    return 0


def show(row: dict[str, Any]) -> str:
    """One line: what, beside what, and how much."""
    if "ratio" in row:
        return (
            f"{row['what']:<52} {row['ratio']:6.2f} times as fast as {row['theirs']} "
            f"({row['ratio_lowest']:.2f} to {row['ratio_highest']:.2f} over {row['repeats']} pairs, "
            f"{row['ours_seconds']:.3g} s against {row['theirs_seconds']:.3g} s)"
        )
    peaks = ", ".join(
        f"{key[: -len('_peak_gib')]} {value:.2f} GiB" for key, value in row.items() if key.endswith("_gib")
    )
    return f"{row['what']:<52} {peaks}"


if __name__ == "__main__":
    sys.exit(main())
