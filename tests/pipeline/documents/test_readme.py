"""The README and the pages beside it, followed as a reader would: every command and every line of Python is run.

Each document is followed from its first line to its last in one empty folder, by small models where as written it would
take minutes.
"""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from experiments.records.record import ROOT

DOCUMENTS = ("README.md", "docs/guide.md", "docs/cluster.md", "docs/records.md")
# `make figures` writes these pages; figures/ has its own tests of them.
WRITTEN_FROM_RECORDS = {"docs/claims.md", "docs/experiments.md", "docs/plans.md", "docs/speed.md"}
PROGRAMS = ("make", "pi-theory", "pi-model", "python")

# What is run in place of a command's words where as written it would take minutes. A command that is not here fails.
NOTHING_IS_MADE = {"make": "make --dry-run"}  # the suite itself runs what these verbs run
# The tiny LLaMA has a window of 256 tokens where SmolLM2 has 8192.
TINY = {"smollm2-135m": "tiny-llama", "2048": "64", "4096": "128", "8192": "256", "16384": "512", "32768": "1024"}
TINY_PROMPTS = {"4096": "256", "4": "2"}
TINY_RUN = {
    "smollm2_16384_pi": "tiny_512_pi",
    "smollm2_32768_pi": "tiny_1024_pi",
    "sequence_tokens=4096": "sequence_tokens=256 micro_batch=1",
    "steps=20": "steps=2",
}
ON_A_BOOK = "--data books --windows 2048 8192 16384 --truncate --min-tokens 16384 --samples 1"
ON_TWO_BOOKS = ON_A_BOOK.replace("--samples 1", "--samples 2")
SHORTER: dict[str, dict[str, str]] = {
    "make": {},
    "make figures": NOTHING_IS_MADE,
    "make test": NOTHING_IS_MADE,
    "make .venv/installed-dev": NOTHING_IS_MADE,
    "make paper": NOTHING_IS_MADE,
    "make docs": NOTHING_IS_MADE,
    "make notebooks": NOTHING_IS_MADE,
    "make experiments": NOTHING_IS_MADE,
    "make verify-results": NOTHING_IS_MADE,
    "make bench BENCH_ARGS=--keep": NOTHING_IS_MADE,
    ".venv/bin/pi-theory bounds --head-dim 128 --base 500000": {},
    ".venv/bin/pi-theory extrapolation --head-dim 128 --base 500000 --upto 32768": {},
    ".venv/bin/pi-theory amplification --head-dim 64 --window 512 --factor 4 --method yarn --hmax 10": {"512": "64"},
    ".venv/bin/pi-theory fit --digits 20": {"fit": "fit --head-dim 32 --window 64"},
    ".venv/bin/pi-theory claims": {"claims": "claims --help"},  # tests/theory/test_claims.py settles them
    ".venv/bin/pi-model examine tiny-llama --context 1024 --minutes 1": {"--minutes 1": "--minutes 0.01"},
    ".venv/bin/pi-model examine smollm2-135m --context 16384 --minutes 10 --out examined": TINY | {"10": "0.01"},
    ".venv/bin/pi-model examine smollm2-135m tuned/model --context 16384 --minutes 10 --out compared": TINY
    | {"10": "0.01"},
    f".venv/bin/pi-model perplexity --model smollm2-135m {ON_A_BOOK}": TINY,
    f".venv/bin/pi-model perplexity --model smollm2-135m --model smollm2-pi --model smollm2-yarn {ON_TWO_BOOKS} "
    "--out extended": TINY,
    f".venv/bin/pi-model perplexity --model smollm2-pi --model tuned/model {ON_TWO_BOOKS}": TINY,
    ".venv/bin/pi-model perplexity --model smollm2-16k "
    "--data books --windows 2048 8192 --truncate --min-tokens 16384 --samples 1": TINY,
    ".venv/bin/pi-model extend smollm2-135m --factor 2 --method linear --out smollm2-16k": TINY,
    ".venv/bin/pi-model extend smollm2-135m --context 32768 --method linear --out smollm2-pi": TINY,
    ".venv/bin/pi-model extend smollm2-135m --factor 4 --method yarn --out smollm2-yarn": TINY,
    ".venv/bin/pi-model passkey --model smollm2-yarn --context 4096 --positions 4 --trials 2": TINY | {"4096": "256"},
    ".venv/bin/pi-model passkey --model smollm2-pi --model tuned/model --context 4096 --positions 4 --trials 2 "
    "--out passkeys.png": TINY | {"4096": "256"},
    ".venv/bin/pi-model finetune --model smollm2-135m --context 16384 --data my.jsonl sequence_tokens=4096 "
    "global_batch=1 steps=20 peak_lr=1e-4 --no-evaluation --out tuned": TINY_RUN
    | {"--model smollm2-135m": "--model tiny-llama", "--context 16384": "--context 512"},
    ".venv/bin/pi-model finetune --model smollm2-135m --context 32768 --data my.jsonl sequence_tokens=4096 "
    "global_batch=1 steps=20 peak_lr=1e-4 activation_checkpointing=selective --out tuned": TINY_RUN
    | {"smollm2-135m": "tiny-llama", "32768": "1024", "finetune": "finetune --no-evaluation"},
    ".venv/bin/pi-model recipes smollm2_32768_pi": {},
    "pi-model recipes": {},
    ".venv/bin/pi-model finetune smollm2_32768_pi model=my-llama window_tokens=4096 factor=8 data=my.jsonl steps=200 "
    "--out my-tuned": {
        "model=my-llama": "model=tiny-llama",
        "window_tokens=4096": "window_tokens=256",
        "factor=8": "factor=2",
        "steps=200": "steps=1 global_batch=2",
    },
    # the benchmarks' data is on the hub; tests/model/evaluation/test_benchmarks.py runs them on its own
    ".venv/bin/pi-model benchmark --model smollm2-135m --model tuned/model "
    "--tasks boolq piqa race_m race_h winogrande": {"benchmark": "benchmark --help"},
    ".venv/bin/pi-model summarize --model tuned/model --data abstracts --context 2048 --max-tokens 128 --samples 4": {
        "2048": "512",
        "128": "8",
        "4": "2",
    },
    ".venv/bin/pi-model plan --model llama-7b --context 32768 --gpu h100": {},
    ".venv/bin/pi-model plan --model llama-70b --context 32768 --gpus 8 --gpu h100 --price 3": {},
    ".venv/bin/pi-model plan --model llama-70b --context 32768 --gpus 8 --gpu h100 lora.rank=16 context_parallel=2": {},
    ".venv/bin/pi-model plan llama_7b_8192_pi --gpus 8 --script torchrun": {},
    ".venv/bin/pi-model prepare llama_65b_8192_pi": {"llama_65b_8192_pi": "tiny_512_pi"},
    ".venv/bin/pi-model plan llama_65b_8192_pi --gpus 128 --gpu h100": {},
    ".venv/bin/pi-model plan llama_65b_8192_pi --gpus 128 --gpu h100 --verify": {
        "llama_65b_8192_pi": "tiny_512_pi",
        "128": "2",
    },
    ".venv/bin/pi-model plan llama_65b_8192_pi --gpus 128 --gpu h100 --script slurm": {},
    ".venv/bin/pi-model plan llama_65b_8192_pi --gpus 128 --gpu h100 --script torchrun": {},
    ".venv/bin/pi-model gguf tuned/model --out smollm2-16k.gguf": {},
    ".venv/bin/pi-model gguf tuned/model --out smollm2-32k.gguf": {},
    "python -m experiments tiny_heads --model my-llama --figures": {
        "my-llama": "tiny-llama",
        "--figures": "--list",
    },
    "python -m experiments tiny_heads": {"tiny_heads": "tiny_heads --list"},
    "python -m experiments tiny_jump": {"tiny_jump": "tiny_jump --list"},
    "python -m experiments tiny_jump --keep": {"--keep": "--list"},
    "python -m experiments smollm2_jump": {"smollm2_jump": "smollm2_jump --list"},
    "python -m experiments --list": {},
    "python -m experiments.records.widen tiny_tables": {"tiny_tables": "--help"},
    "python -m experiments tiny_tables": {"tiny_tables": "tiny_tables --list"},
    "python -m experiments.records.carry tiny_sweep --since COMMIT": {"COMMIT": "HEAD --help"},
    "python -m experiments.records.adopt FILE.json": {"FILE.json": "--help"},
    "python -m experiments.verify --hashes-only": {
        "--hashes-only": "--help"
    },  # test_verify.py runs it on its own records
    "python -m experiments.gpu": {"experiments.gpu": "experiments.gpu --help"},
}


@dataclass(frozen=True)
class Step:
    """One thing a document tells its reader to run.

    Attributes:
        language: "sh" or "python".
        text: a command, or a script.
        shows: what the document says that a script prints; empty where it does not say.
    """

    document: str
    language: str
    text: str
    shows: str = ""


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, content) of the code blocks and, with the language "", of the inline code, in their order."""
    found = re.findall(r"^```(\w+)\n(.*?)^```$|`([^`\n]+(?:\n[^`\n]+)*)`", text, re.DOTALL | re.MULTILINE)
    return [(language, block or inline) for language, block, inline in found]


def steps(document: str) -> list[Step]:
    """All steps of a document; of a command it tells twice, the first."""
    found: dict[str, Step] = {}
    parts = blocks((ROOT / document).read_text())
    for number, (language, content) in enumerate(parts):
        if language == "python":
            after = parts[number + 1] if number + 1 < len(parts) else ("", "")
            found[content] = Step(document, "python", content, after[1] if after[0] == "text" else "")
        elif language == "sh":
            for command in filter(None, (line.split("#")[0].strip() for line in content.splitlines())):
                found.setdefault(command, Step(document, "sh", command))
        elif not language and content.split()[0].rpartition("/")[2] in PROGRAMS:
            command = " ".join(content.split())
            found.setdefault(command, Step(document, "sh", command))
    return list(found.values())


STEPS = [step for document in DOCUMENTS for step in steps(document)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """An empty folder for each document, with the files that the guide tells its reader to write."""
    written = dict(blocks((ROOT / "docs/guide.md").read_text()))
    folders = {document: tmp_path_factory.mktemp("reader") for document in DOCUMENTS}
    for folder in folders.values():
        (folder / "my.jsonl").write_text(written["jsonl"] * 40)  # as many windows as a tiny run reads
    return folders


def program(words: list[str]) -> tuple[ModuleType, str]:
    """The module of a program of ours, and the function in it that runs the program."""
    if words[0] == "python":
        spec = importlib.util.find_spec(words[2])
        assert spec, words[2]
        return importlib.import_module(f"{words[2]}.__main__" if spec.submodule_search_locations else words[2]), "main"
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, function = scripts[words[0].removeprefix(".venv/bin/")].split(":")
    return importlib.import_module(module), function


def run_in_process(words: list[str], monkeypatch) -> int:
    """The exit code of a program of ours, without the seconds that a new process takes to import torch."""
    module, function = program(words)
    monkeypatch.setattr(sys, "argv", words[2:] if words[0] == "python" else words)
    try:
        return int(getattr(module, function)() or 0)
    except SystemExit as end:  # --help
        return int(end.code or 0)


def same_up_to_rounding(printed: str, shown: str) -> bool:
    """The same words, and numbers that differ by no more than processors do."""
    words, expected = printed.split(), shown.split()
    close = (
        word == other or float(word) == pytest.approx(float(other), rel=2e-3)
        for word, other in zip(words, expected, strict=False)
    )
    return len(words) == len(expected) and all(close)


@pytest.mark.slow
@pytest.mark.shared_cache
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step.document}: {step.text.splitlines()[0]}")
def test_every_command_and_script_of_the_documents_runs(step, folders, monkeypatch, capsys):
    folder = folders[step.document]
    if step.language == "python":
        words = [sys.executable, "-c", step.text]
    else:
        assert step.text in SHORTER, "say in SHORTER how the suite runs it"
        shorter = SHORTER[step.text]
        words = shlex.split(" ".join(shorter.get(word, word) for word in step.text.split()))
        if words[0] != "make":
            monkeypatch.chdir(folder)
            assert run_in_process(words, monkeypatch) == 0, capsys.readouterr().err
            assert capsys.readouterr().out
            return
    done = subprocess.run(
        words,
        cwd=ROOT if step.language == "sh" else folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert "Traceback" not in done.stderr
    if step.shows:
        assert same_up_to_rounding(done.stdout, step.shows), done.stdout


def test_nothing_is_kept_for_commands_that_no_document_has():
    assert SHORTER.keys() == {step.text for step in STEPS if step.language == "sh"}


def anchors(text: str) -> set[str]:
    """What the headings of a page are called in a link, as GitHub forms it."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", [*DOCUMENTS, "CONTRIBUTING.md", "LOG.md"])
def test_every_link_leads_somewhere(document):
    text = (ROOT / document).read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        page = (ROOT / document).parent / path if path else ROOT / document
        assert page.exists() or page.resolve().relative_to(ROOT).as_posix() in WRITTEN_FROM_RECORDS, target
        assert not anchor or anchor in anchors(page.read_text()), target


def test_every_path_in_the_tree_of_contributing_exists():
    (tree,) = (content for language, content in blocks((ROOT / "CONTRIBUTING.md").read_text()) if language == "text")
    top = ""
    for line in tree.splitlines():
        path = line.split()[0]
        top = top if line.startswith(" ") else path
        assert (ROOT / top / path if line.startswith(" ") else ROOT / path).exists(), path


def test_the_readme_cites_the_version_that_is_installed():
    citation = (ROOT / "CITATION.cff").read_text()
    title, version = (re.search(rf'^{key}: "?([^"\n]+)', citation, re.MULTILINE)[1] for key in ("title", "version"))
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == version
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"*{title}*, version {version}" in readme


def test_the_readme_fits_on_120_lines_and_has_no_generated_table():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 120
    assert "<!--" not in text


def test_the_readme_shows_python_with_its_output():
    (script,) = (step for step in steps("README.md") if step.language == "python")
    assert len(script.text.splitlines()) <= 8
    assert script.shows
