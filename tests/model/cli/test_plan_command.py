"""The command pi-model plan: its report, its table, its scripts and its messages."""

import json
import os
import subprocess
import time
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
    assert "compiled: with compile=false each GPU needs 60.2 GiB, 13.4 GiB more; measured" in text
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
        "No, it does not fit on 8 x h100: each GPU needs 199.7 GiB and has room for 67.1 GiB. If it did"
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


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Programs in place of Slurm's and of Python, which print what they are given; and a function that runs a script.

    srun reads its own options and starts the rest, as the real one does on each machine.
    """
    programs = {
        "scontrol": 'case $1 in show) printf "node7\\nnode8\\n";; *) echo "scontrol $*";; esac',
        "srun": 'echo "srun $*"; while [[ $1 == -* ]]; do shift; done; "$@"; exit "${SRUN_FAILS:-0}"',
        "python": 'echo "python $*"; env | grep -E "^(TORCH|PYTORCH)"',
    }
    for name, does in programs.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{does}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))

    def run(text: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "SLURM_JOB_NODELIST": "node[7-8]",
            "SLURM_JOB_ID": "10005",
            "SLURM_CPUS_ON_NODE": "96",
        }
        command = ["bash", "-s", *arguments]
        return subprocess.run(
            command, input=text, env=given | environment, capture_output=True, text=True, cwd=tmp_path
        )

    return run


CHANGES = ["steps=10", "evaluation.windows=2048,8192"]


def written(kind: str, gpus: int) -> tuple[str, planning.Plan]:
    config = override(recipe("llama_13b_8192_pi"), CHANGES)
    planned = advise(config, Shape.of(architecture(config)), A100, gpus)
    return script(kind, "llama_13b_8192_pi", CHANGES, planned), planned


@pytest.mark.parametrize(
    ("kind", "gpus"), [("torchrun", 4), ("torchrun", 8), ("torchrun", 32), ("slurm", 8), ("slurm", 16), ("slurm", 64)]
)
def test_the_script_starts_the_run_that_was_planned(kind, gpus, stand_ins):
    text, planned = written(kind, gpus)
    machines = -(-gpus // 8)
    ended = stand_ins(text, *(["node7"] if kind == "torchrun" and machines > 1 else []))
    assert (ended.returncode, ended.stderr) == (0, "")
    [started] = [line.split() for line in ended.stdout.splitlines() if line.startswith("python ")]
    option = {name: started[started.index(name) + 1] for name in started if name.startswith("--") and name != "--out"}
    assert started[1:3] == ["-m", "torch.distributed.run"]
    assert int(option["--nnodes"]) == machines
    assert machines * int(option["--nproc-per-node"]) == gpus
    meeting = {"slurm": "node7:20005", "torchrun": "node7:29500" if machines > 1 else None}[kind]
    assert option.get("--rdzv-endpoint") == meeting
    assert ("--standalone" in option) == (meeting is None)
    assert int(option["--max-restarts"]) > 0  # a run that is started again goes on as if it had not been stopped
    asked = cli.parse(cli.parser(), started[started.index("pi_model.cli.main") + 1 :])
    name, *words = asked.overrides
    assert override(recipe(name), words) == planned.config


@pytest.mark.parametrize("kind", ["torchrun", "slurm"])
def test_the_script_leaves_time_for_a_checkpoint_and_a_log_of_each_rank(kind, stand_ins):
    text, _ = written(kind, 8)
    seen = stand_ins(text).stdout
    assert "TORCH_ELASTIC_SHUTDOWN_TIMEOUT=540" in seen
    assert "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True" in seen
    assert "--log-dir logs --redirects 3 --tee 0:3" in seen
    assert "TORCH_NCCL_DUMP_ON_TIMEOUT=1" in seen
    if kind == "slurm":
        head = text.partition("set -euo")[0]
        assert all(f"#SBATCH --{line}" in head for line in ("exclusive", "signal=TERM@600", "requeue"))
        assert "srun --kill-on-bad-exit=1 --cpus-per-task=96 " in seen


@pytest.mark.parametrize(
    ("left", "fails", "done", "code", "queued"),
    [(300, 1, False, 0, True), (3000, 1, False, 1, False), (300, 0, False, 0, False), (300, 1, True, 1, False)],
    ids=["time is up", "it failed", "it ended in time", "it was done"],
)
def test_a_job_queues_itself_again_only_when_its_time_was_up(left, fails, done, code, queued, stand_ins, tmp_path):
    text, _ = written("slurm", 8)
    if done:
        (tmp_path / "runs/llama_13b_8192_pi/model").mkdir(parents=True)
        (tmp_path / "runs/llama_13b_8192_pi/model/config.json").touch()
    ended = stand_ins(text, SRUN_FAILS=str(fails), SLURM_JOB_END_TIME=str(int(time.time()) + left))
    assert (ended.returncode, "scontrol requeue 10005" in ended.stdout) == (code, queued)


def test_a_script_for_many_machines_asks_for_the_first_ones_name(stand_ins):
    text, _ = written("torchrun", 16)
    ended = stand_ins(text)
    assert (ended.returncode, ended.stdout) != (0, "")
    assert "on each of the 2 machines, start: bash SCRIPT NAME-OF-THE-FIRST-MACHINE" in ended.stderr


def test_a_plan_is_verified_by_a_simulated_step(capsys):
    report = told(capsys, "tiny_512_pi", "--gpus", "2", "micro_batch=1", "--verify")
    assert report["verified"]["planned_peak"] == pytest.approx(report["verified"]["simulated_peak"], rel=0.02)
    text = " ".join(planning.table(report, explain=False).split())
    assert "simulated: a step took 0.06 GiB on a GPU at its peak, where 0.06 GiB are planned" in text


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
    assert "143 GPUs would be enough, but the global batch can be shared by 64 at most" in err
