"""How long a user waits before anything happens: imports, --help, and `make figures` when nothing has changed."""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.record import ROOT

BIN = Path(sys.executable).parent
REPEATS = 5
# what, command, the longest it should take in seconds
WAITS: list[tuple[str, list[str], float]] = [
    ("import pi_theory.bound", [sys.executable, "-c", "import pi_theory.bound"], 0.3),
    ("import pi_model.model", [sys.executable, "-c", "import pi_model.model"], 2.0),
    ("pi-theory --help", [str(BIN / "pi-theory"), "--help"], 0.5),
    ("pi-model --help", [str(BIN / "pi-model"), "--help"], 0.5),
    ("make figures, nothing changed", ["make", "figures"], 60.0),
]


def rows() -> Iterator[dict[str, Any]]:
    """Wall seconds of whole processes; the first run of each is not counted."""
    for what, command, aim in WAITS:
        seconds = [_seconds(command) for _ in range(REPEATS + 1 if aim < 10 else 2)][1:]
        yield {
            "what": what,
            "seconds": statistics.median(seconds),
            "seconds_lowest": min(seconds),
            "seconds_highest": max(seconds),
            "repeats": len(seconds),
            "aim_seconds": aim,
        }


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start
