"""The commands `reach` and `resolution`: what they print; tests/theory/test_cli.py holds what all commands share."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_theory.cli import main
from pi_theory.reach import reach
from pi_theory.resolution import resolution
from pi_theory.scaling import METHODS, scaling_by_name
from tests.commands import ending

COMMANDS = ("reach", "resolution")
configs = st.tuples(
    st.integers(1, 96).map(lambda half: 2 * half), st.floats(1.01, 1e9), st.integers(1, 10**9), st.floats(1, 1e6)
)


def answer(command, head_dim, base, window, factor):
    options = {"head-dim": head_dim, "base": base, "window": window, "factor": factor}
    ended = ending(main, command, *(f"--{name}={value!r}" for name, value in options.items()), "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out, parse_constant=pytest.fail)


@settings(max_examples=12)
@given(configs)
def test_reach_gives_every_method_what_the_library_gives(config):
    head_dim, base, window, factor = config
    found = answer("reach", *config)
    assert list(found["reach_tokens"]) == list(METHODS)
    for method, tokens in found["reach_tokens"].items():
        ours = reach(scaling_by_name(method, factor), head_dim=head_dim, base=base, window=window).tokens
        assert (tokens is None) == (ours is None)
        assert tokens is None or abs(tokens - ours) <= 1 + 1e-11 * tokens


@settings(max_examples=12)
@given(configs)
def test_resolution_gives_every_method_what_the_library_gives(config):
    head_dim, base, window, factor = config
    found = answer("resolution", *config)
    assert list(found["resolution"]) == list(METHODS)
    for method, ratios in found["resolution"].items():
        ours = resolution(scaling_by_name(method, factor), head_dim=head_dim, base=base, window=window)
        assert ratios == vars(ours)


@settings(max_examples=12)
@given(st.sampled_from(COMMANDS), configs)
def test_every_answer_fits_80_columns_whatever_was_asked(command, config):
    head_dim, base, window, factor = config
    options = [f"--head-dim={head_dim}", f"--base={base!r}", f"--window={window}", f"--factor={factor!r}"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        ended = ending(main, command, *options)
    assert ended.code == 0, ended.err
    assert [line for line in ended.out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("--head-dim 7", "head-dim"),
        ("--head-dim 65538", "head-dim"),
        ("--base 1", "base"),
        ("--base 1e400", "base"),
        ("--window 0", "window"),
        ("--window 1073741825", "window"),
        ("--factor 0.99", "factor"),
        ("--factor 1000001", "factor"),
        ("--factor nan", "--factor"),
        ("--method linear", "--method"),
    ],
)
def test_bad_input_is_one_line_that_names_the_argument_and_exit_2(command, arguments, named):
    ended = ending(main, command, *arguments.split())
    assert ended.is_wrong_usage("pi-theory", named), ended


def test_the_largest_sizes_are_answered_in_seconds():
    largest = (65_536, 1e12, 10**9, 10**6)
    assert answer("reach", *largest)["reach_tokens"]["linear"] == 1 + 10**6 * (10**9 - 1)
    assert answer("resolution", *largest)["resolution"]["none"]["flat"] == 1
