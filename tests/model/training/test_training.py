"""The training loop against independent loops: its result is the same however it is split, resumed or killed."""

import json
import math
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

from pi_model.data.documents import Selection, Source, load_documents
from pi_model.data.packing import Batches, Stream
from pi_model.distributed.process_group import process_group
from pi_model.errors import RunError
from pi_model.evaluation.perplexity import sliding_perplexity
from pi_model.models.loading import load_checkpoint, load_tokenizer
from pi_model.models.rope_parameters import read_extension
from pi_model.training.config import Architecture, Evaluation
from pi_model.training.loop import train
from pi_model.training.loss import linear_cross_entropy
from pi_model.training.midrun_evaluation import MidrunEvaluation
from pi_model.training.preparation import prepare, weight_reader
from pi_model.training.sharding import sharded_model
from pi_theory.scaling import LinearPI, NoScaling
from tests.model.small_runs import losses, run, small_config, trained, write_documents

CLOSE = {"rtol": 2e-5, "atol": 0}


@pytest.fixture
def data(tmp_path):
    return write_documents(tmp_path / "documents.jsonl")


@pytest.fixture
def config(tiny_folder, data):
    return small_config(tiny_folder, data)


def plain_losses(config, folder, *, factor: float) -> list[float]:
    """The same run by a loop of a dozen lines over transformers' own loss."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rope = {"rope_type": "linear", "rope_theta": 10000.0, "factor": factor} if factor > 1 else None
    if rope:
        fresh = LlamaConfig.from_dict(model.config.to_dict() | {"rope_parameters": rope})
        weights = model.state_dict()
        model = LlamaForCausalLM(fresh)
        model.load_state_dict(weights)
    model.train().requires_grad_(True)
    tokenizer = load_tokenizer(folder, model.config)
    documents = load_documents(Source(config.data[0].name, split="train"), tokenizer)
    batches = Batches([Stream(documents, config.training_tokens, (0, 0))], [1], config.global_batch, config.steps)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0)
    found = []
    for step in range(config.steps):
        windows = torch.from_numpy(batches.windows(step))
        logits = model(input_ids=windows[:, :-1]).logits
        loss = F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        warm = min(1.0, 0.1 + 0.9 * step / config.warmup_steps)
        for group in optimizer.param_groups:
            group["lr"] = config.peak_lr * warm
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.fixture(scope="module")
def reference(tiny_folder, tmp_path_factory):
    """A run by one process that nobody killed, its config and its losses."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("reference")
        patch.setenv("PI_MODEL_CACHE", str(folder / "cache"))
        config = small_config(tiny_folder, write_documents(folder / "documents.jsonl"))
        return config, folder, trained(config, folder / "whole")


def test_the_loop_is_the_plain_loop(reference, tiny_folder):
    config, _, whole = reference
    np.testing.assert_allclose(whole, plain_losses(config, tiny_folder, factor=2.0), **CLOSE)


def test_two_processes_are_one(config, reference, tmp_path):
    one = reference[2]
    two = trained(config, tmp_path / "two", processes=2)
    np.testing.assert_allclose(two, one, **CLOSE)
    assert one[-1] < one[0] - 0.1


@pytest.mark.parametrize(
    "changes",
    [
        {"micro_batch": 2},
        {"micro_batch": 4},
        {"activation_checkpointing": "full"},
        {"activation_checkpointing": "selective"},
    ],
    ids=str,
)
def test_what_fits_the_hardware_does_not_change_the_result(config, reference, tmp_path, changes):
    np.testing.assert_allclose(trained(replace(config, **changes), tmp_path / "other"), reference[2], **CLOSE)


@settings(max_examples=3)
@given(kills=st.lists(st.integers(0, 5), min_size=1, max_size=2))
def test_a_killed_run_goes_on_bit_for_bit(reference, kills):
    config, folder, whole = reference
    out = folder / "killed"
    shutil.rmtree(out, ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PI_MODEL_CACHE", str(folder / "cache"))
        for kill in kills:
            run(config, out, kill_at=kill)
        assert trained(config, out) == whole
    ours, theirs = (load_checkpoint(path / "model").model.state_dict() for path in (out, folder / "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(("by", "processes"), [(signal.SIGINT, 1), (signal.SIGTERM, 2)], ids=["Ctrl-C", "scheduler"])
def test_a_run_asked_to_stop_ends_its_step_and_leaves_a_checkpoint(config, tmp_path, by, processes):
    out = tmp_path / "out"
    assert run(config, out, kill_at=2, by=by, processes=processes) == ("KeyboardInterrupt", "")
    assert len(losses(out)) == 3
    assert (out / "checkpoints/step-00000003/checkpoint.json").exists()
    assert trained(config, out, processes=processes) == trained(config, tmp_path / "whole", processes=processes)


def test_a_run_goes_on_with_another_number_of_processes(reference, tiny_folder, monkeypatch, tmp_path):
    config, folder, whole = reference
    monkeypatch.setenv("PI_MODEL_CACHE", str(folder / "cache"))
    shorter = replace(config, steps=3)
    assert trained(shorter, tmp_path / "out") == whole[:3]
    after = trained(config, tmp_path / "out", processes=2)
    assert after[:3] == whole[:3]
    np.testing.assert_allclose(after, whole, **CLOSE)
    assert trained(replace(config, steps=7), tmp_path / "out")[:6] == after


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_process_and_two_in_turns_give_the_same_weights_to_the_bit(config, tmp_path, dtype):
    """Two halves add up to the same in either order. Only a norm for clipping adds up more, so nothing is clipped."""
    config = replace(config, dtype=dtype, steps=3, global_batch=2, clip_norm=None, checkpoint_every=1)
    trained(config, tmp_path / "one")
    trained(config, tmp_path / "two", processes=2)
    for steps, processes in ((1, 1), (2, 2), (3, 1)):
        trained(replace(config, steps=steps), tmp_path / "turns", processes=processes)
    one, two, turns = (load_file(tmp_path / name / "model/model.safetensors") for name in ("one", "two", "turns"))
    for name, weight in one.items():
        assert torch.equal(weight, two[name]), name
        assert torch.equal(weight, turns[name]), name


def test_a_finished_run_has_nothing_left_to_do_and_a_longer_one_has(config, tmp_path, tiny_folder, data):
    out = tmp_path / "out"
    first = trained(config, out)
    status, outcome = run(config, out)
    assert (status, outcome.resumed_at, outcome.loss_nats) == ("done", 6, None)
    longer = trained(small_config(tiny_folder, data, steps=8), out)
    assert longer[:6] == first
    assert len(longer) == 8
    assert longer == trained(small_config(tiny_folder, data, steps=8), tmp_path / "at once")
    assert run(config, out) == (
        "UsageError",
        f"steps: {out} has done 8 steps already; give at least as many, or another folder",
    )


def test_only_the_newest_checkpoints_are_kept(reference):
    checkpoints = reference[1] / "whole/checkpoints"
    assert sorted(path.name for path in checkpoints.iterdir()) == ["step-00000004", "step-00000006"]
    manifest = json.loads((checkpoints / "step-00000006/checkpoint.json").read_text())
    assert manifest["step"] == 6
    assert manifest["run"]["global_batch"] == 4


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def edit_seed(path):
    content = json.loads(path.read_text())
    content["run"]["seed"] = 7
    path.write_text(json.dumps(content))


FAULTS = {
    "corrupt": lambda folder: flip_a_byte(next(folder.glob("*.distcp"))),
    "is missing": lambda folder: next(folder.glob("*.distcp")).unlink(),
    "incomplete": lambda folder: (folder / "checkpoint.json").unlink(),
    "not readable": lambda folder: (folder / "checkpoint.json").write_text("{"),
    "of another run, whose seed was 7 and is now 0": lambda folder: edit_seed(folder / "checkpoint.json"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_checkpoint_is_named_and_the_one_before_it_used_when_asked(reference, fault, tmp_path, monkeypatch):
    config, folder, whole = reference
    monkeypatch.setenv("PI_MODEL_CACHE", str(folder / "cache"))
    out = tmp_path / "out"
    shutil.copytree(folder / "whole", out)
    FAULTS[fault](out / "checkpoints/step-00000006")
    with pytest.raises(RunError, match=f"step-00000006: .*{fault}.*--fall-back"):
        train(config, out)
    assert train(config, out, fall_back=True).resumed_at == 4
    np.testing.assert_allclose(losses(out), whole, **CLOSE)
    assert train(config, out).resumed_at == 6


def test_the_exported_folder_is_the_model_that_was_trained(config, tmp_path, tiny_folder, data):
    changed = {"steps": (0, 6), "data": str(data), "windows": (128,), "stride": 64, "samples": 3}
    asked = small_config(tiny_folder, data, evaluation=Evaluation(**changed))
    trained(asked, tmp_path / "out")
    live = [json.loads(line) for line in (tmp_path / "out/evaluations.jsonl").read_text().splitlines()]
    assert [line["step"] for line in live] == [0, 6]
    checkpoint = load_checkpoint(tmp_path / "out/model")
    assert checkpoint.extension.scaling == LinearPI(2.0)
    documents = load_documents(
        Source(str(data), split="validation"), checkpoint.tokenizer, Selection(128, 32768, samples=3)
    )
    (result,) = sliding_perplexity(checkpoint.model, documents.tokens, windows=[128], stride=64)
    assert math.isclose(result.loss_nats, live[1]["loss_nats"]["128"], rel_tol=1e-6)
    assert live[1]["loss_nats"]["128"] < live[0]["loss_nats"]["128"]
    record = json.loads((tmp_path / "out/model/training.json").read_text())
    assert record["evaluations"] == live
    assert record["config"] == asked.as_json()
    assert list(record["loss_nats"]) == ["1", "2", "3", "4", "5", "6"]


def test_direct_fine_tuning_scales_no_position_and_allows_more(tiny_folder, data, tmp_path):
    direct = small_config(tiny_folder, data, method="none", steps=1)
    trained(direct, tmp_path / "out")
    content = load_checkpoint(tmp_path / "out/model").model.config
    assert content.max_position_embeddings == 128
    assert read_extension(content).scaling == NoScaling()


def test_a_loss_that_is_not_finite_stops_the_run_before_the_step(tmp_path, data, tiny_model, tiny_folder):
    folder = tmp_path / "broken"
    shutil.copytree(tiny_folder, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][3] = float("inf")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    status, message = run(small_config(folder, data), tmp_path / "out")
    assert status == "RunError"
    assert message.startswith("step 1: not finite, loss")
    assert "Windows 0 to 3, from documents.jsonl:" in message
    assert not list((tmp_path / "out/checkpoints").glob("step-*"))


@given(tokens=st.integers(1, 40), vocabulary=st.integers(2, 30), block=st.integers(1, 50), seed=st.integers(0, 2**31))
def test_the_blockwise_loss_and_its_gradients_are_the_plain_ones(tokens, vocabulary, block, seed):
    draw = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, 8, generator=draw, dtype=torch.float32, requires_grad=True)
    weight = torch.randn(vocabulary, 8, generator=draw, requires_grad=True)
    target = torch.randint(vocabulary, (tokens,), generator=draw)
    ours = linear_cross_entropy(hidden, weight, target, block)
    ours_grads = torch.autograd.grad(ours * 3, (hidden, weight))
    theirs = F.cross_entropy(hidden @ weight.T, target)
    theirs_grads = torch.autograd.grad(theirs * 3, (hidden, weight))
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours_grads, theirs_grads, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        torch.testing.assert_close(linear_cross_entropy(hidden, weight, target, block), theirs, rtol=1e-6, atol=1e-6)


# Losses recorded on 2026-11-23 with torch 2.13.0 on an x86 CPU. No refactoring may change them.
GOLDEN = [6.060616, 6.208508, 5.809992, 5.359455, 5.057521, 4.841993, 4.564164, 4.312586, 4.164194, 3.858403]


def test_ten_steps_are_as_recorded(tiny_folder, data, tmp_path):
    config = small_config(tiny_folder, data, steps=10, checkpoint_every=10)
    np.testing.assert_allclose(trained(config, tmp_path / "out"), GOLDEN, rtol=1e-4)


def test_bfloat16_follows_float32(config, reference, tmp_path):
    half = replace(config, dtype="bfloat16")
    np.testing.assert_allclose(trained(half, tmp_path / "bfloat16"), reference[2], rtol=1e-2)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_layers_follow_the_others(config, reference, tmp_path):
    compiled = trained(replace(config, compile=True), tmp_path / "compiled")
    np.testing.assert_allclose(compiled, reference[2], **CLOSE)


def test_the_loop_is_the_hugging_face_trainer(tiny_folder, data, tmp_path):
    config = small_config(tiny_folder, data, method="none", factor=1.0, steps=4, peak_lr=1e-3, warmup_steps=0)
    model = LlamaForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32).requires_grad_(True)
    documents = load_documents(Source(str(data), split="train"), load_tokenizer(tiny_folder, model.config))
    stream = Stream(documents, config.training_tokens, (0, 0))
    windows = Batches([stream], [1], config.global_batch, config.steps)
    rows = [torch.from_numpy(row) for step in range(config.steps) for row in windows.windows(step)]
    # labels are what Trainer counts items by; shift_labels are the targets, one for every input token.
    items = [{"input_ids": row[:-1], "labels": row[1:], "shift_labels": row[1:]} for row in rows]
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "theirs"),
        per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
        max_steps=config.steps,
        learning_rate=config.peak_lr,
        lr_scheduler_type="constant",
        adam_beta2=0.95,
        max_grad_norm=config.clip_norm,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=items)
    trainer.train()
    theirs = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    np.testing.assert_allclose(trained(config, tmp_path / "ours"), theirs, rtol=2e-5)
    ours = load_checkpoint(tmp_path / "ours/model").model.state_dict()
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(ours[name], weight, rtol=1e-4, atol=2e-6, msg=name)


def test_a_model_made_from_nothing_learns_and_is_the_same_every_time(data, tmp_path):
    made = Architecture(vocabulary=300, hidden=32, intermediate=64, layers=2, heads=4, kv_heads=2)
    new = {"model": None, "architecture": made, "factor": 1.0, "method": "none", "steps": 8, "checkpoint_every": 4}
    config = replace(small_config(tmp_path, data), **new)
    first = trained(config, tmp_path / "one")
    assert abs(first[0] - math.log(300)) < 0.2
    assert first[-1] < first[0] - 0.1
    assert trained(config, tmp_path / "again") == first
    np.testing.assert_allclose(trained(config, tmp_path / "two", processes=2), first, **CLOSE)
    assert trained(replace(config, seed=1), tmp_path / "other") != first
    checkpoint = load_checkpoint(tmp_path / "one/model")
    assert checkpoint.tokenizer.vocab_size == checkpoint.model.config.vocab_size == 300
    assert checkpoint.model.lm_head.weight is checkpoint.model.model.embed_tokens.weight
    text = "grass is blue, 40718 times — Übung"
    ids = checkpoint.tokenizer(text)["input_ids"]
    assert checkpoint.tokenizer.decode(ids) == text
    assert [checkpoint.tokenizer.decode([one]) for one in ids if checkpoint.tokenizer.decode([one]).isdigit()] == [
        *"40718"
    ]


@pytest.mark.parametrize("processes", [1, 2])
def test_perplexity_and_passkey_are_measured_on_the_way(tiny_folder, data, tmp_path, processes):
    asked = Evaluation(
        steps=(0, 1), data=str(data), windows=(64,), stride=32, samples=2, passkey_positions=2, passkey_trials=2
    )
    config = small_config(tiny_folder, data, evaluation=asked, steps=1, factor=8.0)
    trained(config, tmp_path / "out", processes=processes)
    lines = [json.loads(line) for line in (tmp_path / "out/evaluations.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1]
    assert list(lines[0]["accuracy"]) == ["256", "512"]
    assert lines[0]["loss_nats"] != lines[1]["loss_nats"]


@pytest.mark.parametrize(
    ("processes", "changes"),
    [(2, {"context_parallel": 2}), (4, {"context_parallel": 2, "activation_checkpointing": "full"})],
    ids=["shared by all", "shared by pairs"],
)
def test_ranks_that_share_windows_are_one_process(config, tmp_path, reference, processes, changes):
    shared = replace(config, **changes)
    np.testing.assert_allclose(trained(shared, tmp_path / "shared", processes=processes), reference[2], **CLOSE)
    assert json.loads((tmp_path / "shared/run.json").read_text())["attention"] == "context_parallel"


def test_tensorboard_shows_the_logs(config, tmp_path, data):
    asked = Evaluation(steps=(0, 2), data=str(data), windows=(128,), stride=64, samples=2)
    config = replace(config, evaluation=asked, steps=3, checkpoint_every=1)
    whole = trained(config, tmp_path / "out")
    trained(replace(config, steps=4), tmp_path / "out")
    events = EventAccumulator(str(tmp_path / "out/tensorboard")).Reload()
    shown = [(one.step, one.value) for one in events.Scalars("steps/loss_nats")]
    assert [step for step, _ in shown] == [1, 2, 3, 4]
    np.testing.assert_allclose([value for _, value in shown[:3]], whole, rtol=1e-6)
    assert {"steps/learning_rate", "steps/gradient_norm", "steps/tokens_per_second"} <= set(events.Tags()["scalars"])
    assert [one.step for one in events.Scalars("evaluations/loss_nats/128")] == [0, 2]


def test_a_single_process_is_evaluated_without_a_copy_of_its_weights(config, tmp_path):
    start = prepare(config, tmp_path / "out")
    with process_group("cpu") as device:
        model = sharded_model(start.hf_config(), weight_reader(config, start), device)
        plain = MidrunEvaluation(config, start).plain(model)
        trained = {one.data_ptr() for one in model.parameters()}
        assert {one.data_ptr() for one in plain.parameters()} == trained
