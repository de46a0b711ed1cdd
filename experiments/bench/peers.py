"""Ours beside the code of other projects, which is installed with ``pip install -e .[peers]``.

Training: Position Interpolation of the tiny LLaMA to twice its window, from the same weights on the same windows, by
ours, by Hugging Face Trainer, by TRL's SFTTrainer, and by litgpt's model and loss in a plain loop. Perplexity: the
rolling windows of lm-evaluation-harness, set so that they read and score what ours do. Losses must agree in both.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback

from experiments.bench import training
from experiments.bench.perplexity import model_and_document, ours
from experiments.bench.timing import Row, alone, faster, leaner, race, same
from experiments.bench.training import Clock, Steps, Task, filled, task_of, trainer_arguments
from pi_model.errors import UsageError
from pi_model.evaluation.harness import language_model
from pi_model.evaluation.perplexity import BATCH_TOKENS_CPU
from pi_model.models.families import CausalLM
from pi_model.models.loading import load_checkpoint
from pi_model.models.rope_parameters import read_extension

MODEL = "tiny-llama"
CONFIG = replace(
    training.CONFIG,
    model=MODEL,
    method="linear",
    factor=2,
    window_tokens=256,
    sequence_tokens=None,
    global_batch=8,
    micro_batch=8,
)
TURNS, STEPS = 5, 4  # the first step of a turn is not counted
HARNESS_PACKAGE = "lm_eval"
# Model, tokens of the document, window, stride, turns.
SLIDING = [("tiny-llama", 8192, 256, 64, 5), ("smollm2-135m", 4096, 2048, 512, 2)]


def by_trl(task: Task) -> Steps:
    """TRL's SFTTrainer. It shifts labels itself, so it reads a token more a window than the other ways do."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    config, clock = task.config, Clock(task.config.device)
    items = Dataset.from_list([{"input_ids": row.tolist()} for window in task.windows for row in window])
    with tempfile.TemporaryDirectory() as folder:
        trainer = SFTTrainer(
            model=filled(task.architecture, task.read, config.device),
            args=SFTConfig(
                output_dir=folder,
                max_length=None,
                dataset_kwargs={"skip_prepare_dataset": True},
                **trainer_arguments(config),
            ),
            train_dataset=items,
            processing_class=load_checkpoint(MODEL).tokenizer,
            callbacks=[clock],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock.steps(trainer)


def by_litgpt(task: Task) -> Steps:
    """litgpt's model and its loss in chunks, with torch's fused AdamW and clipping."""
    from litgpt import GPT
    from litgpt import Config as LitConfig
    from litgpt.scripts.convert_hf_checkpoint import copy_weights_hf_llama
    from litgpt.utils import chunked_cross_entropy

    config, shape, done = task.config, task.architecture, Steps([], [])
    lit = LitConfig(
        name=MODEL,
        block_size=config.training_tokens,
        vocab_size=shape.vocab_size,
        padded_vocab_size=shape.vocab_size,
        n_layer=shape.num_hidden_layers,
        n_head=shape.num_attention_heads,
        n_query_groups=shape.num_key_value_heads,
        n_embd=shape.hidden_size,
        rotary_percentage=1.0,
        rope_condense_ratio=round(config.factor),
        rope_base=round(read_extension(shape).base),
        parallel_residual=False,
        bias=False,
        norm_class_name="RMSNorm",
        norm_eps=shape.rms_norm_eps,
        mlp_class_name="LLaMAMLP",
        intermediate_size=shape.intermediate_size,
    )
    weights: dict[str, Any] = {}
    copy_weights_hf_llama(lit, {}, weights, filled(shape, task.read, "cpu").state_dict())
    model = GPT(lit)
    model.load_state_dict(weights)
    if shape.tie_word_embeddings:
        model.lm_head.weight = model.transformer.wte.weight
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=config.peak_lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=True,
    )
    for window_BT in task.windows:
        start = time.perf_counter()
        logits = model(window_BT[:, :-1], lm_head_chunk_size=128)
        loss = chunked_cross_entropy(logits, window_BT[:, 1:].contiguous())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm or float("inf"))
        optimizer.step()
        optimizer.zero_grad()
        done.losses.append(loss.item())
        done.seconds.append(time.perf_counter() - start)
    return done


TRAINERS: dict[str, Callable[[Task], Steps]] = {
    "ours": training.ours,
    "transformers": training.theirs,
    "trl": by_trl,
    "litgpt": by_litgpt,
}
NAMES = {"transformers": training.TRAINER, "trl": "TRL's SFTTrainer", "litgpt": "litgpt's model and loss"}


def turn(who: str, steps: int) -> dict[str, list[float]]:
    """Trains in this process by a way of `TRAINERS`, for `alone`; the fields of `Steps`."""
    return asdict(TRAINERS[who](task_of(replace(CONFIG, steps=steps))))


def by_harness(model: CausalLM, ids: np.ndarray, window: int, stride: int) -> list[float]:
    """The mean loss in nats with a sliding window, by lm-evaluation-harness.

    Its windows hold the tokens that are read, of which the last one predicts a token after them, and stand behind a
    prefix token. So they are one shorter than ours, and the document's first token is that prefix.
    """
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    tokenizer, batch = load_checkpoint(MODEL).tokenizer, max(1, BATCH_TOKENS_CPU // window)
    harness = language_model(model, tokenizer, window - 1, bos=False, batch_size=batch)
    first, *rest = (int(one) for one in ids)
    pieces = get_rolling_token_windows(rest, first, window - 1, window - stride)
    requests = [(("", ""), *make_disjoint_window(piece)) for piece in pieces]
    found = harness._loglikelihood_tokens(requests, disable_tqdm=True)
    return [-sum(nats for nats, _ in found) / len(rest)]


def rows() -> Iterator[Row]:
    """How many times as fast ours is as each of the others, and which share of their peak memory it takes.

    Raises:
        UsageError: A package is not installed.
    """
    if missing := [package for package in (*NAMES, HARNESS_PACKAGE) if find_spec(package) is None]:
        raise UsageError(f"peers: {', '.join(missing)} not installed; run pip install -e '.[dev,peers]'")
    seconds: dict[str, list[float]] = {who: [] for who in TRAINERS}
    peaks: dict[str, list[float]] = {who: [] for who in TRAINERS}
    for number in range(TURNS):
        losses = {}
        for who in list(TRAINERS)[:: -1 if number % 2 else 1]:
            done, peak = alone("experiments.bench.peers", "turn", who, STEPS)
            seconds[who].append(statistics.median(done["seconds"][1:]))
            peaks[who].append(peak)
            losses[who] = done["losses"]
        same(losses)
    what = f"training step, {MODEL}, {CONFIG.global_batch} windows of {CONFIG.training_tokens} tokens"
    for package, name in NAMES.items():
        beside = f"{name}, {version(package)}"
        yield faster(what, beside, {"ours": seconds["ours"], "theirs": seconds[package]})
        yield leaner(what, beside, peaks["ours"], peaks[package])
    beside = f"lm-evaluation-harness, {version(HARNESS_PACKAGE)}, on the same windows"
    for name, tokens, window, stride, turns in SLIDING:
        case = (*model_and_document(name, tokens), window, stride)
        found = race({"ours": partial(ours, *case), "theirs": partial(by_harness, *case)}, repeats=turns)
        yield faster(f"perplexity, {name}, window {window}, stride {stride}", beside, found)
