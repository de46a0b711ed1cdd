"""CONTRIBUTING.md, followed to the letter in a copy of the sources."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from experiments.records.record import ROOT

RECIPES = re.split(r"^## Recipe: ", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)[1:]


def blocks(recipe):
    """Its diffs and its commands."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", recipe, re.DOTALL | re.MULTILINE)
    commands = [line for kind, text in found if kind == "sh" for line in text.splitlines()]
    return [text for kind, text in found if kind == "diff"], commands


def apply(diff, folder):
    """A diff whose hunks say what to change and not in which line."""
    for change in re.split(r"^--- ", diff, flags=re.MULTILINE)[1:]:
        old_name, new_name, *hunks = re.split(r"^(?:\+\+\+ |@@\n)", change, flags=re.MULTILINE)
        path = folder / new_name.strip().removeprefix("b/")
        if old_name.strip() == "/dev/null":
            path.write_text("")
        for hunk in hunks:
            lines = hunk.splitlines()
            old = "".join(line[1:] + "\n" for line in lines if not line.startswith("+"))
            new = "".join(line[1:] + "\n" for line in lines if not line.startswith("-"))
            text = path.read_text()
            assert text.count(old) == 1 or text == old == "", f"{path.name}: not found once:\n{old}"
            path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.splitlines()[0])
def test_a_recipe_works_as_it_is_written(recipe, tmp_path):
    for part in ("pi_theory", "experiments", "tests"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__", "results"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    diffs, commands = blocks(recipe)
    for diff in diffs:
        apply(diff, tmp_path)
    for command in commands:
        arguments = [sys.executable if word == ".venv/bin/python" else word for word in shlex.split(command)]
        done = subprocess.run(
            arguments, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)}
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Verdict.UNDECIDED" not in done.stdout
