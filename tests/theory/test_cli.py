"""The pi-theory commands as a user meets them: what they print, and how they end."""

import json
import re
import subprocess
import sys
import time
from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pi_theory.claims import CLAIMS
from pi_theory.cli import claims, main, options, parser
from pi_theory.verdicts import Verdict
from tests.commands import WORDS, commands, ending, refuses, valued

COMMANDS = commands(parser())
VALUED = list(valued(parser()))


def run_json(*arguments):
    ended = ending(main, *arguments, "--json")
    assert ended.code == 0, ended.err
    return json.loads(ended.out, parse_constant=pytest.fail)


def test_bounds_gives_the_three_constants_and_the_ratios():
    result = run_json("bounds", "--head-dim", "128", "--base", "10000")
    assert (result["head_dim"], result["base"]) == (128, 10000)
    assert result["published_interpolation"] == pytest.approx(128 / 294.73, rel=1e-4)
    assert result["taylor_interpolation"] == pytest.approx(0.49979, abs=1e-5)
    assert result["sharp_interpolation"] == pytest.approx(0.49388, abs=1e-5)
    assert result["published_ratio"] == pytest.approx(589.46, abs=0.01)
    assert result["sharp_ratio"] == pytest.approx(129.6, abs=0.05)
    assert result["amplification"] == pytest.approx(1.1395, abs=1e-4)
    assert result["published_verdict"] == "refuted"
    assert result["witness"]["left"] > result["witness"]["right"]
    assert len(result["ratios"]) == 5


def test_bounds_says_where_the_theorem_holds():
    result = run_json("bounds", "--head-dim", "4096", "--upto", "4")
    assert result["published_verdict"] == "holds"
    assert result["witness"] is None


def test_extrapolation_gives_certified_pairs():
    real = run_json("extrapolation", "--upto", "8192")
    assert real["certified"] is True
    assert real["min_over_d"][0] < real["min_over_d"][1]
    assert real["first_below_d"][0] == pytest.approx(4505.6805, abs=1e-4)
    integers = run_json("extrapolation", "--upto", "8192", "--integers")
    assert integers["first_below_d"] == [4861, 4861]
    assert run_json("extrapolation", "--upto", "4096")["first_below_d"] is None


def test_amplification_separates_inside_from_beyond():
    arguments = ("amplification", "--head-dim", "16", "--window", "64", "--factor", "2", "--hmax", "10")
    none = run_json(*arguments, "--method", "none")
    linear = run_json(*arguments, "--method", "linear")
    assert none["inside"] <= none["certified_inside"] < 1.2
    # by (L' - 1)/(L - 1) no distance leaves the window; by L'/L the last one does
    shape, hmax, last = arguments[:5], arguments[-2:], ("--position", "126", "--position", "127")
    whole = run_json(*shape, *hmax, "--factor", "127/63", "--method", "linear", *last)
    assert whole["beyond"] <= whole["certified_beyond"] < 1.2 < linear["beyond"] < none["beyond"]
    one = run_json(*arguments, "--method", "none", "--position", "100.5")
    assert one["inside"] is None
    assert one["beyond"] > 1


def test_fit_compares_arithmetics_and_certifies_digits():
    result = run_json("fit", "--head-dim", "16", "--window", "64", "--digits", "12")
    assert result["fits"][0]["arithmetic"] == "float32 normal equations"
    lower, upper = result["exact"]["enclosure"]
    assert lower < upper
    assert float(result["exact"]["value"]) == pytest.approx((lower + upper) / 2, rel=1e-11)
    ridge = run_json("fit", "--head-dim", "16", "--window", "64", "--ridge", "0.1")
    assert all(row["max_beyond"] <= ridge["ridge_bound"] for row in ridge["fits"][1:])


def test_decimal_bases_are_taken_exactly():
    assert run_json("bounds", "--base", "1.5", "--head-dim", "2")["published_verdict"] == "holds"


SMALL = ["--head-dim", "16", "--window", "64"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["bounds"],
        ["bounds", "--head-dim", "2", "--base", "1e300", "--upto", "1"],
        ["bounds", "--head-dim", "4096", "--upto", "4"],
        ["extrapolation", "--upto", "8192"],
        ["extrapolation", "--upto", "8192", "--integers"],
        ["extrapolation", "--upto", "100"],
        ["amplification", *SMALL],
        ["amplification", *SMALL, "--hmax", "1e9", "--factor", "1.23456789", "--method", "dynamic", "--position", "1"],
        ["fit", *SMALL, "--digits", "200"],
        ["fit", *SMALL, "--ridge", "0.001"],
        ["fit", "--head-dim", "128", "--window", "128"],
    ],
    ids=" ".join,
)
def test_every_answer_fits_a_terminal_of_80_columns(arguments, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ended = ending(main, *arguments)
    assert ended.code == 0, ended.err
    assert [line for line in ended.out.splitlines() if len(line) > 80] == []


def test_the_claims_fit_a_terminal_of_80_columns_and_are_counted(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    rows = [
        {"id": one.id, "says": one.says, "domain": one.domain, "source": one.source}
        | {"verdict": verdict.value, "evidence": one.says, "seconds": 12.345}
        for one, verdict in product(CLAIMS.values(), Verdict)
    ]
    lines = claims.text(rows).splitlines()
    assert [line for line in lines if len(line) > 80] == []
    many = len(CLAIMS)
    assert lines[-1] == f"{many} holds, {many} refuted, {many} undecided"


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_80_columns_and_ends_with_an_example_that_parses(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ended = ending(main, *[command] * bool(command), "--help")
    assert (ended.code, ended.err) == (0, "")
    assert [line for line in ended.out.splitlines() if len(line) > 80] == []
    example = ended.out.partition("\nExample:\n")[2].replace("\\\n", "").split()
    assert example[0] == "pi-theory"
    assert parser().parse_args(example[1:]).command.name == (command or "bounds")


def test_a_bare_command_prints_its_help_and_is_done(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ended = ending(main)
    assert (ended.code, ended.out, ended.err) == (0, parser().format_help(), "")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("bounds --head-dim 7", "head-dim"),
        ("bounds --head-dim 0", "head-dim"),
        ("bounds --base 1", "base"),
        ("bounds --base nan", "--base"),
        ("bounds --base 1e400", "base"),
        ("bounds --base 1e999999999", "base"),
        ("bounds --upto 0", "upto"),
        ("extrapolation --upto -5", "upto"),
        ("extrapolation --upto 99999999999999", "--upto"),
        ("extrapolation --upto 999999999999", "upto"),
        ("bounds --head-dim 9999999999", "--head-dim"),
        ("amplification --factor 1e17", "--factor"),
        ("amplification --position 1e400", "--position"),
        ("amplification --window 100000", "window"),
        ("fit --head-dim 16 --window 64 --digits 999999", "digits"),
        ("fit --window 1000000", "window"),
        ("fit --ridge 1e400", "--ridge"),
        ("fit --ridge 1e5000", "--ridge"),
        ("extrapolation --upto 3.5", "--upto"),
        ("amplification --window 0", "window"),
        ("amplification --window -2", "window"),
        ("amplification --factor 0.5", "factor"),
        ("amplification --hmax 0", "hmax"),
        ("amplification --hmax inf", "--hmax"),
        ("amplification --method cubic", "--method"),
        ("amplification --position 5000", "position"),
        ("amplification --position -1", "position"),
        ("fit --window 10", "window"),
        ("fit --digits 0", "digits"),
        ("fit --digits 99999999999", "digits"),
        ("fit --digits 5 --ridge 1", "digits"),
        ("fit --ridge -1", "ridge"),
        ("fit --seed -1", "seed"),
        ("bounds --unknown 3", "--unknown"),
        ("nonsense", "nonsense"),
        ("--json", "--json"),
    ],
)
def test_bad_input_is_one_line_that_names_the_argument_and_exit_2(arguments, named):
    ended = ending(main, *arguments.split())
    assert ended.is_wrong_usage("pi-theory", named), ended


@given(option=st.sampled_from(VALUED), word=WORDS)
def test_a_word_that_an_options_type_refuses_is_wrong_usage(option, word):
    command, action = option
    assume(refuses(action, word))
    name = action.option_strings[0]
    assert ending(main, command, f"{name}={word}").is_wrong_usage("pi-theory", name)


@pytest.mark.parametrize(("command", "action"), VALUED, ids=lambda value: getattr(value, "dest", value))
@pytest.mark.parametrize("word", ["-1", ""], ids=["negative", "empty"])
def test_no_option_takes_a_negative_or_an_empty_value(command, action, word):
    ended = ending(main, command, f"{action.option_strings[0]}={word}")
    assert ended.is_wrong_usage("pi-theory", action.option_strings[0].removeprefix("--"))


@given(name=st.text().filter(lambda name: name not in COMMANDS and not name.startswith("-")))
def test_an_unknown_command_is_wrong_usage_whatever_it_is_called(name):
    assert ending(main, name).is_wrong_usage("pi-theory", "COMMAND")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("bounds | true", 141, ""),
        ("bounds --json > /dev/full", 1, "No space left on device"),
        ("--help >&-", 1, "is closed"),
        ("bounds 2>/dev/full", 0, ""),
    ],
)
def test_a_shell_learns_whether_the_output_has_arrived(words, code, said):
    command = f"{sys.executable} -m pi_theory.cli {words}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (code, bool(said))
    assert said in done.stderr


GOOD = st.sampled_from(["2", "4", "8", "16", "32", "64"])  # for every option
ANY = st.one_of(
    st.integers(-3, 300).map(str),
    st.floats(0, 10, allow_nan=False).map(repr),
    st.integers(0, 40).map(lambda power: str(2**power)),
    st.sampled_from(["1e5000", "1e400", "1e308", "1e-320", "1/3", "1.0000001", "1" + "0" * 4000, "nan", "-0", "7/0"]),
)


@settings(max_examples=500, deadline=None)
@given(data=st.data())
def test_any_numbers_end_in_an_answer_or_in_one_line_that_names_what_is_wrong(data):
    """Whatever is expected to take longer than a moment is refused here, as more than an hour is elsewhere."""
    command = data.draw(st.sampled_from(["bounds", "extrapolation", "amplification", "fit", "reach", "resolution"]))
    words = [command, "--json"]
    for name, action in VALUED:
        if name == command and data.draw(st.booleans()):
            values = (
                st.sampled_from(action.choices) if action.choices else data.draw(st.sampled_from([GOOD, GOOD, ANY]))
            )
            words.append(f"{action.option_strings[0]}={data.draw(values)}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(options, "LONGEST", 0.05)
        start = time.perf_counter()
        ended = ending(main, *words)
    assert time.perf_counter() - start < 10
    if ended.code == 0:
        json.loads(ended.out, parse_constant=pytest.fail)
    else:
        assert ended.err.startswith("pi-theory: error: ")
        assert ended.err.count("\n") == 1
    if ended.code == 2:
        named = ended.err.removeprefix("pi-theory: error: ").replace("argument ", "", 1)
        assert re.match(r"(--)?(head[-_]dim|base|upto|window|factor|hmax|position|method|seed|ridge|digits)\b", named)


def test_help_imports_nothing_heavy():
    probe = (
        "import sys, pi_theory.cli as c\n"
        "for words in ([], *([one.name] for one in c.COMMANDS)):\n"
        "    try: c.main([*words, '--help'])\n"
        "    except SystemExit: pass\n"
        "sys.exit(bool({'numpy', 'scipy', 'sympy', 'flint', 'tqdm'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True).returncode == 0


def test_importing_the_package_imports_neither_torch_nor_sympy():
    script = (
        "import sys, pi_theory, pi_theory.cli; print(sorted({'torch', 'sympy', 'scipy', 'flint'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
