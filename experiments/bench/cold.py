"""How long `make figures` takes in a fresh clone with empty caches, and how long once more when nothing has changed.

This part runs only when it is asked for, because it installs all packages from their registry, as a new user does.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.bench.timing import Row, measured
from experiments.records.record import ROOT

COLD_AIM, WARM_AIM = 15 * 60, 60
WARM_RUNS = 3


def rows() -> Iterator[Row]:
    """The time of the first run, installation included, and of runs that have nothing to do; in seconds."""
    with TemporaryDirectory() as temporary:
        clone, cache = Path(temporary) / "clone", Path(temporary) / "cache"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        install = made(clone, cache, ".venv/installed-core")
        cold = install + made(clone, cache, "figures")
        yield measured("make figures in a fresh clone", "s", [cold], aim=COLD_AIM, install_seconds=install)
        warm = [made(clone, cache, "figures") for _ in range(WARM_RUNS)]
        yield measured("make figures, nothing changed", "s", warm, aim=WARM_AIM)


def made(clone: Path, cache: Path, target: str) -> float:
    """How many seconds a make target takes in a clone, without this environment's caches and virtual environment.

    Args:
        clone: the folder of the clone.
        cache: the folder that stands for the user's cache.
        target: what to make.

    Raises:
        RuntimeError: the target failed. The message has the last lines that it printed.
    """
    without = ("PI_MODEL_CACHE", "PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    environment = {name: value for name, value in os.environ.items() if name not in without}
    start = time.perf_counter()
    done = subprocess.run(
        ["make", f"PYTHON={sys.executable}", target],
        cwd=clone,
        env=environment | {"XDG_CACHE_HOME": str(cache)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"make {target} failed in a fresh clone: {' '.join(done.stderr.strip().splitlines()[-3:])}")
    return time.perf_counter() - start
