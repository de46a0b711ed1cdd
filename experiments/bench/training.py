"""Speed and memory of training SmolLM2, ours beside Hugging Face Trainer, from the same weights on the same windows.

Both train in float32 with AdamW, clipping and one window a step, and their losses must agree. Each turn is a process of
its own, which gives its peak memory and the times of its steps after the first. There are at least two steps because
only from the second on is the optimiser's state in memory during the forward pass.
"""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal
from unittest.mock import patch

import torch
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from experiments.bench.timing import Row, alone, faster, leaner, same
from pi_model.distributed.process_group import process_group
from pi_model.models.families import CausalLM, ModelConfig, empty_model
from pi_model.training.config import Checkpointing, Config, MixturePart
from pi_model.training.loop import adamw, optimizer_step
from pi_model.training.preparation import prepare, weight_reader
from pi_model.training.sharding import sharded_model

CONFIG = Config(
    model="smollm2-135m",
    window_tokens=8192,
    sequence_tokens=2048,
    data=(MixturePart(name="books", split="test"),),
    steps=2,
    global_batch=1,
    peak_lr=2e-5,
    warmup_steps=0,
    device="cpu",
)
TRAINER = "Hugging Face Trainer"
# By window: turns, steps of a turn (the first is not counted), and the kinds of activation checkpointing of ours.
CASES = {1024: (5, 3, ("none",)), 2048: (5, 2, ("none", "selective", "full")), 4096: (5, 2, ("none",))}
# How many times as fast ours should be at least, and which share of their memory it should take at most. The products
# are the same, so that equal speed is what can be aimed for; full checkpointing computes a third of them twice.
FASTER_AIMS = {"none": 1.0, "selective": 1.0, "full": 0.85}
LEANER_AIMS = {"none": 0.9, "selective": 0.75, "full": 0.6}
# What ours may take of what its layers and optimiser take alone, where that leaves less to save than the aim.
OVER_LIMIT = 1.05


@dataclass(frozen=True)
class Task:
    """What is to be trained: ``config`` has optimiser, precision, device and checkpointing, the rest is given."""

    config: Config
    architecture: ModelConfig
    read: Callable[[str], Tensor]  # a weight by its name
    windows: Sequence[Tensor]  # (windows, tokens + 1) each, a step's


def smollm2(tokens: int, steps: int, activation_checkpointing: Checkpointing = "none") -> Task:
    return task_of(
        replace(CONFIG, sequence_tokens=tokens, steps=steps, activation_checkpointing=activation_checkpointing)
    )


def task_of(config: Config) -> Task:
    start = prepare(config, Path("nowhere"))  # writes nothing
    windows = [torch.from_numpy(start.batches.windows(step)) for step in range(config.steps)]
    return Task(config, start.hf_config(), weight_reader(config, start), windows)


@dataclass(frozen=True)
class Steps:
    """The seconds and the loss of each step."""

    seconds: list[float]
    losses: list[float]


def ours(task: Task) -> Steps:
    config, done = task.config, Steps([], [])
    with process_group(config.device) as device:
        model = sharded_model(
            task.architecture,
            task.read,
            device,
            dtype=config.dtype,
            activation_checkpointing=config.activation_checkpointing,
            compile_layers=config.compile,
        )
        optimizer = adamw(model, config)
        for window in task.windows:
            start = time.perf_counter()
            loss, _ = optimizer_step(model, optimizer, window.to(device), 1, config.peak_lr, config.clip_norm)
            _wait(config.device)
            done.seconds.append(time.perf_counter() - start)
            done.losses.append(loss)
    return done


class Clock(TrainerCallback):
    """Notes when each step begins and when training ends, so that a step's time has all that Trainer does around it."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.times: list[float] = []

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        _wait(self.device)
        self.times.append(time.perf_counter())

    on_train_end = on_step_begin

    def steps(self, trainer: Trainer) -> Steps:
        """What a trainer that had this clock among its callbacks has done."""
        losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
        return Steps([end - start for start, end in itertools.pairwise(self.times)], losses)


def filled(
    architecture: ModelConfig, read: Callable[[str], Tensor], device: str, dtype: torch.dtype = torch.float32
) -> CausalLM:
    """A model by transformers' own code with the given weights, made on the device that it stays on."""
    with torch.device(device):
        model = empty_model(architecture, attn_implementation="sdpa", dtype=dtype)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(read(name))
    return model


def theirs(task: Task) -> Steps:
    config = task.config
    clock = Clock(config.device)
    model = filled(task.architecture, task.read, config.device)
    if config.activation_checkpointing != "none":
        # The name it has in newer transformers, and in older ones.
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    # labels are what Trainer counts items by; shift_labels are the targets, one for every input token.
    rows = [row for window in task.windows for row in window]
    items = [{"input_ids": row[:-1], "labels": row[1:], "shift_labels": row[1:]} for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(output_dir=folder, **trainer_arguments(config))
        trainer = Trainer(model=model, args=arguments, train_dataset=items, callbacks=[clock])
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock.steps(trainer)


def trainer_arguments(config: Config) -> dict[str, Any]:
    """The arguments with which Trainer and what is built on it train as a config says, without any evaluation."""
    return {
        "per_device_train_batch_size": config.global_batch,
        "max_steps": config.steps,
        "learning_rate": config.peak_lr,
        "lr_scheduler_type": "constant",
        "adam_beta1": config.beta1,
        "adam_beta2": config.beta2,
        "adam_epsilon": config.eps,
        "max_grad_norm": config.clip_norm or 0.0,
        "bf16": config.dtype == "bfloat16",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": [],
        "use_cpu": config.device == "cpu",
        "disable_tqdm": True,
        "train_sampling_strategy": "sequential",
        "remove_unused_columns": False,
    }


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def without_head(tokens: int, steps: int, way: Checkpointing) -> None:
    """Trains in this process by ours without LM head and logits, for `alone`: the least memory that ours could take."""
    with patch("pi_model.training.loss.linear_cross_entropy", lambda hidden_ND, *_, **__: hidden_ND.mean()):
        ours(smollm2(tokens, steps, way))


def turn(who: Literal["theirs"] | Checkpointing, tokens: int, steps: int) -> dict[str, list[float]]:
    """Trains in this process, for `alone`.

    Args:
        who: "theirs", or the kind of activation checkpointing of ours.
        tokens: The length of the windows.
        steps: The number of optimiser steps.

    Returns:
        The fields of `Steps`.
    """
    way = "none" if who == "theirs" else who
    task = smollm2(tokens, steps, way)
    return asdict(theirs(task) if who == "theirs" else ours(task))


def rows() -> Iterator[Row]:
    """How many times as fast ours is with each kind of checkpointing, and which share of their peak memory it takes."""
    for tokens, (turns, steps, ways) in CASES.items():
        who = ["theirs", *ways]
        seconds: dict[str, list[float]] = {name: [] for name in who}
        peaks: dict[str, list[float]] = {name: [] for name in who}
        for number in range(turns):
            losses = {}
            for name in who[:: -1 if number % 2 else 1]:
                done, peak = alone("experiments.bench.training", "turn", name, tokens, steps)
                seconds[name] += done["seconds"][1:]
                peaks[name].append(peak)
                losses[name] = done["losses"]
            same(losses)
        for way in ways:
            what = f"training step, {CONFIG.model}, {tokens} tokens"
            what += "" if way == "none" else f", {way} activation checkpointing"
            yield faster(what, TRAINER, {"ours": seconds[way], "theirs": seconds["theirs"]}, aim=FASTER_AIMS[way])
            row = leaner(what, TRAINER, peaks[way], peaks["theirs"], aim=LEANER_AIMS[way])
            if row.value > LEANER_AIMS[way]:
                _, peak = alone("experiments.bench.training", "without_head", tokens, steps, way)
                limit = peak / row.detail["theirs_peak_gib"]
                row = replace(row, aim=max(LEANER_AIMS[way], limit * OVER_LIMIT), detail=row.detail | {"limit": limit})
            yield row
