import argparse
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.records.record import ROOT

# Whatever reads a command line besides pi-theory and pi-model, which test_cli.py and test_commands.py hold.
PROGRAMS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("experiments", "figures", "paper")
    for path in (ROOT / package).rglob("*.py")
    if "ArgumentParser(" in path.read_text()
}


class Parsed(Exception):
    """What a program's arguments were; nothing of it has run."""


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_every_program_shows_help_with_examples_that_parse(program, monkeypatch, capsys):
    main = importlib.import_module(program).main
    monkeypatch.setattr(sys, "argv", [program, "--help"])
    monkeypatch.setenv("COLUMNS", "500")  # every example on one line
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    help = capsys.readouterr().out
    name = re.match(r"usage: python -m (\S+)", help)[1]
    assert importlib.util.find_spec(name)
    examples = re.findall(r"^(?:example:| ) *(python -m .*)", help, re.MULTILINE)
    assert examples

    parse = argparse.ArgumentParser.parse_args

    def parse_only(parser, *arguments):
        raise Parsed(parse(parser, *arguments))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
    for example in examples:
        words = shlex.split(example, comments=True)
        assert words[:3] == ["python", "-m", name]
        monkeypatch.setattr(sys, "argv", words[2:])
        with pytest.raises(Parsed):
            main()


def test_the_reference_has_every_module_and_says_what_it_does(tmp_path):
    quick = ("--no-show-source", "--no-search")
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error::UserWarning",
            "-m",
            "pdoc",
            "-d",
            "google",
            *quick,
            "-o",
            str(tmp_path),
            "pi_theory",
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    paths = [path for path in (ROOT / "pi_theory").rglob("*.py") if path.name != "__main__.py"]
    modules = {path.relative_to(ROOT).with_suffix("") for path in paths}
    pages = {path.relative_to(tmp_path).with_suffix("") for path in tmp_path.rglob("*.html")} - {Path("index")}
    assert pages == {module.parent if module.name == "__init__" else module for module in modules}
    page = (tmp_path / "pi_theory" / "amplification.html").read_text()
    assert "Stability theorem" in page
    assert "raises" in page.lower()
