"""Optimiser steps of SmolLM2 on windows of 2048 tokens: ours beside Hugging Face Trainer's, both from the same weights.

Same windows, float32, AdamW, clipping and accumulation (none); the losses of all steps are compared first.
"""

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaForCausalLM, Trainer, TrainingArguments

from experiments.timing import compare, peak_gib
from pi_model.config import Config, Corpus
from pi_model.parallel import process_group, sharded_model
from pi_model.preparation import Preparation, prepare, weight_reader
from pi_model.train import adamw, optimizer_step

# The second step is the first whose forward pass finds the optimiser's state in memory.
CONFIG = Config(
    model="smollm2-135m",
    window_tokens=8192,
    sequence_tokens=2048,
    data=(Corpus(name="books", split="test"),),
    steps=2,
    global_batch=1,
    peak_lr=2e-5,
    warmup_steps=0,
)


def prepared() -> Preparation:
    return prepare(CONFIG, Path())


def ours(start: Preparation, *, activation_checkpointing: str = "none") -> list[float]:
    """The loss of every step."""
    with process_group("cpu") as device:
        model = sharded_model(
            start.hf_config(),
            weight_reader(CONFIG, start),
            device,
            activation_checkpointing=activation_checkpointing,
        )
        optimizer = adamw(model, CONFIG)
        windows = [torch.from_numpy(start.batches.windows(step)) for step in range(CONFIG.steps)]
        return [optimizer_step(model, optimizer, one, 1, CONFIG.peak_lr, CONFIG.clip_norm)[0] for one in windows]


def theirs(start: Preparation) -> list[float]:
    model = LlamaForCausalLM.from_pretrained(start.origin, dtype=torch.float32)
    rows = [torch.from_numpy(start.batches.windows(step)[0]) for step in range(CONFIG.steps)]
    # labels are what Trainer counts items by; shift_labels are the targets, one for every input token.
    items = [{"input_ids": row[:-1], "labels": row[1:], "shift_labels": row[1:]} for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=1,
            max_steps=CONFIG.steps,
            learning_rate=CONFIG.peak_lr,
            lr_scheduler_type="constant",
            adam_beta1=CONFIG.beta1,
            adam_beta2=CONFIG.beta2,
            adam_epsilon=CONFIG.eps,
            max_grad_norm=CONFIG.clip_norm or 0.0,
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
    return [line["loss"] for line in trainer.state.log_history if "loss" in line]


WAYS: dict[str, Callable[[Preparation], list[float]]] = {
    "ours": ours,
    "ours_checkpointing": partial(ours, activation_checkpointing="full"),
    "theirs": theirs,
}


def once(who: str) -> None:
    """One run, for its memory."""
    WAYS[who](prepared())


def rows() -> Iterator[dict[str, Any]]:
    """Times as ratios, then peak memory of whole processes."""
    start = prepared()
    what = f"training, {CONFIG.model}, {CONFIG.steps} steps of {CONFIG.training_tokens} tokens"
    for who, name in (("ours", what), ("ours_checkpointing", f"{what}, activation checkpointing")):
        timed = compare(partial(WAYS[who], start), partial(theirs, start), repeats=2)
        yield {"what": name, "theirs": "Hugging Face Trainer", **timed}
    peaks = {f"{who}_peak_gib": peak_gib("experiments.bench_training", "once", who) for who in WAYS}
    yield {"what": f"{what}, memory of the whole process", "theirs": "Hugging Face Trainer", **peaks}


if __name__ == "__main__":
    for row in rows():
        print(row, flush=True)
