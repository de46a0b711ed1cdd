"""How long a user waits before anything happens: for imports, for --help, and for commands that load no weights.

Each is a process of its own. A command that loads a model cannot be faster than transformers' own import, which is
measured in the same turns and is the floor that the import of ours is held against.
"""

import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from experiments.bench.timing import Row, measured, seconds_of
from experiments.records.record import ROOT

REPEATS = 3
# What every command of each package imports, and the most seconds that this should take.
IMPORTS = {"pi_theory": 0.3, "pi_theory.verdicts": 0.3, "pi_model": 0.3}
FLOOR, LOADING, OVER_FLOOR = "from transformers import LlamaForCausalLM", "pi_model.models.loading", 1.1
PI_MODEL = "pi_model.cli.main"
PROGRAMS = {"pi-theory": "pi_theory.cli", "pi-model": PI_MODEL}
HELP_AIM = LIGHT_AIM = 0.5
# Command lines of pi-model that load no weights, each with its exit code: two commands, and a model, documents and a
# recipe that do not exist.
LIGHT = {
    "extend tiny-llama --factor 4 --out FOLDER": 0,
    "plan --model llama-7b --context 32768": 0,
    "perplexity --model no/such/model --data books --windows 256": 2,
    "perplexity --model tiny-llama --data nothing.txt --windows 256": 2,
    "finetune nothing --out FOLDER": 2,
}


def commands(module: str) -> list[str]:
    """The subcommands that a program's --help lists."""
    told = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True)
    return re.findall(r"^    ([a-z]+)(?: |$)", told.stdout, re.MULTILINE)


def light(line: str, code: int) -> list[float]:
    """How many seconds a command of pi-model takes in each of several runs after one that is not counted.

    Raises:
        RuntimeError: It ended with another exit code.
    """
    seconds = []
    with TemporaryDirectory() as folder:
        for number in range(REPEATS + 1):
            words = line.replace("FOLDER", str(Path(folder) / str(number))).split()
            start = time.perf_counter()
            done = subprocess.run([sys.executable, "-m", PI_MODEL, *words], cwd=ROOT, capture_output=True, text=True)
            seconds.append(time.perf_counter() - start)
            if done.returncode != code:
                raise RuntimeError(f"pi-model {line} ended with {done.returncode}: {done.stderr.strip()}")
    return seconds[1:]


def rows() -> Iterator[Row]:
    """The time of imports, of each program's --help and the slowest of its subcommands', and of light commands."""
    for module, aim in IMPORTS.items():
        yield measured(
            f"import {module}", "s", seconds_of([sys.executable, "-c", f"import {module}"], REPEATS), aim=aim
        )
    floors: list[float] = []
    own: list[float] = []
    for _ in range(REPEATS):  # in turns, because a machine is not the same all the time
        floors += seconds_of([sys.executable, "-c", FLOOR], 1)
        own += seconds_of([sys.executable, "-c", f"import {LOADING}"], 1)
    floor = statistics.median(floors)
    yield measured(f"import {LOADING}", "s", own, aim=OVER_FLOOR * floor, floor_seconds=floor, floor=FLOOR)
    for program, module in PROGRAMS.items():
        helps = {
            command: seconds_of([sys.executable, "-m", module, *command.split(), "--help"], REPEATS)
            for command in ["", *commands(module)]
        }
        yield measured(f"{program} --help", "s", helps.pop(""), aim=HELP_AIM)
        slowest = max(helps, key=lambda command: statistics.median(helps[command]))
        what = f"{program} COMMAND --help, the slowest of {len(helps)}"
        yield measured(what, "s", helps[slowest], aim=HELP_AIM, command=slowest)
    for line, code in LIGHT.items():
        yield measured(f"pi-model {line}", "s", light(line, code), aim=LIGHT_AIM)
