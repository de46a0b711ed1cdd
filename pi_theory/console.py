"""What the commands `pi-theory` and `pi-model` have in common: their parser, their exit codes and how they print.

A program is a list of `Command` objects. Everything here uses the standard library alone, so that --help answers at
once; a command imports what it needs when it runs.
"""

import argparse
import errno
import io
import json
import math
import os
import re
import shutil
import stat
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast


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


Speaker = Callable[[BaseException], str | None]


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

    def print_help(self, file: Any = None) -> None:
        """Prints the help like any other answer, so that a full disk ends it in one line."""
        if code := exit_code(self._program, lambda: put(self.format_help(), end="")):
            self.exit(code)

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
    speaker: Speaker | None = None,
) -> int:
    """Runs the chosen command, or prints the program's help where none was chosen.

    Args:
        parser: The program's parser.
        arguments: What it parsed.
        wrong_usage: What a command raises when its arguments are at fault.
        failures: What it raises when the arguments are right and the work cannot be done.
        speaker: As for `exit_code`.

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
        speaker=speaker,
    )


def exit_code(
    program: str,
    run: Callable[[], int | None],
    *,
    wrong_usage: type[Exception] | tuple[type[Exception], ...] = (),
    failures: tuple[type[Exception], ...] = (),
    interrupted: str = "interrupted",
    less_memory: str = "",
    speaker: Speaker | None = None,
) -> int:
    """Runs something and says in one line on standard error why it ended, if it did not end well.

    It ends well only when everything that was printed has arrived.

    Args:
        program: What the line begins with.
        run: The work; an exit code that it returns is passed on.
        wrong_usage: What it raises when its arguments are at fault.
        failures: What it raises when the arguments are right and the work cannot be done. An OSError, which the system
            raises when it cannot read or write, always counts as one.
        interrupted: What to say after Ctrl-C.
        less_memory: How to make do with less memory.
        speaker: Where several processes run together, says of an error by what name this one tells it, or None where
            another process tells it.

    Returns:
        0 done, 1 failed, 2 wrong usage, 130 interrupted, 141 when the reader of the output has gone, as a shell has it
        for programs that SIGPIPE ends. Any other exception is a fault of ours, which a traceback serves best, and is
        raised.
    """

    def told(error: BaseException, line: object, code: int) -> int:
        name = speaker(error) if speaker is not None else ""
        return code if name is None else fail(program, f"{name}{line}", code)

    with _standard_streams():
        try:
            code = run() or 0
            _arrive()
            return code
        except KeyboardInterrupt as error:
            return told(error, interrupted, 130)
        except BrokenPipeError:  # The reader, `head` for instance, has seen enough.
            return 141
        except wrong_usage as error:
            return told(error, error, 2)
        except failures as error:
            return told(error, explained(error) if isinstance(error, OSError) else error, 1)
        except OSError as error:
            return told(error, explained(error), 1)
        except (MemoryError, RuntimeError) as error:
            if not (less_memory and out_of_memory(error)):
                raise
            return told(error, f"out of memory: {less_memory}", 1)


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: Python's, a GPU's, by the error that PyTorch has for it, or what its allocators say."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and _ALLOCATORS.search(str(error)) is not None


# PyTorch's allocator for CPUs, CUDA itself, cuBLAS; all of them raise a plain RuntimeError.
_ALLOCATORS = re.compile(
    r"DefaultCPUAllocator: (can't allocate|not enough) memory|(CUDA|HIP)( error:)? out of memory|"
    "CUBLAS_STATUS_ALLOC_FAILED"
)


def fail(program: str, error: object, code: int) -> int:
    """Prints an error as one line on standard error and returns the exit code."""
    _say(f"{program}: error: {' '.join(str(error).split())}")
    return code


def warn(program: str, message: str) -> None:
    """Prints a warning as one line on standard error."""
    _say(f"{program}: warning: {message}")


def _say(line: str) -> None:
    print(line, file=cast(Any, _Courtesy(sys.stderr)), flush=True)


def show(
    arguments: argparse.Namespace, answer: dict[str, Any], text: str, *, arrived: Callable[[], object] | None = None
) -> None:
    """Prints an answer: with --json as a JSON object in which NaN and infinities are null, else as text.

    Args:
        arguments: Those of the command.
        answer: What --json prints.
        text: What is printed without it.
        arrived: Called when the answer has reached whoever reads it. What would be needed to give the answer again is
            removed here, and nowhere before.

    Raises:
        OSError: The answer cannot be written.
    """
    put(json.dumps(finite(answer), indent=2, allow_nan=False) if arguments.json else text)
    if arrived is not None:
        arrived()


def put(text: str, end: str = "\n") -> None:
    """Writes text to standard output, and returns when it has arrived there.

    Raises:
        BrokenPipeError: Whoever read the output has gone.
        OSError: The output cannot be written.
    """
    print(text, end=end)
    _arrive()


def _arrive() -> None:
    """Returns when what was printed is where it shall be: with the reader of a pipe, or in a file on its disk."""
    sys.stdout.flush()
    with suppress(io.UnsupportedOperation):  # no file of the system's, but one of a test
        descriptor = sys.stdout.fileno()
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fsync(descriptor)  # A network share may say only now that it is full.


def explained(error: OSError, path: str | os.PathLike[str] | None = None) -> str:
    """What the system could not do, in words: the file, the reason, and what can be done about it.

    Args:
        error: The system's error.
        path: The file or folder, where the error itself does not name it.
    """
    where = error.filename if isinstance(error.filename, str | bytes) else path
    named = f"{os.fsdecode(where)}: " if where is not None else ""
    remedy = _REMEDIES.get(error.errno or 0)
    return f"{named}{error.strerror or error}{f'; {remedy}' if remedy else ''}"


_FULL = "free space there, then give the same command again"
_ABSENT = "the disk or network share does not answer; give the same command again when it does"
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "files may not become so large there; see ulimit -f, or choose another place",
    errno.EACCES: "choose another place, or change its permissions",
    errno.EPERM: "choose another place, or change its permissions",
    errno.EROFS: "choose a place that can be written",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a part of the path is a file; choose another path",
    errno.EISDIR: "give a file",
    errno.EEXIST: "choose another name, or remove it",
    errno.ENOTEMPTY: "choose another name, or remove it",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ELOOP: "a symbolic link leads back to itself; choose another path",
    errno.EBADF: "redirect it to a file, or leave it open",
    errno.EMFILE: "raise the limit with ulimit -n",
    errno.EIO: _ABSENT,
    errno.ESTALE: _ABSENT,
    errno.ETIMEDOUT: _ABSENT,
}


@contextmanager
def _standard_streams() -> Iterator[None]:
    """Within the block, all three standard streams can be used, even those that the caller has closed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # The next file that is opened would get its number, and be written over by a library.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    before = sys.stdout, sys.stderr
    ours = sys.stdout, sys.stderr = cast(Any, _Output(sys.stdout)), cast(Any, _Courtesy(sys.stderr))
    try:
        yield
    finally:
        if (sys.stdout, sys.stderr) == ours:
            sys.stdout, sys.stderr = before


class _Output:
    """Standard output that says what it is when it fails, and writes what its encoding has no sign for by number.

    Args:
        stream: What Python has for it; None where it was closed before the program began.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with self._named() as stream:
            encoding = stream.encoding or "utf-8"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            with self._named() as stream:
                stream.flush()

    def fileno(self) -> int:
        if self._stream is None:
            raise io.UnsupportedOperation
        return self._stream.fileno()

    @contextmanager
    def _named(self) -> Iterator[Any]:
        if self._stream is None:
            raise OSError(errno.EBADF, "is closed", "standard output")
        try:
            yield self._stream
        except OSError as error:
            _abandon(self._stream)
            raise OSError(error.errno, error.strerror, "standard output") from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Courtesy:
    """Standard error, where messages and progress are a courtesy that must not end the work: what fails is lost.

    Args:
        stream: What Python has for it; None where it was closed before the program began.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if self._stream is not None:
            try:
                self._stream.write(text)
            except OSError:
                _abandon(self._stream)
        return len(text)

    def flush(self) -> None:
        if self._stream is not None:
            try:
                self._stream.flush()
            except OSError:
                _abandon(self._stream)

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _abandon(stream: Any) -> None:
    """Sends what a stream still holds to nowhere. Python would try to write it once more at its end, and fail."""
    with suppress(OSError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


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


def finite(value: Any) -> Any:
    """A JSON value with null for what JSON cannot write: NaN and infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(one) for one in value]
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
