"""SmolLM2-135M extended from 8192 tokens by PI and by direct fine-tuning, measured on the way: Tables 1 to 4.

    python -m experiments smollm2_finetune --minutes 60     # as far as an hour takes it; again: it goes on from there
    python -m experiments smollm2_finetune --profile gpu --minutes 9

The model is trained on books and code with the paper's optimiser; NTK-aware scaling and YaRN stand beside it without
fine-tuning. One run follows the other, PI first, and each is measured on the way without leaving its process. The
record of a study that stopped early says what is missing. Killed at any moment it goes on: training from its newest
checkpoint, a measurement from its last pass.

On a CPU windows are short and only PI is trained: direct fine-tuning says nothing in windows that the model knows
already, and beyond 8192 tokens a step takes minutes.
"""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from experiments.measurement.budget import UNLIMITED, Budget
from experiments.measurement.extended_model import extended_model
from experiments.measurement.kept import Measured, kept, study_folder
from experiments.measurement.pinned_inputs import smollm2_and_corpora
from experiments.measurement.training.fine_tuning import about, mixture, row
from experiments.records.study import Study
from pi_model.data.documents import Documents, Selection, Source, load_documents
from pi_model.errors import RunError, UsageError
from pi_model.evaluation.passkey import passkey
from pi_model.evaluation.perplexity import truncated_perplexity
from pi_model.models.families import CausalLM
from pi_model.models.loading import Checkpoint, check_folder, load_checkpoint, load_tokenizer
from pi_model.models.rope_parameters import read_extension
from pi_model.models.sources import local_folder
from pi_model.training.config import Config
from pi_model.training.loop import train
from pi_model.training.recipes import smollm2

# Left for what cannot be interrupted: a training step and its checkpoint.
_RESERVE_SECONDS = {"cpu": 90, "cuda": 30}


@dataclass(frozen=True)
class Turn:
    """One measurement: a method after so many steps; 0 is extended and not trained, factor 1 the model as it is."""

    method: str
    factor: int
    step: int

    @property
    def name(self) -> str:
        return f"{self.method}-{self.factor}/step-{self.step}"


def run(config: dict[str, Any], *, budget: Budget = UNLIMITED) -> dict[str, Any]:
    """Curves of perplexity and passkey retrieval by step, as far as the budget allows.

    Returns:
        ``model``, `about` it; ``steps_tokens``; ``base``, the model as it is; ``runs``, a list of {method, factor,
        peak_lr, seed, curve}; ``zero_shot``, of {method, factor} and a measurement; ``measured_on``, the documents;
        ``not_measured``, of {method, factor, steps}; ``stopped_early``, whether the time was over before the end;
        ``resumed``, whether part was kept from an earlier start, which the wall time leaves out.

        A measurement is {step, perplexity[corpus][window], last[corpus][window], k_max, accuracy[k], seconds}:
        perplexity over whole cuts of the documents and over their last tokens, a `row` each; windows and
        k in tokens.

    Raises:
        RunError: the time was over before the first measurement; what there is of it is kept.
    """
    folder = study_folder("smollm2_finetune", config)
    resumed = folder.exists()
    found: dict[Turn, Measured] = {}
    measured_on: dict[str, Any] = {}
    with budget.stops(reserve_seconds=_RESERVE_SECONDS[config["device"]]) as stop:
        measured_on = kept(folder / "measured_on.json", partial(_measured_on, config))
        for turn in _untrained(config):
            found[turn] = kept(folder / f"{turn.name}.json", partial(_as_it_is, config, turn, folder))
        for factor in config["factors"]:
            for method in config["methods"]:
                _train(config, _curve(config, method, factor)[1:], folder, found)
    base = Turn("none", 1, 0)
    if base not in found:
        raise RunError("the time was over before the first measurement; give more, or the same again to go on")
    if not stop.reached:
        shutil.rmtree(folder)
    each = {"peak_lr": config["peak_lr"], "seed": config["seed"]}
    return {
        "model": about(config),
        "steps_tokens": config["steps_tokens"],
        "base": found[base],
        "runs": [
            {"method": method, "factor": factor, **each, "curve": curve}
            for factor in config["factors"]
            for method in config["methods"]
            if (curve := [found[turn] for turn in _curve(config, method, factor) if turn in found])
        ],
        "zero_shot": [
            {"method": turn.method, "factor": turn.factor, **entry}
            for turn, entry in found.items()
            if turn.step == 0 and turn != base
        ],
        "measured_on": measured_on,
        "not_measured": [
            {"method": method, "factor": factor, "steps": steps}
            for factor in config["factors"]
            for method in ("linear", "none")
            if (steps := [turn.step for turn in _curve(config, method, factor) if turn not in found])
        ],
        "stopped_early": stop.reached,
        "resumed": resumed,
    }


def _untrained(config: dict[str, Any]) -> Iterator[Turn]:
    """The model as it is, then every method without fine-tuning."""
    yield Turn("none", 1, 0)
    for factor in config["factors"]:
        for method in dict.fromkeys([*config["methods"], *config["beside"]]):
            yield Turn(method, factor, 0)


def _curve(config: dict[str, Any], method: str, factor: int) -> list[Turn]:
    return [Turn(method, factor, step) for step in (0, *config["steps"])]


def _as_it_is(config: dict[str, Any], turn: Turn, folder: Path) -> Measured:
    """An extended model that is not trained."""
    start = time.perf_counter()
    with extended_model(config["model"], turn.method, turn.factor) as model:
        checkpoint = load_checkpoint(model, dtype=config["dtype"], device=config["device"])
        return _measured(config, turn, checkpoint, folder, since=start)


def _train(config: dict[str, Any], turns: list[Turn], folder: Path, found: dict[Turn, Measured]) -> None:
    """Trains one model to the last of these turns, and adds what it measures at each, or has measured, to `found`."""
    origin = local_folder(config["model"])
    tokenizer = load_tokenizer(origin, check_folder(origin))
    since = time.perf_counter()

    def look(turn: Turn, model: CausalLM) -> None:
        nonlocal since
        checkpoint = Checkpoint(model, tokenizer, read_extension(model.config), origin)
        measure = partial(_measured, config, turn, checkpoint, folder, since=since)
        found[turn] = kept(folder / f"{turn.name}.json", measure)
        since = time.perf_counter()

    if not all((folder / f"{turn.name}.json").exists() for turn in turns):
        last = turns[-1]
        looks = {turn.step: partial(look, turn) for turn in turns}
        train(_recipe(config, last), folder / f"{last.method}-{last.factor}" / "run", progress=True, measure=looks)
    for turn in turns:
        found[turn] = json.loads((folder / f"{turn.name}.json").read_text())


def _measured(config: dict[str, Any], turn: Turn, checkpoint: Checkpoint, folder: Path, *, since: float) -> Measured:
    """Perplexity and passkey retrieval of a model; `since` is when its loading or training began."""
    untouched = turn.method == "none" and turn.step == 0
    # Single passes and keys, by model: the untouched one is measured at every factor from the same passes.
    parts = folder / "parts" / ("untouched" if untouched else turn.name.replace("/", "-"))
    context = turn.factor * config["window_tokens"]
    trained = time.perf_counter()
    windows = [window for window in config["windows"] if untouched or window <= context]
    whole, last = _perplexity(checkpoint, config, windows, parts)
    scored = time.perf_counter()
    found = passkey(
        checkpoint.model,
        checkpoint.tokenizer,
        context_tokens=context,
        positions=config["positions"],
        trials=config["trials"],
        seed=config["seed"],
        bos_id=checkpoint.bos_id,
        progress_folder=parts,
        progress=True,
    )
    seconds = {"training": trained - since, "perplexity": scored - trained, "passkey": time.perf_counter() - scored}
    return {
        "step": turn.step,
        "perplexity": whole,
        "last": last,
        "k_max": found.k_max,
        "accuracy": {str(k): share for k, share in found.accuracy.items()},
        "seconds": seconds,
    }


def _recipe(config: dict[str, Any], turn: Turn) -> Config:
    context = turn.factor * config["window_tokens"]
    windows, left = divmod(config["steps_tokens"], config["sequence_tokens"] or context)
    if left or not windows:
        raise UsageError(f"steps_tokens: {config['steps_tokens']} tokens a step are no whole number of windows")
    fields: dict[str, Any] = {
        "model": str(config["model"]),
        "window_tokens": config["window_tokens"],
        "factor": float(turn.factor),
        "method": turn.method,
        "data": mixture(config),
        "sequence_tokens": config["sequence_tokens"],
        "global_batch": windows,
        "steps": turn.step,
        "keep": 1,
    }
    fields |= {name: config[name] for name in ("seed", "peak_lr", "warmup_steps", "dtype", "device")}
    return replace(smollm2(16384), **fields | config["training"])


def _perplexity(
    checkpoint: Checkpoint, config: dict[str, Any], windows: list[int], parts: Path
) -> tuple[dict[str, Any], ...]:
    """By corpus and window, over whole cuts and over their last tokens, both from the same passes."""
    found: tuple[dict[str, Any], ...] = ({}, {})
    for corpus in config["corpora"]:
        documents = _documents(config, corpus, checkpoint)
        for part, last_tokens in zip(found, (None, config["last_tokens"]), strict=True):
            results = truncated_perplexity(
                checkpoint.model,
                documents.tokens,
                windows=windows,
                last_tokens=last_tokens,
                bos_id=checkpoint.bos_id,
                names=documents.names,
                progress_folder=parts / corpus.replace("/", "-"),
                progress=True,
            )
            part[corpus] = {str(result.window): row(result) for result in results}
    return found


def _documents(config: dict[str, Any], corpus: str, checkpoint: Checkpoint) -> Documents:
    """The same at every window: long enough for the longest."""
    longest = max(config["windows"])
    selection = Selection(longest, longest, config["corpora"][corpus], config["documents_seed"])
    return load_documents(Source(corpus, split=config["split"]), checkpoint.tokenizer, selection)


def _measured_on(config: dict[str, Any]) -> dict[str, Any]:
    checkpoint = load_checkpoint(config["model"])
    documents = {corpus: _documents(config, corpus, checkpoint) for corpus in config["corpora"]}
    return {corpus: {"documents": list(found.names), "sha256": found.sha256} for corpus, found in documents.items()}


# About forty minutes on two cores: a step 25 seconds, a pass of 16384 tokens 60, a row of passkeys two minutes.
CPU: dict[str, Any] = {
    "model": "smollm2-135m",
    "window_tokens": 8192,
    "factors": [2],
    "methods": ["linear"],
    "beside": ["none", "yarn"],  # without fine-tuning only
    "steps": [10, 20],
    "steps_tokens": 4096,  # of one optimiser step
    "sequence_tokens": 4096,  # None: L', the paper's way
    "mixture": {corpus.name: corpus.weight for corpus in smollm2(16384).data},  # what is trained on, by weight
    "peak_lr": 1e-4,  # the paper's 2e-5 is for 7B, and for a thousand steps of 500,000 tokens
    "warmup_steps": 5,  # the paper warms up over 20 of 1000
    "seed": 0,  # of the order of the data, and of the keys
    "dtype": "float32",
    "device": "cpu",
    "training": {"checkpoint_every": 5, "activation_checkpointing": "selective"},  # further fields of the recipe
    "windows": [2048, 8192, 16384],
    "corpora": {"books": 1, "code": 1},  # documents of each, to measure on
    "split": "test",
    "documents_seed": 0,
    "last_tokens": 256,
    "positions": 2,
    "trials": 1,
}
# Nine minutes of one H100 have to do for both runs. A window of 16384 tokens costs a training step 1.3e13 operations in
# products and 3.2e13 in attention; four windows a step, two hundred steps and two runs make 7e16, or five minutes at
# 0.25 PFLOP/s. The paper has half a million to two million tokens a step.
GPU: dict[str, Any] = {
    "methods": ["linear", "none"],
    "beside": ["ntk", "yarn"],
    "steps": [25, 50, 100, 200],
    "steps_tokens": 65536,
    "sequence_tokens": None,
    "peak_lr": 2e-4,
    "warmup_steps": 20,
    "dtype": "bfloat16",
    "device": "cuda",
    "training": {"checkpoint_every": 200, "activation_checkpointing": "none", "compile": True},
    "windows": [2048, 4096, 8192, 12288, 16384],
    "corpora": {"books": 8, "code": 8},
    "positions": 16,
    "trials": 3,
}
GPU_X4: dict[str, Any] = GPU | {"factors": [4], "windows": [2048, 4096, 8192, 16384, 32768]}
TOY: dict[str, Any] = {
    "model": "tiny-llama",
    "window_tokens": 256,
    "methods": ["linear", "none"],
    "beside": ["ntk", "yarn"],
    "steps": [1, 2],
    "steps_tokens": 512,
    "sequence_tokens": None,
    "warmup_steps": 1,
    "windows": [64, 256, 512],
    "last_tokens": 32,
}

STUDY = Study(
    name="smollm2_finetune",
    says="SmolLM2-135M is extended by PI and by direct fine-tuning, and measured by perplexity and "
    "passkey retrieval step by step",
    config=CPU,
    run=run,
    inputs=smollm2_and_corpora,
    live=False,
    minutes=70,
    # gpu-slow is for GPUs that need more than a fifth of a second for a window.
    profiles={"gpu": GPU, "gpu-slow": GPU | {"steps_tokens": 32768}, "gpu-x4": GPU_X4, "toy": TOY},
)
