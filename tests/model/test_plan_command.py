"""The command pi-model plan: its report, its table, its scripts and its messages."""

import json
import os
import subprocess
from typing import Any

import pytest

from pi_model import planning
from pi_model.cli import main as cli
from pi_model.planning import Shape, advise, architecture, script
from pi_model.planning.formulas import formulas
from pi_model.planning.sheet import PARTS
from pi_model.training.overrides import override
from pi_model.training.recipes import recipe
from tests.commands import ending
from tests.model.plans import A100


def told(capsys: pytest.CaptureFixture, *words: str) -> dict[str, Any]:
    assert cli.main(["plan", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_plan_says_what_it_plans_beside_what_the_paper_used(capsys):
    report = told(capsys, "--model", "llama-65b", "--context", "32768", "--gpus", "128", "--gpu", "h200")
    assert (report["recipe"], report["context_tokens"], report["gpus"]) == ("llama_65b_32768_pi", 32768, 128)
    assert (report["fits"], report["micro_batch"], report["accumulation"]) == (True, 1, 1)
    assert report["paper"] == []  # the paper extends 65B to 8192 only
    beside = told(capsys, "llama_33b_8192_pi", "--gpus", "8", "--gpu", "h200")["paper"]
    assert [(one["gpus"], one["gpu"]) for one in beside] == [(32, "a100-40"), (32, "a100-80")]
    # The comparison is the plan that the command makes for the paper's GPUs.
    here = told(capsys, "llama_33b_8192_pi", "--gpus", "32", "--gpu", "a100-80")["quantities"]
    assert [beside[1][name] for name in ("peak", "room")] == [here[name]["value"] for name in ("peak", "room")]


def test_the_command_assumes_what_the_sheet_assumes():
    asked = cli.parse(cli.parser(), ["plan", "llama_7b_8192_pi"])
    assert (asked.utilisation, asked.usable) == (None, planning.USABLE)
    told_so = f"{planning.UTILISATION_COMPILED:g} compiled, else {planning.UTILISATION:g}"
    assert told_so in " ".join(ending(cli.main, "plan", "--help").out.split())


def told_in_one_line(capsys: pytest.CaptureFixture, *words: str) -> str:
    assert cli.main(["plan", *words]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_layers_are_compiled_by_advice_and_it_is_told_what_that_spares(capsys):
    words = ("llama_7b_8192_pi", "--gpus", "8")
    compiled, plain = told(capsys, *words), told(capsys, *words, "compile=false")
    [advice] = compiled["advice"]
    assert (compiled["compile"], plain["compile"], plain["advice"]) == (True, False, [])
    assert told(capsys, *words, *advice["settings"])["quantities"] == compiled["quantities"]
    assert advice["peak"] == compiled["quantities"]["peak"]["value"] < plain["quantities"]["peak"]["value"]
    assert advice["spared"] == plain["quantities"]["peak"]["value"] - advice["peak"]
    text = told_in_one_line(capsys, *words)
    assert "compiled: with compile=false each GPU needs 60.6 GiB, 13.4 GiB more; measured" in text
    assert "compiled: " not in told_in_one_line(capsys, *words, "compile=true")


@pytest.mark.parametrize("with_what", ["activation_checkpointing=full", "lora.rank=8"])
def test_a_plan_says_where_compiling_was_not_measured(with_what, capsys):
    words = ("llama_7b_8192_pi", "--gpus", "32", with_what)
    plain, compiled = (told(capsys, *words, *more) for more in ([], ["compile=true"]))
    assert compiled["quantities"] == plain["quantities"]
    assert (plain["notes"], len(compiled["notes"])) == ([], 1)
    text = told_in_one_line(capsys, *words, "compile=true")
    assert "note: memory and time are planned as if layers were not compiled" in text


def test_a_plan_says_that_a_small_model_may_be_slower_than_assumed(capsys):
    words = ("--model", "smollm2-135m", "--gpu", "h100")
    assert "note: time assumes 0.39 of the GPU's peak" in told_in_one_line(capsys, *words)
    assert told(capsys, *words, "--utilisation", "0.2")["notes"] == []


def test_the_table_explains_itself_when_asked(capsys):
    assert cli.main(["plan", "llama_7b_8192_pi", "--gpus", "32"]) == 0
    plain = capsys.readouterr().out
    assert cli.main(["plan", "llama_7b_8192_pi", "--gpus", "32", "--explain"]) == 0
    explained = capsys.readouterr().out
    assert "the paper used 32 A100; planned on a100-40," in plain
    assert "data sheet" in explained
    for formula in (formula for part in PARTS.values() for formula in formulas(part)):
        assert formula.name in plain
        assert f"= {formula.expression} " in " ".join(explained.split()) + " "
        assert f"= {formula.expression} " not in " ".join(plain.split()) + " "


def test_a_local_folder_is_planned_from_its_config_alone(tiny_folder, tmp_path, capsys):
    (tmp_path / "config.json").write_text((tiny_folder / "config.json").read_text())
    report = told(capsys, "--model", str(tmp_path), "--context", "256", "steps=5")
    assert report["context_tokens"] == 256
    config = override(recipe(report["recipe"]), report["overrides"])
    assert (config.window_tokens, config.factor, config.method, config.steps) == (64, 4.0, "linear", 5)


def test_a_price_gives_a_cost_of_the_run_and_of_what_would_help(capsys):
    words = ("--model", "llama-70b", "--context", "32768", "--gpus", "8", "--gpu", "h100")
    report, free = told(capsys, *words, "--price", "2.5"), told(capsys, *words)
    hours = report["quantities"]["run_time"]["value"] + report["quantities"]["other_time"]["value"]
    assert report["cost"] == pytest.approx(2.5 * 8 * hours)
    assert free["cost"] is None
    assert all(one["cost"] > 2.5 * one["gpu_hours"] for one in report["levers"])
    text = told_in_one_line(capsys, *words, "--price", "2.5")
    assert text.startswith(
        "No, it does not fit on 8 x h100: each GPU needs 198.2 GiB and has room for 67.1 GiB. If it did"
    )
    assert f"and cost {report['cost']:,.0f} at 2.5 an hour and GPU, loading and export included." in text


def test_the_answer_is_readable_in_eighty_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for words in (
        ["--model", "llama-70b", "--context", "32768", "--gpus", "8", "--gpu", "h100"],
        ["llama_65b_32768_pi", "--gpus", "16", "activation_checkpointing=selective", "compile=false", "--price", "3"],
        ["llama_7b_32768_pi", "context_parallel=4", "--gpus", "64", "--explain"],
    ):
        assert cli.main(["plan", *words]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines)) <= 80
        assert any(line.strip().startswith("lever ") for line in lines)


def test_windows_that_gpus_share_are_planned_and_started(capsys):
    words = ("llama_7b_32768_pi", "context_parallel=4", "--gpus", "256", "--gpu", "h100")
    report = told(capsys, *words)
    assert (report["context_parallel"], report["accumulation"]) == (4, 2)
    assert any("not been run on a GPU" in note for note in report["notes"])
    assert cli.main(["plan", *words, "--script", "slurm"]) == 0
    assert "context_parallel=4" in capsys.readouterr().out


@pytest.mark.parametrize(("kind", "gpus"), [("torchrun", 8), ("slurm", 8), ("slurm", 16), ("slurm", 64)])
def test_the_script_starts_the_run_that_was_planned(kind, gpus, tmp_path):
    """Bash runs the script, with programs in place of Slurm's commands and torchrun that print what they are given."""
    changes = ["steps=10", "evaluation.windows=2048,8192"]
    config = override(recipe("llama_13b_8192_pi"), changes)
    planned = advise(config, Shape.of(architecture(config)), A100, gpus)
    for command, does in (("scontrol", "printf 'node7\\nnode8\\n'"), ("srun", 'exec "$@"'), ("torchrun", 'echo "$@"')):
        (tmp_path / command).write_text(f"#!/bin/bash\n{does}\n")
        (tmp_path / command).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "node[7-8]", "SLURM_JOB_ID": "5"}
    text = script(kind, "llama_13b_8192_pi", changes, planned)
    done = subprocess.run(["bash"], input=text, env=environment, capture_output=True, text=True, check=True)
    words = done.stdout.split()
    nodes = 1
    if kind == "slurm":
        nodes = int(words[words.index("--nnodes") + 1])
        assert words[words.index("--rdzv-endpoint") + 1] == "node7:29500"
    assert nodes * int(words[words.index("--nproc-per-node") + 1]) == gpus
    asked = cli.parse(cli.parser(), words[words.index("pi_model.cli.main") + 1 :])
    name, *words = asked.overrides
    assert override(recipe(name), words) == planned.config


def test_torchrun_alone_starts_one_machine(capsys):
    assert cli.main(["plan", "llama_7b_8192_pi", "--gpus", "8", "--script", "torchrun"]) == 0
    assert "torchrun --standalone --nproc-per-node 8" in capsys.readouterr().out
    assert cli.main(["plan", "llama_7b_8192_pi", "--gpus", "16", "--script", "torchrun"]) == 2
    assert "use --script slurm" in capsys.readouterr().err


FAULTS = {
    "nothing to plan": (2, ["--gpus", "8"]),
    "two things to plan": (2, ["llama_7b_8192_pi", "--model", "llama-7b"]),
    "a recipe with a context": (2, ["llama_7b_8192_pi", "--context", "4096"]),
    "an unknown recipe": (2, ["llama_8b_8192_pi"]),
    "an unknown model": (2, ["--model", "llama-8b"]),
    "a context below the window": (2, ["--model", "llama-7b", "--context", "1024"]),
    "GPUs that cannot share the batch": (2, ["llama_7b_8192_pi", "--gpus", "3"]),
    "no GPUs": (2, ["llama_7b_8192_pi", "--gpus", "0"]),
    "a share above one": (2, ["llama_7b_8192_pi", "--utilisation", "1.5"]),
    "a model that is not here": (2, ["llama_7b_govreport"]),
    "a script for a run that does not fit": (1, ["llama_65b_32768_pi", "--gpu", "a100-40", "--script", "slurm"]),
    "GPUs that cannot share windows": (2, ["llama_7b_8192_pi", "context_parallel=4", "--gpus", "6"]),
    "windows that cannot be shared": (2, ["llama_7b_8192_pi", "context_parallel=3"]),
    "a price of nothing": (2, ["llama_7b_8192_pi", "--price", "0"]),
    "machines of unequal size": (2, ["llama_7b_8192_pi", "global_batch=9", "--gpus", "9", "--script", "slurm"]),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_planned_is_one_line(fault):
    code, words = FAULTS[fault]
    ended = ending(cli.main, "plan", *words)
    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1)


def test_a_run_that_does_not_fit_is_planned_with_a_warning_that_says_what_would(capsys):
    assert cli.main(["plan", "llama_65b_32768_pi", "global_batch=64", "--gpus", "64"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("No, it does not fit on 64 x a100-80")
    assert "113 GPUs would be enough, but the global batch can be shared by 64 at most" in err
