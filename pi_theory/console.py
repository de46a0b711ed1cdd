"""What the commands `pi-theory` and `pi-model` have in common: their parser, their exit codes and how they print.

A program is a list of `Command` objects. Everything here uses the standard library alone, so that --help answers at
once; a command imports what it needs when it runs.
"""

import argparse
import json
import math
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn


@dataclass(frozen=True)
class Command:
    """One command of a program.

    Attributes:
        name: The word that selects it.
        summary: One sentence that says what it does. It stands in the program's list and at the head of its own help.
        example: A command line that works as it stands, shown at the end of its help.
        add_arguments: Declares its arguments on the parser that it is given.
        run: Does the work and prints the answer. What it raises, `run_command` turns into a message and an exit code.
        details: What else its own help says, in paragraphs.
        less_memory: What the user can change when memory runs out.
        resumes: Whether the same command line continues after an interruption.
    """

    name: str
    summary: str
    example: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]
    details: str = ""
    less_memory: str = "close other programs and try again"
    resumes: bool = False


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and whose help is wrapped to the terminal.

    Args:
        program: What its errors begin with; None is the first word of ``prog``.
        settings: As for `argparse.ArgumentParser`.
    """

    def __init__(self, *, program: str | None = None, **settings: Any) -> None:
        super().__init__(formatter_class=_HelpFormatter, add_help=False, **settings)
        self._program = program or self.prog.split()[0]
        self.add_argument("-h", "--help", action="help", help="Show this help and exit.")

    def error(self, message: str) -> NoReturn:
        """Reports wrong usage in one line on standard error and exits with code 2."""
        self.exit(fail(self._program, f"{message}; see {self.prog} --help", 2))


def script_parser(module: str, description: str | None, example: str) -> Parser:
    """The parser of ``python -m MODULE``, where ``example`` is what to write behind that."""
    prog = f"python -m {module}"
    return Parser(prog=prog, program=prog, description=description, epilog=f"{_EXAMPLE}{prog} {example}")


def program_parser(name: str, description: str, example: str, commands: Sequence[Command]) -> Parser:
    """The parser of a program. The namespace that it returns has the chosen command as `command`, None for none."""
    parser = Parser(prog=name, description=description, epilog=_EXAMPLE + example)
    choices = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    parser.set_defaults(command=None)
    for command in commands:
        description = f"{command.summary}\n\n{command.details}".strip()
        own: Parser = choices.add_parser(
            command.name, help=command.summary, description=description, epilog=_EXAMPLE + command.example
        )
        command.add_arguments(own)
        own.add_argument("--json", action="store_true", help="Print the answer as one JSON object.")
        own.set_defaults(command=command)
    return parser


def run_command(
    parser: Parser,
    arguments: argparse.Namespace,
    *,
    wrong_usage: type[Exception],
    failures: tuple[type[Exception], ...],
) -> int:
    """Runs the chosen command, or prints the program's help where none was chosen.

    Args:
        parser: The program's parser.
        arguments: What it parsed.
        wrong_usage: What a command raises when its arguments are at fault.
        failures: What it raises when the arguments are right and the work cannot be done.

    Returns:
        The exit code, see `exit_code`.
    """
    command: Command | None = arguments.command
    if command is None:
        parser.print_help()
        return 0
    go_on = "; the same command line continues where this one stopped" if command.resumes else ""
    return exit_code(
        parser.prog,
        lambda: command.run(arguments),
        wrong_usage=wrong_usage,
        failures=failures,
        interrupted=f"interrupted{go_on}",
        less_memory=command.less_memory,
    )


def exit_code(
    program: str,
    run: Callable[[], int | None],
    *,
    wrong_usage: type[Exception],
    failures: tuple[type[Exception], ...],
    interrupted: str = "interrupted",
    less_memory: str = "",
) -> int:
    """Runs something and says in one line on standard error why it ended, if it did not end well.

    Args:
        program: What the line begins with.
        run: The work; an exit code that it returns is passed on.
        wrong_usage: What it raises when its arguments are at fault.
        failures: What it raises when the arguments are right and the work cannot be done.
        interrupted: What to say after Ctrl-C.
        less_memory: How to make do with less memory.

    Returns:
        0 done, 1 failed, 2 wrong usage, 130 interrupted. Any other exception is a fault of ours, which a traceback
        serves best, and is raised.
    """
    try:
        return run() or 0
    except KeyboardInterrupt:
        return fail(program, interrupted, 130)
    except BrokenPipeError:  # The reader, `head` for instance, has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except wrong_usage as error:
        return fail(program, error, 2)
    except failures as error:
        return fail(program, error, 1)
    except (MemoryError, RuntimeError) as error:
        # PyTorch says that memory ran out by a RuntimeError of its own making.
        if not less_memory or (not isinstance(error, MemoryError) and "memory" not in str(error)):
            raise
        return fail(program, f"out of memory: {less_memory}", 1)


def fail(program: str, error: object, code: int) -> int:
    """Prints an error as one line on standard error and returns the exit code."""
    print(f"{program}: error: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def warn(program: str, message: str) -> None:
    """Prints a warning as one line on standard error."""
    print(f"{program}: warning: {message}", file=sys.stderr)


def show(arguments: argparse.Namespace, answer: dict[str, Any], text: str) -> None:
    """Prints an answer: with --json as a JSON object in which NaN and infinities are null, else as text."""
    print(json.dumps(_finite(answer), indent=2, allow_nan=False) if arguments.json else text, flush=True)


def wrap(text: str, indent: str = "", first: str | None = None) -> str:
    """Text in lines that fit the terminal.

    Args:
        text: A paragraph.
        indent: What every line begins with.
        first: What the first line begins with instead.
    """
    start = indent if first is None else first
    # Formulas stay whole: "x = 1" is not broken, nor is "x-1", where the hyphen is a minus.
    kept = re.sub(r" ([<>]?=|[<>]) ", "\N{NO-BREAK SPACE}\\1\N{NO-BREAK SPACE}", text)
    # A path that is longer than a line stays whole too, so that it can be copied; digits go on in the next line.
    wrapper = textwrap.TextWrapper(width(), start, indent, break_long_words="/" not in text, break_on_hyphens=False)
    return wrapper.fill(kept).replace("\N{NO-BREAK SPACE}", " ")


def counted(count: int, noun: str) -> str:
    """A count with its noun: 1 document, 2 documents."""
    return f"{count} {noun}{'s' * (count != 1)}"


def width() -> int:
    """Columns for text: those of the terminal, at most 120, which is as much as one reads with ease."""
    return min(120, shutil.get_terminal_size((80, 24)).columns)


# Types of arguments. Each says in its message what it takes; argparse puts the argument's name before it.


def whole(at_least: int) -> Callable[[str], int]:
    """The type of an argument that is a whole number from `at_least` on."""

    def parse(word: str) -> int:
        try:
            number = int(word)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, got {_quoted(word)}") from None
        if number < at_least:
            raise argparse.ArgumentTypeError(f"must be at least {at_least}, got {number}")
        return number

    return parse


def number(
    *, at_least: float = -math.inf, above: float = -math.inf, at_most: float = math.inf
) -> Callable[[str], float]:
    """The type of an argument that is a finite number within the bounds given."""
    bounds = [f"at least {at_least:g}"] * (at_least > -math.inf)
    bounds += [f"above {above:g}"] * (above > -math.inf) + [f"at most {at_most:g}"] * (at_most < math.inf)

    def parse(word: str) -> float:
        try:
            value = float(word)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a number, got {_quoted(word)}") from None
        if not (math.isfinite(value) and at_least <= value <= at_most and above < value):
            raise argparse.ArgumentTypeError(f"must be {' and '.join(bounds) or 'finite'}, got {_quoted(word)}")
        return value

    return parse


def word(text: str) -> str:
    """The type of an argument that is any text but an empty one."""
    if not text.strip():
        raise argparse.ArgumentTypeError("must not be empty")
    return text


def path(text: str) -> Path:
    """The type of an argument that names a file or folder. An empty text would mean the current folder."""
    return Path(word(text))


def _quoted(word: str) -> str:
    return repr(word if len(word) < 60 else word[:57] + "...")


def _finite(value: Any) -> Any:
    """A JSON value with null for what JSON cannot write: NaN and infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return value


_EXAMPLE = "Example:\n"


class _HelpFormatter(argparse.HelpFormatter):
    """Wraps help paragraph by paragraph, keeps an example fit to be copied, and says the default of every option."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith(_EXAMPLE):
            # Two columns are left for the backslash with which a shell joins lines.
            lines = textwrap.wrap(
                text.removeprefix(_EXAMPLE),
                width - 2,
                initial_indent="  ",
                subsequent_indent="      ",
                break_long_words=False,
                break_on_hyphens=False,
            )
            return _EXAMPLE + " \\\n".join(lines)
        # An indented paragraph holds commands and stays as it is.
        parts = text.strip().split("\n\n")
        return "\n\n".join(
            one if one.startswith("    ") else textwrap.fill(one, width, break_on_hyphens=False) for one in parts
        )

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.required or action.nargs is not None or action.default in (None, argparse.SUPPRESS):
            return action.help
        return f"{action.help} Default: %(default)s."
