"""The tiny LLaMA pretrained anew, each time on twice as many tokens, and held against the one that is shipped.

    python -m experiments tiny_pretrain --profile gpu --minutes 8     # as far as the time takes it; again: it goes on

Its books are few and are soon read many times over, so that more tokens need not help: the best length is chosen on the
validation works, and what is said of it is measured on the test works. The candidate is left in
``build/tiny-llama-candidate``. Nothing is shipped by itself: the study's conclusion says which of the two is better,
and what to do about it.
"""

import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from experiments.measurement.budget import UNLIMITED, Budget
from experiments.measurement.kept import Measured, kept, study_folder
from experiments.measurement.pinned_inputs import tiny_llama_and_corpora
from experiments.measurement.training.fine_tuning import MEASURED, about, perplexities, retrieval
from experiments.measurement.training.pretraining import pretraining_recipe, take_tokenizer
from experiments.records.record import ROOT
from experiments.records.study import Study
from pi_model.errors import RunError
from pi_model.files import new_folder, sha256_file
from pi_model.models.sources import local_folder
from pi_model.training.loop import train
from pi_model.training.recipes import pretrain_tiny

CANDIDATE = ROOT / "build" / "tiny-llama-candidate"

_RULE = (
    "better: lower perplexity at the trained window on every corpus of test works, and a passkey found at least as far"
)
# Left for what cannot be interrupted: a training step and its checkpoint.
_RESERVE_SECONDS = 15


def run(config: dict[str, Any], *, budget: Budget = UNLIMITED) -> dict[str, Any]:
    """Pretrains on each of ``config["tokens"]``, as far as the budget allows.

    Returns:
        ``model``, `about` the shipped one; ``shipped``, its measurement; ``candidates``, for each length that was
        reached a measurement with {tokens, steps, training_seconds, device}; ``chosen``, the tokens of the candidate
        that is best on the validation works; ``sha256`` of its weights; ``better``, whether it is better than the
        shipped one by ``rule``; ``not_measured``, the lengths that were not reached; ``stopped_early``; ``resumed``,
        whether part was kept from an earlier start.

        A measurement is {validation, test, k_max, accuracy[k]}, the first two perplexity[corpus][window].

    Raises:
        RunError: the time was over before the first length was; what there is of it is kept.
    """
    folder = study_folder("tiny_pretrain", config)
    resumed = folder.exists()
    found: list[Measured] = []
    with budget.stops(reserve_seconds=_RESERVE_SECONDS):
        shipped = kept(folder / "shipped.json", partial(_measured, config, local_folder(config["model"])))
        for tokens in config["tokens"]:
            out = folder / str(tokens)
            found.append(kept(out / "measured.json", partial(_trained, config, tokens, out / "run")))
    if not found:
        raise RunError("the time was over before a model was trained; give more, or the same again to go on")
    window = str(config["window_tokens"])
    chosen = min(found, key=lambda one: sum(rows[window]["loss_nats"] for rows in one["validation"].values()))
    weights = _leave(folder / str(chosen["tokens"]) / "run" / "model")
    not_measured = config["tokens"][len(found) :]
    if not not_measured:
        shutil.rmtree(folder)
    return {
        "model": about(config),
        "shipped": shipped,
        "candidates": found,
        "chosen": chosen["tokens"],
        "sha256": weights,
        "better": better(chosen, shipped, config["window_tokens"]),
        "rule": _RULE,
        "not_measured": not_measured,
        "stopped_early": bool(not_measured),
        "resumed": resumed,
    }


def better(candidate: Measured, shipped: Measured, window: int) -> bool:
    """Whether one measured model is better than another, by `_RULE`."""
    lower = all(
        candidate["test"][corpus][str(window)]["loss_nats"] < rows[str(window)]["loss_nats"]
        for corpus, rows in shipped["test"].items()
    )
    return lower and candidate["k_max"] >= shipped["k_max"]


def _trained(config: dict[str, Any], tokens: int, out: Path) -> Measured:
    recipe = pretraining_recipe(config, tokens)
    take_tokenizer(config["model"], out)
    model = train(recipe, out, progress=True).model
    trained = json.loads((model / "training.json").read_text())
    about_training = {"training_seconds": trained["training_seconds"], "device": trained["environment"]["device"]}
    return {"tokens": tokens, "steps": recipe.steps, **about_training, **_measured(config, model)}


def _measured(config: dict[str, Any], model: Path) -> Measured:
    """The validation works at the trained window alone, which the choice is made at; the test works at every window."""

    def at(split: str, windows: Sequence[int]) -> dict[str, Any]:
        return perplexities(model, config | {"split": split}, config["corpora"], windows)

    return {
        "validation": at("validation", [config["window_tokens"]]),
        "test": at("test", config["windows"]),
        **retrieval(model, config, config["window_tokens"]),
    }


def _leave(model: Path) -> str:
    """Puts a folder where it can be shipped from, and hashes its weights."""
    shutil.rmtree(CANDIDATE, ignore_errors=True)
    with new_folder(CANDIDATE) as folder:
        shutil.copytree(model, folder, dirs_exist_ok=True)
    return sha256_file(CANDIDATE / "model.safetensors")


def conclusion(metrics: dict[str, Any]) -> str:
    """Which of the two models is better and what to do about it, in one line."""
    window = str(metrics["model"]["window_tokens"])
    (chosen,) = (one for one in metrics["candidates"] if one["tokens"] == metrics["chosen"])
    compared = ", ".join(
        f"{corpus} {chosen['test'][corpus][window]['perplexity']:.4g} against {rows[window]['perplexity']:.4g}"
        for corpus, rows in metrics["shipped"]["test"].items()
    )
    line = f"test perplexity {compared}; k_max {chosen['k_max']} against {metrics['shipped']['k_max']}"
    if not metrics["better"]:
        return f"the shipped model stays: {line}"
    return (
        f"the candidate of {chosen['tokens']} tokens is better: {line}. To ship it, copy {CANDIDATE} "
        f"over pi_model/tiny_llama and let recipes.pretrain_tiny have its steps ({chosen['steps']}) and batch"
    )


CPU: dict[str, Any] = {
    **{name: value for name, value in MEASURED.items() if name not in ("steps_tokens", "split")},
    "corpora": {"books": 6, "code": 6},
    "windows": [64, 128, 256, 512],
    "tokens": [24_576_000],  # the recipe's own
    "global_batch": pretrain_tiny().global_batch,
    "micro_batch": pretrain_tiny().micro_batch,
    "peak_lr": pretrain_tiny().peak_lr,
    "warmup_steps": pretrain_tiny().warmup_steps,
    "seed": 1,  # the shipped one's is 0
    "dtype": "float32",
    "device": "cpu",
    "checkpoint_every": 100,
}
# So small a model waits for the launch of its kernels: twice the batch takes a step hardly longer.
GPU: dict[str, Any] = {
    "tokens": [24_576_000, 49_152_000, 98_304_000, 196_608_000],
    "global_batch": 32,
    "micro_batch": 32,
    "seed": 0,
    "dtype": "bfloat16",
    "device": "cuda",
    "checkpoint_every": 1000,
}

STUDY = Study(
    name="tiny_pretrain",
    says="The tiny LLaMA is pretrained on more tokens and compared with the shipped one on held-out works",
    config=CPU,
    run=run,
    inputs=tiny_llama_and_corpora,
    live=False,
    conclusion=conclusion,
    minutes=60,
    profiles={"gpu": GPU},
)
