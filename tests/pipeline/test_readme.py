"""Every command in the README is run, in its order and in one empty folder, as a reader of it would."""

import os
import re
import shlex
import subprocess
import sys
import tomllib

import pytest

from experiments.records.record import ROOT

# What is run in place of a command's words where as written it would take minutes. A command that is not here fails.
SHORTER: dict[str, dict[str, str]] = {
    # the studies and figures are run at toy size by test_figures.py; this suite is what `make test` runs
    "make figures": {"make": "make --dry-run"},
    "make test": {"make": "make --dry-run"},
    "make bench": {"make": "make --dry-run"},  # minutes of timing
    "make notebooks": {"make": "make --dry-run"},  # test_notebooks.py runs them
    "make verify-results": {"make": "make --dry-run"},  # test_verify.py runs it on records of its own
    "make": {},
    "pi-theory claims": {"claims": "claims --help"},  # tests/theory/test_claims.py settles them
    ".venv/bin/pi-theory bounds --head-dim 128 --base 500000": {},
    ".venv/bin/pi-theory extrapolation --head-dim 128 --base 500000 --upto 32768": {},
    ".venv/bin/pi-theory amplification --head-dim 64 --window 512 --factor 4 --method yarn --hmax 10": {"512": "64"},
    ".venv/bin/pi-theory fit --digits 20": {"fit": "fit --window 256"},
    ".venv/bin/pi-model extend smollm2-135m --factor 2 --out smollm2-16k": {},
    ".venv/bin/pi-model perplexity --model smollm2-16k --data books --windows 2048 --samples 1 --max-tokens 4096": {
        "2048": "512",
        "4096": "768",
    },
    ".venv/bin/pi-model passkey --model smollm2-16k --max-context 1024 --positions 4 --trials 2": {
        "1024": "256",
        "4": "2",
        "2": "1",
    },
    ".venv/bin/pi-model finetune tiny_512_pi steps=40 peak_lr=1e-3 --out tiny-pi": {
        "steps=40": "steps=2",
        "peak_lr=1e-3": "peak_lr=1e-3 global_batch=2 micro_batch=2",
    },
    "make paper": {"make": "make --dry-run"},  # test_paper.py builds it from records of its own
    "make docs": {"make": "make --dry-run"},  # test_docs.py builds them
    # SmolLM2's own recipe is run, shorter, by tests/model/test_smollm2.py
    ".venv/bin/pi-model finetune smollm2_16384_pi steps=20 global_batch=2 data=books --out smollm2-pi": {
        "smollm2_16384_pi": "tiny_512_pi",
        "steps=20": "steps=2",
        "global_batch=2": "global_batch=2 micro_batch=2",
    },
    # the benchmarks' data is on the hub; tests/model/test_benchmarks.py runs them on its own
    ".venv/bin/pi-model benchmark --model smollm2-135m --model smollm2-pi/model "
    "--tasks boolq piqa race_m race_h winogrande": {"benchmark": "benchmark --help"},
    ".venv/bin/pi-model summarize --model smollm2-pi/model --data abstracts --context 2048 --max-tokens 128": {
        "2048": "512 --samples 2",
        "128": "8",
    },
    ".venv/bin/pi-model plan --model llama-65b --context 32768 --gpus 128 --gpu h200": {},
    ".venv/bin/pi-model gguf smollm2-16k --out smollm2-16k.gguf": {},
    "python -m experiments NAME --model DIR": {"NAME": "tiny_heads --list", "DIR": "tiny-llama"},
    "python -m experiments --list": {},
    "python -m experiments.gpu --minutes 10": {"10": "10 --dry-run"},
}

_PROGRAMS = ("make", "pi-theory", "pi-model", "python")


def commands() -> list[str]:
    """The commands of the README, in order: every line of its code blocks, and inline code that names a program."""
    found = []
    blocks = re.split(r"^```.*$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    for number, text in enumerate(blocks):
        if number % 2:
            found += [line.split("#")[0].strip() for line in text.splitlines()]
        else:
            inline = (" ".join(code.split()) for code in re.findall(r"`([^`]+)`", text))
            found += [code for code in inline if code.split()[0].rpartition("/")[2] in _PROGRAMS]
    return [command for command in dict.fromkeys(found) if command]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reader")


@pytest.mark.slow
@pytest.mark.shared_cache
@pytest.mark.parametrize("command", commands(), ids=str)
def test_every_command_of_the_readme_runs(command, folder):
    assert command in SHORTER, "say in SHORTER how the suite runs it"
    words = shlex.split(" ".join(SHORTER[command].get(word, word) for word in command.split()))
    program, *arguments = words
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    in_repository = program in ("make", "python")
    if program == "python":
        words = [sys.executable, *arguments]
    elif program != "make":
        module, function = scripts[program.removeprefix(".venv/bin/")].split(":")
        words = [sys.executable, "-c", f"import sys, {module} as m; sys.exit(m.{function}())", *arguments]
    done = subprocess.run(
        words,
        cwd=ROOT if in_repository else folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "Traceback" not in done.stderr


def test_nothing_is_kept_for_commands_the_readme_no_longer_has():
    assert SHORTER.keys() == set(commands())
