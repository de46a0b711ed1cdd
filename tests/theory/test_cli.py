import argparse
import json
import subprocess
import sys

import pytest

from pi_theory.cli import _build_parser, main


def run(capsys, *arguments):
    code = main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


def run_json(capsys, *arguments):
    code, out, _ = run(capsys, *arguments, "--json")
    assert code == 0
    return json.loads(out)


def test_bounds_gives_the_three_constants_and_the_ratios(capsys):
    result = run_json(capsys, "bounds", "--head-dim", "128", "--base", "10000")
    assert result["published_interpolation"] == pytest.approx(128 / 294.73, rel=1e-4)
    assert result["taylor_interpolation"] == pytest.approx(0.49979, abs=1e-5)
    assert result["sharp_interpolation"] == pytest.approx(0.49388, abs=1e-5)
    assert result["published_ratio"] == pytest.approx(589.46, abs=0.01)
    assert result["sharp_ratio"] == pytest.approx(129.6, abs=0.05)
    assert result["amplification"] == pytest.approx(1.1395, abs=1e-4)
    assert result["published_verdict"] == "refuted"
    assert result["witness"]["left"] > result["witness"]["right"]
    assert len(result["ratios"]) == 5


def test_bounds_says_where_the_theorem_holds(capsys):
    result = run_json(capsys, "bounds", "--head-dim", "4096", "--upto", "4")
    assert result["published_verdict"] == "holds"
    assert result["witness"] is None


def test_extrapolation_gives_certified_pairs(capsys):
    real = run_json(capsys, "extrapolation", "--upto", "8192")
    assert real["certified"] is True
    assert real["min_over_d"][0] < real["min_over_d"][1]
    assert real["first_below_d"][0] == pytest.approx(4505.6805, abs=1e-4)
    integers = run_json(capsys, "extrapolation", "--upto", "8192", "--integers")
    assert integers["first_below_d"] == [4861, 4861]
    assert run_json(capsys, "extrapolation", "--upto", "4096")["first_below_d"] is None


def test_amplification_separates_inside_from_beyond(capsys):
    arguments = ("amplification", "--head-dim", "16", "--window", "64", "--factor", "2", "--hmax", "10")
    none = run_json(capsys, *arguments, "--method", "none")
    linear = run_json(capsys, *arguments, "--method", "linear")
    assert none["inside"] <= none["certified_inside"] < 1.2
    assert linear["beyond"] <= linear["certified_beyond"] < 1.2 < none["beyond"]
    one = run_json(capsys, *arguments, "--method", "none", "--position", "100.5")
    assert one["inside"] is None
    assert one["beyond"] > 1


def test_fit_compares_arithmetics_and_certifies_digits(capsys):
    result = run_json(capsys, "fit", "--head-dim", "16", "--window", "64", "--digits", "12")
    assert result["fits"][0]["arithmetic"] == "float32 normal equations"
    lower, upper = result["exact"]["enclosure"]
    assert lower < upper
    assert float(result["exact"]["value"]) == pytest.approx((lower + upper) / 2, rel=1e-11)
    ridge = run_json(capsys, "fit", "--head-dim", "16", "--window", "64", "--ridge", "0.1")
    assert all(row["max_beyond"] <= ridge["ridge_bound"] for row in ridge["fits"][1:])


def test_decimal_bases_are_taken_exactly(capsys):
    assert run_json(capsys, "bounds", "--base", "1.5", "--head-dim", "2")["published_verdict"] == "holds"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("bounds --head-dim 7", "head_dim"),
        ("bounds --head-dim 0", "head_dim"),
        ("bounds --base 1", "base"),
        ("bounds --base nan", "--base"),
        ("bounds --base 1e400", "base"),
        ("bounds --upto 0", "upto"),
        ("extrapolation --upto -5", "upto"),
        ("extrapolation --upto 99999999999999", "interval"),
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
        ("", "COMMAND"),
    ],
)
def test_bad_input_is_one_line_that_names_the_argument_and_exit_2(arguments, named, capsys):
    try:
        code = main(arguments.split())
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert named in err


def test_every_command_shows_help_with_an_example_that_parses(capsys):
    parser = _build_parser()
    choices = next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    assert set(choices) == {"bounds", "extrapolation", "amplification", "fit", "claims"}
    for name, command in choices.items():
        with pytest.raises(SystemExit) as stop:
            main([name, "--help"])
        assert stop.value.code == 0
        start, program, *example = command.epilog.split()
        assert (start, program, example[0]) == ("example:", "pi-theory", name)
        assert command.epilog in " ".join(capsys.readouterr().out.split())
        assert parser.parse_args(example).run


def test_help_imports_nothing_heavy():
    probe = (
        "import sys, pi_theory.cli as c\n"
        "verbs = c._build_parser()._subparsers._group_actions[0].choices\n"
        "for words in ([], *([verb] for verb in verbs)):\n"
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
