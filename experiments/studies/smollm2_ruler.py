"""Four tasks of RULER (Hsieh et al. 2024) inside the window of SmolLM2-135M: as trained, and extended without training.

The paper's Table 5 asks what an extension costs on tasks that fit into the old window. These four make their items
offline, to a length in tokens, and need more than the last sentence. The untouched tokenizer counts the tokens and
every model reads at most the untouched window, so that all get the same prompts and are compared item by item. The
harness makes 500 items of each task, length and model before it asks the first, which takes minutes. Twenty items tell
a collapse from a small loss; that at most two points are lost can be shown with 137 or more.
"""

import shutil
from importlib.metadata import version
from typing import Any

from experiments.measurement.compared_models import (
    UNTRAINED,
    compared_model,
    comparison_folder,
    tokenizer_and_window,
    weights,
)
from experiments.measurement.pinned_inputs import smollm2_checkpoint
from experiments.records.study import Study
from pi_model.data.documents import tokenizer_sha256
from pi_model.errors import UsageError
from pi_model.evaluation.benchmarks import benchmark, check
from pi_model.models.sources import local_folder

_DECIMALS = 6  # of an item's score, which is a share of few answers


def run(config: dict[str, Any], *, progress: bool = True) -> dict[str, Any]:
    """The score of every item by model, task and length; an interrupted run goes on with the next task and length.

    Returns:
        ``window_tokens``, what the untouched model serves and every model reads at most; ``models``, each an entry of
        config["models"] with ``scores[task][length]``, from 0 to 1 for each item; ``harness``; ``measured_on``, the
        hashes of what was read; and ``resumed``, whether part of it was kept from an earlier start, which the wall time
        then leaves out.
    """
    tasks, lengths = config["tasks"], config["item_tokens"]
    check(tasks, limit=config["limit"], batch_size=config["batch_size"], lengths=lengths)
    tokenizer, window = tokenizer_and_window(config)
    if max(lengths) > window:
        raise UsageError(f"item_tokens: items of {max(lengths)} tokens are longer than the old window of {window}")
    folder = comparison_folder("smollm2_ruler", config)
    resumed = folder.exists()
    models = []
    for number, one in enumerate(config["models"]):
        with compared_model(config, one, tokenizer) as checkpoint:
            found = benchmark(
                checkpoint.model,
                checkpoint.tokenizer,
                tasks,
                context_tokens=window,
                bos=checkpoint.bos_id is not None,
                limit=config["limit"],
                batch_size=config["batch_size"],
                lengths=lengths,
                counted_by=local_folder(config["model"]),
                progress_folder=folder / f"model-{number}",
                progress=progress,
            )
        scores = {
            task: {length: [round(score, _DECIMALS) for score in items] for length, items in one_task.items.items()}
            for task, one_task in found.items()
        }
        models.append({**one, "scores": scores})
    out = {
        "window_tokens": window,
        "models": models,
        "harness": f"lm_eval {version('lm_eval')}",
        "measured_on": {"weights": weights(config), "tokenizer": tokenizer_sha256(tokenizer)},
        "resumed": resumed,
    }
    shutil.rmtree(folder, ignore_errors=True)
    return out


def conclusion(metrics: dict[str, Any]) -> str:
    """The mean score of each model over all items of all tasks and lengths."""
    said = []
    for model in metrics["models"]:
        items = [score for by_length in model["scores"].values() for items in by_length.values() for score in items]
        said.append(f"{model['name']} {100 * sum(items) / len(items):.1f}%")
    return f"mean score of all items: {', '.join(said)}"


STUDY = Study(
    name="smollm2_ruler",
    says="Four tasks of RULER inside the old window are measured on SmolLM2-135M as trained and extended x2 by PI and "
    "YaRN, without fine-tuning",
    config={
        "model": "smollm2-135m",
        "models": UNTRAINED,
        "tasks": ["niah_single_1", "niah_multikey_2", "ruler_vt", "ruler_fwe"],
        "item_tokens": [4096, 8192],
        "limit": 20,  # items of each task and length
        "batch_size": 1,
        "dtype": "bfloat16",
    },
    run=run,
    inputs=smollm2_checkpoint,
    window=8192,
    lengths=("item_tokens",),
    live=False,
    conclusion=conclusion,
    minutes=240,
    profiles={
        "gpu": {"device": "cuda", "limit": 200, "batch_size": 8},
        "toy": {"tasks": ["niah_single_1"], "item_tokens": [256], "limit": 2},
    },
)
