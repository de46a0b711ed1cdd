"""What both commands share, on a program of one command."""

import argparse
import contextlib
import io
import json
import math
import os
import shlex
import sys
import textwrap
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_theory import console
from pi_theory.console import Command, number, path, whole, word, wrap
from tests.commands import commands, ending


def nothing(arguments):
    """What a command does that is never reached, or need not do anything."""


def program(does=nothing, **settings):
    """A program whose only command does what it is told."""
    command = Command("do", "Does it.", "toy do it", lambda parser: None, does, **settings)
    return console.program_parser("toy", "A toy.", "toy do", [command])


def ends(does, *, words=("do",), failures=(ArithmeticError, OSError), **settings):
    parser = program(does, **settings)
    return ending(
        lambda argv: console.run_command(parser, parser.parse_args(argv), wrong_usage=ValueError, failures=failures),
        *words,
    )


def raising(error):
    def does(arguments):
        raise error

    return does


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("base: must be above 1"), 2, "toy: error: base: must be above 1"),
        (ArithmeticError("undecided"), 1, "toy: error: undecided"),
        (OSError("no such thing"), 1, "toy: error: no such thing"),
        (OSError(28, "Full", "a/b"), 1, "toy: error: a/b: Full; free space there, then give the same command again"),
        (OSError(5, "Gone", b"a", None, "b"), 1, f"toy: error: a: Gone; {console._ABSENT}"),
        (MemoryError(), 1, "toy: error: out of memory: use less"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), 1, "toy: error: out of memory: use less"),
        (ValueError("over\n two   lines"), 2, "toy: error: over two lines"),
        (KeyboardInterrupt(), 130, "toy: error: interrupted"),
    ],
)
def test_each_way_to_end_has_its_exit_code_and_one_line(error, code, line):
    ended = ends(raising(error), less_memory="use less")
    assert (ended.code, ended.out, ended.err) == (code, "", line + "\n")


def closed():
    return None


def full():
    return open("/dev/full", "w")


def unread():
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "w")


def shows(arguments, arrived):
    console.show(arguments, {"text": "x" * 10**5}, "y" * 10**5, arrived=arrived)


def prints(arguments, arrived):
    print("x" * 10**5)


def prints_little(arguments, arrived):
    print("x")


LINES = {closed: "toy: error: standard output: is closed; redirect it to a file, or leave it open\n", unread: ""}
FULL = "toy: error: standard output: No space left on device; free space there, then give the same command again\n"


@pytest.mark.parametrize("words", [["do"], ["do", "--json"]], ids=["text", "json"])
@pytest.mark.parametrize("does", [shows, prints, prints_little])
@pytest.mark.parametrize("output", [closed, full, unread])
def test_output_that_does_not_arrive_is_no_success_and_removes_nothing(output, does, words, monkeypatch):
    removed = []
    parser = program(lambda arguments: does(arguments, lambda: removed.append("progress")))
    stream = output()
    with contextlib.redirect_stderr(io.StringIO()) as said, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        code = console.run_command(parser, parser.parse_args(words), wrong_usage=ValueError, failures=())
        assert sys.stdout is stream
    if stream is not None:
        stream.close()  # What was not written is not tried again.
    assert (code, said.getvalue()) == (141 if output is unread else 1, LINES.get(output, FULL))
    assert not removed


def test_progress_is_removed_when_the_answer_is_in_its_file(tmp_path, monkeypatch):
    found = []
    with (tmp_path / "out").open("w") as file, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", file)
        parser = program(lambda arguments: shows(arguments, lambda: found.append((tmp_path / "out").stat().st_size)))
        assert console.run_command(parser, parser.parse_args(["do"]), wrong_usage=ValueError, failures=()) == 0
    assert found == [10**5 + 1]


@pytest.mark.parametrize("stream", [closed, full, unread])
def test_messages_that_cannot_be_written_do_not_end_the_work(stream, monkeypatch):
    def warns(arguments):
        print("progress " * 10**4, file=sys.stderr, flush=True)
        console.warn("toy", "careful")
        print(sys.stderr.isatty())

    with contextlib.redirect_stdout(io.StringIO()) as out, monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", file := stream())
        parser = program(warns)
        assert console.run_command(parser, parser.parse_args(["do"]), wrong_usage=ValueError, failures=()) == 0
    if file is not None:
        file.close()
    assert out.getvalue() == "False\n"


@given(text=st.text(st.characters(exclude_categories=[])), encoding=st.sampled_from(["ascii", "latin-1", "utf-8"]))
def test_any_text_can_be_shown_on_any_terminal(text, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding, newline="")
    with contextlib.redirect_stdout(stream):
        parser = program(lambda arguments: console.show(arguments, {}, text))
        assert console.run_command(parser, parser.parse_args(["do"]), wrong_usage=ValueError, failures=()) == 0
    assert stream.buffer.getvalue() == f"{text}\n".encode(encoding, "backslashreplace")


def test_a_command_that_resumes_says_so_when_interrupted():
    ended = ends(raising(KeyboardInterrupt()), resumes=True)
    assert ended.err == "toy: error: interrupted; the same command line continues where this one stopped\n"


@pytest.mark.parametrize("error", [RuntimeError("a fault of ours"), KeyError("x"), TypeError("x")])
def test_a_fault_of_ours_is_raised_with_its_traceback(error):
    with pytest.raises(type(error)):
        ends(raising(error))


def test_a_program_without_a_command_prints_its_help_and_is_done():
    ended = ends(nothing, words=())
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == program().format_help()


def test_every_error_of_the_parser_begins_with_the_programs_name():
    assert ends(nothing, words=("do", "--what")).is_wrong_usage("toy", "--what")
    assert ends(nothing, words=("what",)).is_wrong_usage("toy", "COMMAND")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def nulled(value):
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: nulled(one) for key, one in value.items()}
    return [nulled(one) for one in value] if isinstance(value, list) else value


@given(answer=st.dictionaries(st.text(), JSON))
def test_json_answers_are_valid_json_with_null_for_what_is_not_finite(answer):
    ended = ends(lambda arguments: console.show(arguments, answer, "text"), words=("do", "--json"))
    assert json.loads(ended.out, parse_constant=pytest.fail) == nulled(answer)


def test_answers_are_text_unless_json_is_asked_for():
    assert ends(lambda arguments: console.show(arguments, {}, "text")).out == "text\n"


@given(
    words=st.lists(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1, max_size=60)),
    columns=st.integers(20, 200),
    indent=st.integers(0, 10),
)
def test_wrapped_text_keeps_its_words_and_fits_the_terminal(words, columns, indent):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        lines = wrap(" ".join(words), " " * indent).splitlines()
    assert all(len(line) <= columns for line in lines)
    assert "".join("".join(lines).split()) == "".join(words)


def test_a_formula_is_not_broken_where_it_fits_a_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    assert wrap("the base has to be c = 10000, no less").splitlines() == ["the base has to be", "c = 10000, no less"]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_an_example_in_the_help_is_what_a_shell_joins_again(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    example = "toy do --one 1 --two 2 --three 3 --four 4 --five 5 --six 6 --seven 7 --eight 8 --nine 9"
    parser = console.program_parser("toy", "A toy.", example, [])
    shown = textwrap.dedent(parser.format_help().partition("Example:\n")[2])
    assert all(len(line) <= columns for line in shown.splitlines())
    assert shlex.split(shown.replace("\\\n", "")) == example.split()


def test_a_commands_own_help_says_its_summary_details_and_example():
    own = commands(program(details="More of it."))["do"]
    assert "Does it.\n\nMore of it.\n" in own.format_help()
    assert own.format_help().endswith("Example:\n  toy do it\n")


def test_help_names_each_default_once():
    parser = console.Parser(prog="toy")
    parser.add_argument("--count", type=whole(1), default=3, help="How many.")
    parser.add_argument("--zero", type=whole(0), default=0, help="Where from.")
    parser.add_argument("--all", action="store_true", help="All of them.")
    parser.add_argument("--name", help="What it is called. Default: nothing.")
    text = " ".join(parser.format_help().split())
    for says in ("How many. Default: 3.", "Where from. Default: 0.", "All of them. --name", "Default: nothing."):
        assert says in text


@given(value=st.integers(), least=st.integers())
def test_a_whole_number_is_taken_from_its_least_value_on(value, least):
    if value >= least:
        assert whole(least)(str(value)) == value
    else:
        with pytest.raises(argparse.ArgumentTypeError, match=f"must be at least {least}, got {value}"):
            whole(least)(str(value))


@given(value=st.floats() | st.fractions().map(float), low=st.floats(-10, 10), high=st.floats(-10, 10))
def test_a_number_is_taken_when_it_is_finite_and_within_its_bounds(value, low, high):
    for kind, inside in [
        (number(), True),
        (number(at_least=low, at_most=high), low <= value <= high),
        (number(above=low, at_most=high), low < value <= high),
    ]:
        if math.isfinite(value) and inside:
            assert kind(repr(value)) == value
        else:
            with pytest.raises(argparse.ArgumentTypeError, match="must be"):
                kind(repr(value))


@pytest.mark.parametrize("kind", [word, path, whole(0), number()])
@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_no_type_takes_an_empty_word(kind, text):
    with pytest.raises(argparse.ArgumentTypeError, match="must"):
        kind(text)


@given(value=st.fractions(max_denominator=1000))
def test_exact_numbers_are_those_that_were_written(value):
    from pi_theory.cli.options import exact_number

    assert exact_number(str(value)) == value
    assert exact_number("0.1") == Fraction(1, 10)
