"""The `pi-theory` command: bounds and worst cases of attention scores under Position Interpolation."""

from collections.abc import Sequence
from functools import cache

from pi_theory import console
from pi_theory.cli.amplification import AMPLIFICATION
from pi_theory.cli.bounds import BOUNDS
from pi_theory.cli.claims import CLAIMS
from pi_theory.cli.extrapolation import EXTRAPOLATION
from pi_theory.cli.fit import FIT
from pi_theory.cli.reach import REACH
from pi_theory.cli.resolution import RESOLUTION

COMMANDS = (BOUNDS, EXTRAPOLATION, AMPLIFICATION, FIT, REACH, RESOLUTION, CLAIMS)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command, or prints the list of them where none is given.

    Returns:
        The exit code: 0 done, 1 failed or undecided, 2 wrong usage, 130 interrupted.

    Raises:
        SystemExit: The command line cannot be parsed (code 2), or asks for help (code 0).
    """
    program = parser()
    # The library raises ValueError for an argument outside its domain and ArithmeticError for what stays undecided.
    return console.run_command(program, program.parse_args(argv), wrong_usage=ValueError, failures=(ArithmeticError,))


@cache
def parser() -> console.Parser:
    """The parser of `pi-theory` and all its commands, built once."""
    return console.program_parser(
        "pi-theory",
        "Computes what can be proved about attention scores under rotary position embedding: how large they can "
        "become between and beyond trained positions, and what Position Interpolation changes about it.",
        "pi-theory bounds --head-dim 128 --base 500000",
        COMMANDS,
    )
