"""The two commands as tests meet them: how a command line ends, and every argument that a program takes."""

import argparse
import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from pi_theory.console import Parser


@dataclass(frozen=True)
class Ending:
    """Exit code, standard output and standard error of one command line."""

    code: int
    out: str
    err: str

    def is_wrong_usage(self, program: str, named: str) -> bool:
        """Whether it is one line on standard error that names an argument, and exit code 2."""
        one_line = self.err.startswith(f"{program}: error: ") and self.err.count("\n") == 1 and self.err[-1] == "\n"
        return (self.code, self.out, one_line) == (2, "", True) and named in self.err.replace("_", "-")


def ending(main: Callable[[Sequence[str]], int], *words: object) -> Ending:
    """How a command line ends."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Ending(code, out.getvalue(), err.getvalue())


def commands(parser: Parser) -> dict[str, Parser]:
    """The parser of each command of a program."""
    return next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))


def valued(parser: Parser) -> Iterator[tuple[str, argparse.Action]]:
    """Every command with each of its options that takes a value."""
    for command, own in commands(parser).items():
        for action in own._actions:
            if action.option_strings and action.nargs != 0:
                yield command, action


def refuses(action: argparse.Action, word: str) -> bool:
    """Whether an option's own type or choices refuse a word."""
    if action.choices is not None:
        return word not in action.choices
    try:
        action.type(word)
    except argparse.ArgumentTypeError:
        return True
    return False


WORDS = st.sampled_from(["", " ", "x", "-1", "-0.5", "0", "1.5", "nan", "inf", "1e999", "1/0", "9" * 5000]) | st.text()
