"""Recipes have the paper's numbers, overrides change them, and a bad config ends in one line."""

import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_model.cli.main import main
from pi_model.errors import UsageError
from pi_model.training.config import ADAPTABLE, Lora, MixturePart
from pi_model.training.overrides import _written, override
from pi_model.training.recipes import LLAMA, RECIPES, recipe
from tests.model.small_runs import write_documents


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_whole_config_with_a_context_its_name_tells(name):
    config = recipe(name)
    assert config.steps > config.warmup_steps
    assert config.accumulation(1) * config.micro_batch == config.global_batch
    if name.endswith(("_pi", "_direct")):
        assert f"_{config.context_tokens}_" in name
        assert (config.method == "linear") == ("_pi" in name)


@pytest.mark.parametrize("size", LLAMA)
@pytest.mark.parametrize("context", [8192, 16384, 32768])
def test_the_paper_recipes_have_the_papers_numbers(size, context):
    pi, direct = (recipe(f"llama_{size}_{context}_{kind}") for kind in ("pi", "direct"))
    assert (pi.steps, direct.steps) == (1000, 10000)
    assert pi.peak_lr == direct.peak_lr == (2e-5 if size in ("7b", "13b") else 1e-5)
    assert pi.global_batch == (64 if context == 8192 and size != "65b" else 128)
    assert (pi.beta1, pi.beta2, pi.weight_decay, pi.warmup_steps, pi.warmup_from) == (0.9, 0.95, 0.0, 20, 0.1)
    assert pi.data[0].stream_tokens == 1000 * pi.global_batch * context
    assert pi.accumulation(32 if pi.global_batch == 64 else 128) in (1, 2)


def test_variants_change_only_what_their_names_say():
    base = recipe("llama_7b_8192_pi")
    adapted = recipe("llama_7b_8192_pi_lora")
    assert replace(adapted, lora=None, peak_lr=base.peak_lr) == base
    assert adapted.lora == Lora(targets=ADAPTABLE)
    other = recipe("llama_7b_8192_pi_redpajama")
    assert replace(other, data=base.data) == base
    assert other.data[0].name == "redpajama"


def test_the_papers_evaluation_is_that_of_tables_3_and_4():
    config = override(recipe("llama_7b_16384_pi"), ["evaluation=paper", "evaluation.samples=3"])
    assert config.evaluation.steps == (0, 200, 400, 600, 800, 1000)
    assert (config.evaluation.data, config.evaluation.windows, config.evaluation.stride) == ("pg19", (16384,), 256)
    assert (config.evaluation.passkey_positions, config.evaluation.passkey_trials) == (32, 10)
    assert config.evaluation.samples == 3
    assert override(recipe("llama_7b_8192_direct"), ["evaluation=paper"]).evaluation.steps[-2:] == (1000, 10000)


def test_lora_is_turned_on_and_changed_by_overrides():
    config = override(recipe("tiny_512_pi"), ["lora.rank=4", "lora.targets=q_proj,v_proj"])
    assert config.lora == Lora(rank=4, targets=("q_proj", "v_proj"))
    assert override(recipe("tiny_512_pi"), []).lora is None


def test_other_data_is_read_no_further_than_the_recipes_own():
    base = recipe("llama_7b_8192_pi")
    assert override(base, ["data=owner/other*2"]).data == (
        MixturePart(name="owner/other", weight=2.0, stream_tokens=base.data[0].stream_tokens),
    )


@given(
    processes=st.integers(1, 8),
    sharing=st.sampled_from([1, 2, 4]),
    micro=st.sampled_from([1, 2, 3]),
    share=st.integers(1, 5),
)
def test_every_window_of_a_batch_is_read_by_one_group_of_ranks(processes, sharing, micro, share):
    config = override(recipe("tiny_512_pi"), [f"context_parallel={sharing}", f"global_batch={12 * share}"])
    config = replace(config, micro_batch=micro)
    try:
        accumulation = config.accumulation(processes)
    except UsageError:
        assert processes % sharing or config.global_batch % (processes // sharing * micro)
    else:
        assert accumulation * micro * processes == config.global_batch * sharing


def test_the_learning_rate_warms_up_from_a_tenth_and_then_decays_as_told():
    config = recipe("llama_7b_8192_pi")
    assert config.learning_rate(0) == pytest.approx(2e-6)
    assert config.learning_rate(10) == pytest.approx(1.1e-5)
    assert config.learning_rate(20) == config.learning_rate(999) == 2e-5
    linear = override(config, ["decay=linear"])
    assert linear.learning_rate(510) == pytest.approx(1e-5)
    cosine = override(config, ["decay=cosine"])
    assert cosine.learning_rate(510) == pytest.approx(1e-5)
    assert cosine.learning_rate(265) == pytest.approx(2e-5 * 0.8535533905932737)


@given(step=st.integers(0, 999), warmup=st.integers(0, 300), decay=st.sampled_from(["constant", "linear", "cosine"]))
def test_the_learning_rate_is_positive_and_at_most_the_peak(step, warmup, decay):
    config = override(recipe("llama_7b_8192_pi"), [f"warmup_steps={warmup}", f"decay={decay}"])
    assert 0 < config.learning_rate(step) <= config.peak_lr


@pytest.mark.parametrize("name", RECIPES)
def test_overriding_every_field_by_its_own_value_changes_nothing(name):
    config = recipe(name)
    words = [
        f"{field.name}={_written(getattr(config, field.name))}"
        for field in fields(config)
        if field.name not in ("architecture", "evaluation", "lora")
    ]
    for group in ("evaluation", "lora"):
        if part := getattr(config, group):
            words += [f"{group}.{field.name}={_written(getattr(part, field.name))}" for field in fields(part)]
    assert override(config, words) == config


def test_overrides_replace_fields():
    config = override(
        recipe("tiny_512_pi"),
        ["steps=7", "data=books*0.5,a/b.jsonl", "clip_norm=none", "compile=true", "evaluation.steps=0,5", "model=m*x"],
    )
    assert (config.steps, config.clip_norm, config.compile, config.model) == (7, None, True, "m*x")
    assert config.data == (MixturePart(name="books", weight=0.5), MixturePart(name="a/b.jsonl"))
    assert config.evaluation.steps == (0, 5)
    assert override(recipe("tiny_512_pi"), ["window_tokens=10", "factor=1.1"]).context_tokens == 11


def test_the_identity_is_what_the_result_depends_on():
    config = recipe("tiny_512_pi")
    same = [
        "micro_batch=1",
        "context_parallel=2",
        "activation_checkpointing=full",
        "keep=9",
        "evaluation.steps=1",
        "steps=9",
    ]
    assert override(config, same).sha256() == config.sha256()
    for other in (
        "factor=4",
        "seed=1",
        "peak_lr=1e-5",
        "global_batch=6",
        "data=books",
        "dtype=bfloat16",
        "lora.rank=2",
    ):
        assert override(config, [other, "micro_batch=1"]).sha256() != config.sha256()
    decaying = override(config, ["decay=cosine"])
    assert override(decaying, ["steps=9", "warmup_steps=2"]).sha256() != decaying.sha256()


BAD = {
    "factor=0.5": "factor: must be at least 1",
    "factor=nan": "factor: must be at least 1",
    "factor=1.7": "is not a whole number of tokens",
    "factor=1": "changes nothing",
    "factor=two": "does not fit",
    "steps=0": "steps: must be at least 1",
    "steps=1.5": "does not fit",
    "global_batch=5": "cannot be shared by 1 processes in micro batches of 8",
    "sequence_tokens=513": "sequence_tokens: must be from 1 to the 512 tokens",
    "method=magic": "choose from",
    "decay=slow": "choose from constant, linear, cosine",
    "dtype=float8": "choose from float32, bfloat16",
    "device=tpu": "choose from cpu, cuda",
    "data=": "name at least one source",
    "data=books*0": "must be positive",
    "peak_lr=inf": "peak_lr: must be positive",
    "beta1=1": "beta1",
    "clip_norm=0": "clip_norm: must be positive",
    "weight_decay=-1": "weight_decay",
    "compile=yes": "does not fit",
    "colour=blue": "colour: no such field; choose from activation_checkpointing",
    "evaluation.colour=blue": "evaluation.colour: no such field; choose from evaluation.column",
    "lora.rank=0": "lora.rank: must be at least 1",
    "lora.alpha=-1": "lora.alpha: must be positive",
    "lora.dropout=1": "lora.dropout: must be at least 0 and below 1",
    "lora.targets=": "lora.targets: name at least one of q_proj",
    "lora.targets=lm_head": "lora.targets: unknown 'lm_head', choose from q_proj",
    "lora.colour=blue": "lora.colour: no such field; choose from lora.alpha",
    "evaluation=everything": "evaluation: no such field",
    "context_parallel=0": "context_parallel: must be at least 1",
    "compile=true context_parallel=2": "context_parallel: does not work together with compile",
    "activation_checkpointing=true": "activation_checkpointing: unknown 'true', choose from none, selective, full",
    "activation_checkpointing=selective compile=true": "activation_checkpointing: not selective together with compile",
    "activation_checkpointing=selective context_parallel=2": (
        "activation_checkpointing: not selective together with context_parallel"
    ),
    "context_parallel=3": "windows of 512 tokens do not divide into 6 equal pieces",
    "context_parallel=2": "1 processes cannot form groups of 2; start a multiple of 2 with torchrun",
    "steps": "an override is written field=value",
    "model=no-such-model": "no such folder",
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_config_ends_in_one_line_before_anything_is_written(bad, tmp_path, capsys):
    assert main(["finetune", "tiny_512_pi", *bad.split(), "--out", str(tmp_path / "out"), "--quiet"]) == 2
    error = capsys.readouterr().err
    assert BAD[bad] in error
    assert error.startswith("pi-model: error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def overrides(folder: Path, tmp_path: Path) -> list[str]:
    data = write_documents(tmp_path / "documents.jsonl")
    few = ["steps=2", "global_batch=2", "micro_batch=1", "checkpoint_every=1", "peak_lr=1e-3"]
    return [f"model={folder}", "window_tokens=64", f"data={data}", *few]


def test_a_star_before_a_number_is_a_weight_and_any_other_belongs_to_a_pattern():
    config = override(recipe("tiny_512_pi"), ["data=texts/*.txt,books*0.5,more/*"])
    assert [(part.name, part.weight) for part in config.data] == [("texts/*.txt", 1), ("books", 0.5), ("more/*", 1)]


def test_control_tokens_are_part_of_a_runs_identity_only_where_they_are_read():
    config = recipe("tiny_512_pi")
    assert "control_tokens" not in config.as_json()
    assert override(config, ["control_tokens=true"]).sha256() != config.sha256()


def test_a_run_of_another_config_or_a_folder_of_other_things_is_refused(tiny_folder, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["finetune", "tiny_512_pi", *overrides(tiny_folder, tmp_path), "--out", str(out), "--quiet", "--json"]
    assert main(command) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["steps"], report["resumed_at"]) == (2, 0)
    assert Path(report["model"]).is_dir()
    assert main([*command[:2], "seed=3", *command[2:]]) == 2
    assert "whose seed was 0 and is now 3" in capsys.readouterr().err
    assert main([*command, "keep=4"]) == 0
    assert json.loads(capsys.readouterr().out)["resumed_at"] == 2
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("mine")
    assert main([*command, "--out", str(tmp_path / "full")]) == 2
    assert "is not empty and holds no run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message", "code"),
    [
        ("window_tokens=256", "has a context of 64 tokens, not 256; set window_tokens=64", 2),
        ("data=missing.txt", "no such file or folder", 2),
        ("sequence_tokens=128 factor=1024", "do not fill one window", 1),
        ("evaluation.steps=0", "evaluation.steps: set evaluation.data", 2),
        ("evaluation.steps=0 evaluation.windows=257 evaluation.data=no-such", "no-such: no such file or folder", 2),
        ("evaluation.steps=0 evaluation.passkey_positions=2", "cannot hold a passkey prompt", 2),
    ],
)
def test_what_does_not_fit_model_or_data_ends_in_one_line(change, message, code, tiny_folder, tmp_path, capsys):
    changes = [part for part in change.split() if part != "sequence_tokens=128"]
    command = ["finetune", "tiny_512_pi", *overrides(tiny_folder, tmp_path), *changes]
    assert main([*command, "--out", str(tmp_path / "out"), "--quiet"]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_torchrun_trains_on_two_processes(tiny_folder, tmp_path):
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        "-m",
        "pi_model.cli.main",
    ]
    command += ["finetune", "tiny_512_pi", *overrides(tiny_folder, tmp_path), "--out", str(tmp_path / "out"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 2
    assert "step 2/2: loss" in done.stderr
    assert (tmp_path / "out/model/config.json").is_file()
