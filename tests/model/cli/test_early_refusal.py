import json
import subprocess
import sys

import pytest

from experiments.records.record import ROOT

# What stands for every command's wrong usage: a model, documents, an output or numbers that cannot be. Each with the
# word that its one line names. "full" is a folder with something in it, and "text.txt" a file.
WRONG = {
    "extend nope/x/y --factor 2 --out new": "nope/x/y",
    "extend text.txt --factor 2 --out new": "text.txt",
    "extend tiny-llama --factor 2 --out full": "full",
    "extend tiny-llama --context 100 --out new": "--context",
    "extend tiny-llama --factor 1.0001 --out new": "factor",
    "extend full --factor 2 --out new": "config.json",
    "gguf nope/x/y --out new.gguf": "nope/x/y",
    "gguf tiny-llama --out text.txt": "text.txt",
    "plan": "RECIPE",
    "plan nope": "recipe",
    "plan tiny_512_pi nope=1": "nope",
    "plan --model nope/x/y": "nope/x/y",
    "plan --model tiny-llama --context 8": "context",
    "finetune nope --out new": "recipe",
    "finetune tiny_512_pi --out full": "full",
    "finetune tiny_512_pi nope=1 --out new": "nope",
    "finetune tiny_512_pi model=nope/x/y --out new": "nope/x/y",
    "finetune --model nope/x/y --context 512 --data text.txt --out new": "nope/x/y",
    "finetune --model tiny-llama --context 512 --data nope.txt --out new": "nope.txt",
    "finetune --model tiny-llama --context 100 --data text.txt --out new": "context",
    "finetune --config nope.json --out new": "nope.json",
    "perplexity --model nope/x/y --data text.txt --windows 64": "nope/x/y",
    "perplexity --model tiny-llama --model tiny-llama --data text.txt --windows 64": "same",
    "perplexity --model tiny-llama --data nope.txt --windows 64": "nope.txt",
    "perplexity --model tiny-llama --data text.txt --windows 64 --stride 64": "stride",
    "perplexity --model tiny-llama --data text.txt --windows 64 --out full": "full",
    "passkey --model nope/x/y": "nope/x/y",
    "passkey --model tiny-llama --positions 99 --context 64": "positions",
    "passkey --model tiny-llama --out full": "full",
    "benchmark --model nope/x/y --tasks piqa": "nope/x/y",
    "benchmark --model tiny-llama --tasks nope": "tasks",
    "benchmark --model tiny-llama --tasks piqa --data-dir nope": "data-dir",
    "summarize --model nope/x/y --data abstracts": "nope/x/y",
    "summarize --model tiny-llama --data nope.jsonl": "nope.jsonl",
    "examine nope/x/y": "nope/x/y",
    "examine tiny-llama --data nope.txt": "nope.txt",
}
# No error: what reads and writes a few lines of JSON.
RIGHT = (
    "plan --model tiny-llama --context 512",
    "plan --model smollm2-135m",
    "recipes",
    "extend tiny-llama --factor 4 --method yarn --out tiny-1024",
    "examine tiny-llama --minutes 0",
)

SCRIPT = """
import contextlib, io, json, sys

class Heavy:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "transformers"):
            raise AssertionError(f"{name} is imported")

sys.meta_path.insert(0, Heavy())
from pi_model.cli.main import main

def answer(line):
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        try:
            code = main(line.split())
        except SystemExit as end:
            code = end.code
        except AssertionError as error:
            return [str(error), ""]
    return [code, said.getvalue()]

print(json.dumps({line: answer(line) for line in json.loads(sys.argv[1])}))
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What commands answer in a process that can import neither torch nor transformers."""
    folder = tmp_path_factory.mktemp("here")
    (folder / "full").mkdir()
    (folder / "full" / "something").write_text("")
    (folder / "text.txt").write_text("text")
    command = [sys.executable, "-c", SCRIPT, json.dumps([*WRONG, *RIGHT])]
    done = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    assert sorted(path.name for path in folder.iterdir()) == ["full", "text.txt", "tiny-1024"]
    return json.loads(done.stdout)


@pytest.mark.parametrize("line", WRONG)
def test_wrong_usage_is_told_before_anything_heavy_is_imported(answers, line):
    code, said = answers[line]
    assert code in (1, 2), code
    assert WRONG[line] in said
    assert len(said.strip().splitlines()) == 1


@pytest.mark.parametrize("line", RIGHT)
def test_what_needs_no_weights_imports_nothing_heavy(answers, line):
    assert answers[line][0] == 0, answers[line]
