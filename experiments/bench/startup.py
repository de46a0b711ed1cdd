"""How long a user waits before anything happens: for imports and for --help, each in a process of its own."""

import re
import statistics
import subprocess
import sys
from collections.abc import Iterator

from experiments.bench.timing import Row, measured, seconds_of

REPEATS = 3
# What every command of each package imports, and the most seconds that this should take.
IMPORTS = {"pi_theory": 0.3, "pi_theory.verdicts": 0.3, "pi_model": 2.0, "pi_model.models.loading": 2.0}
PROGRAMS = {"pi-theory": "pi_theory.cli", "pi-model": "pi_model.cli.main"}
HELP_AIM = 0.5


def commands(module: str) -> list[str]:
    """The subcommands that a program's --help lists."""
    told = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=True)
    return re.findall(r"^    ([a-z]+)(?: |$)", told.stdout, re.MULTILINE)


def rows() -> Iterator[Row]:
    """The time of each import, of each program's --help, and of the slowest --help among its subcommands."""
    for module, aim in IMPORTS.items():
        yield measured(
            f"import {module}", "s", seconds_of([sys.executable, "-c", f"import {module}"], REPEATS), aim=aim
        )
    for program, module in PROGRAMS.items():
        helps = {
            command: seconds_of([sys.executable, "-m", module, *command.split(), "--help"], REPEATS)
            for command in ["", *commands(module)]
        }
        yield measured(f"{program} --help", "s", helps.pop(""), aim=HELP_AIM)
        slowest = max(helps, key=lambda command: statistics.median(helps[command]))
        what = f"{program} COMMAND --help, the slowest of {len(helps)}"
        yield measured(what, "s", helps[slowest], aim=HELP_AIM, command=slowest)
