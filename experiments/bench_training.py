"""Optimiser steps of SmolLM2: ours beside Hugging Face Trainer's, from the same weights on the same windows.

Both in float32, with AdamW, clipping and one window a step; the two take turns step by step and every loss is held
against the other's. Memory is that of processes of their own, of two steps: the second is the first whose forward pass
finds the optimiser's state in memory.
"""

import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from experiments.timing import Call, Row, faster, leaner, peak_gib, race
from pi_model.config import Config, Corpus
from pi_model.parallel import process_group, sharded_model
from pi_model.preparation import prepare, weight_reader
from pi_model.train import adamw, optimizer_step

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
TRAINER = "Hugging Face Trainer"
# window -> turns, and the activation checkpointing that ours runs with
CASES = {1024: (3, ("none",)), 2048: (3, ("none", "selective", "full")), 4096: (2, ("none",))}
# of speed, at least so many times as fast, and of memory, at most such a share; as fast at 0.8 of the memory is
# asked of selective checkpointing, 1.35 times the time at 0.6 of full
FASTER_AIMS = {"none": 1.0, "selective": 1.0, "full": 1 / 1.35}
LEANER_AIMS = {"none": None, "selective": 0.8, "full": 0.6}


@dataclass(frozen=True)
class Job:
    """What is to be trained: ``config`` has optimiser, precision, device and checkpointing, the rest is given."""

    config: Config
    architecture: LlamaConfig
    read: Callable[[str], Tensor]  # a weight by its name
    windows: Sequence[Tensor]  # (1, tokens + 1) each, a step's


def smollm2(tokens: int, steps: int, activation_checkpointing: str = "none") -> Job:
    config = replace(CONFIG, sequence_tokens=tokens, steps=steps, activation_checkpointing=activation_checkpointing)
    start = prepare(config, Path())
    windows = [torch.from_numpy(start.batches.windows(step)) for step in range(steps)]
    return Job(config, start.hf_config(), weight_reader(config, start), windows)


def ours(job: Job, device: torch.device) -> Call:
    """Each call makes a step and gives its loss; inside `process_group`."""
    config = job.config
    model = sharded_model(
        job.architecture,
        job.read,
        device,
        dtype=config.dtype,
        activation_checkpointing=config.activation_checkpointing,
    )
    optimizer, windows = adamw(model, config), iter(job.windows)

    def step() -> list[float]:
        window = next(windows).to(device)
        return [optimizer_step(model, optimizer, window, 1, config.peak_lr, config.clip_norm)[0]]

    return step


class _Stopped(Exception):
    """Trainer was not asked for all its steps."""


class _Turns(TrainerCallback):
    """Holds Trainer, in a thread of its own, before each step until it is asked for."""

    def __init__(self) -> None:
        self.asked, self.waits = threading.Semaphore(0), threading.Semaphore(0)
        self.stopped = False

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.waits.release()
        self.asked.acquire()
        if self.stopped:
            raise _Stopped


@contextmanager
def theirs(job: Job) -> Iterator[Call]:
    """Each call lets Trainer make a step, with all that it does around one, and gives its loss."""
    config = job.config
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=1,
            max_steps=len(job.windows),
            learning_rate=config.peak_lr,
            lr_scheduler_type="constant",
            adam_beta1=config.beta1,
            adam_beta2=config.beta2,
            adam_epsilon=config.eps,
            max_grad_norm=config.clip_norm or 0.0,
            bf16=config.dtype == "bfloat16",
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            use_cpu=config.device == "cpu",
            disable_tqdm=True,
            train_sampling_strategy="sequential",
            remove_unused_columns=False,
        )
        model = LlamaForCausalLM._from_config(job.architecture, attn_implementation="sdpa", dtype=torch.float32)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(job.read(name))
        if config.activation_checkpointing != "none":
            # The name it has in newer transformers, and in older ones.
            enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
            enable({"use_reentrant": False})
        # labels are what Trainer counts items by; shift_labels are the targets, one for every input token.
        items = [{"input_ids": row[:-1], "labels": row[1:], "shift_labels": row[1:]} for (row,) in job.windows]
        turns, failures = _Turns(), []
        trainer = Trainer(model=model, args=arguments, train_dataset=items, callbacks=[turns])
        trainer.remove_callback(PrinterCallback)

        def work() -> None:
            try:
                trainer.train()
            except Exception as error:
                failures.append(error)
            turns.waits.release()

        def step() -> list[float]:
            turns.asked.release()
            turns.waits.acquire()
            if failures:
                raise failures[0]
            return [line["loss"] for line in trainer.state.log_history if "loss" in line][-1:]

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        turns.waits.acquire()
        try:
            yield step
        finally:
            turns.stopped = True
            turns.asked.release()
            thread.join()


def once(who: str, tokens: int, activation_checkpointing: str = "none") -> None:
    """Two steps, for their memory."""
    job = smollm2(tokens, 2, activation_checkpointing)
    with ExitStack() as stack:
        if who == "theirs":
            step = stack.enter_context(theirs(job))
        else:
            step = ours(job, stack.enter_context(process_group("cpu")))
        for _ in job.windows:
            step()


def rows() -> Iterator[Row]:
    for tokens, (turns, ways) in CASES.items():
        what = f"training step, {CONFIG.model}, {tokens} tokens"
        jobs = {way: smollm2(tokens, 1 + turns, way) for way in ways}
        with theirs(jobs["none"]) as trainer, process_group("cpu") as device:
            steps = {way: ours(job, device) for way, job in jobs.items()}
            seconds = race({"theirs": trainer} | steps, repeats=turns, at_least=0)
            del steps
        weighed = peak_gib("experiments.bench_training", "once", "theirs", tokens)
        for way in ways:
            named = what if way == "none" else f"{what}, {way} activation checkpointing"
            yield faster(named, TRAINER, seconds[way], seconds["theirs"], aim=FASTER_AIMS[way])
            peak = peak_gib("experiments.bench_training", "once", "ours", tokens, way)
            yield leaner(named, TRAINER, peak, weighed, aim=LEANER_AIMS[way])
