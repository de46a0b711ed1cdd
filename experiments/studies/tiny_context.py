"""What the tiny LLaMA gains from more context, as trained and extended by PI, before fine-tuning and after.

`smollm2_context` asks the same of a larger model that was not fine-tuned. Here two models are fine-tuned to four times
the window first, by PI and directly, and a corpus has more excerpts than texts, so that small gains can be seen.
Stopped at any time, the same command goes on.
"""

import shutil
from typing import Any

from experiments.measurement.context_losses import TEXTS, conclusion, context_losses
from experiments.measurement.kept import brought, study_folder
from experiments.measurement.pinned_inputs import tiny_llama_and_corpora
from experiments.measurement.processes import in_processes, processes_here
from experiments.measurement.training.fine_tuning import MEASURED, Run, fine_tuned
from experiments.records.study import Study


def run(config: dict[str, Any], *, processes: int | None = None, progress: bool = True) -> dict[str, Any]:
    """Fine-tunes config["tuned"] and measures them beside config["models"].

    Returns:
        What `context_losses` gives, where a fine-tuned model also has its ``steps``; and ``resumed``, whether part of
        it was kept from an earlier start, which the wall time leaves out.
    """
    folder = brought(study_folder("tiny_context", config))
    resumed = folder.exists()
    runs = [Run(one["method"], one["factor"], config["peak_lr"], config["seed"]) for one in config["tuned"]]
    folders = in_processes(
        [(fine_tuned, config, one, config["steps"], folder / one.name) for one in runs],
        processes or processes_here(),
        preload=fine_tuned.__module__,
        progress=progress,
    )
    # Their folders are extended already, and where they lie is nothing for a record.
    tuned = [
        {"name": one["name"], "method": "none", "factor": 1.0, "model": str(model)}
        for one, model in zip(config["tuned"], folders, strict=True)
    ]
    made = context_losses(config | {"models": [*config["models"], *tuned]}, folder / "measured", progress=progress)
    for one, asked in zip(made["models"][-len(tuned) :], config["tuned"], strict=True):
        del one["model"]
        one |= asked | {"steps": config["steps"]}
    shutil.rmtree(folder)
    return made | {"resumed": resumed}


STUDY = Study(
    name="tiny_context",
    says="The loss of the same tokens is measured by how many tokens the tiny LLaMA sees before them, as trained and "
    "extended x4 by PI, before fine-tuning and after",
    config={
        **{key: MEASURED[key] for key in ("model", "window_tokens", "warmup_steps", "mixture", "split")},
        "models": [
            {"name": "untouched", "method": "none", "factor": 1.0},
            {"name": "PI ×4, not tuned", "method": "linear", "factor": 4},
        ],
        "tuned": [
            {"name": "PI ×4", "method": "linear", "factor": 4},
            {"name": "direct ×4", "method": "none", "factor": 4},
        ],
        "steps": 400,
        "steps_tokens": 2048,
        "peak_lr": 3e-4,  # at which both are near their end by then, see tiny_tables
        "contexts": [64, 128, 256, 512, 1024],  # read up to the end of each text, the scored tokens included
        "last_tokens": 32,  # that are scored
        "passage_tokens": 16,  # of each passage that is repeated
        "corpora": TEXTS,
        "texts": 96,  # excerpts of each corpus
        "seed": 0,
        "dtype": "float32",
    },
    run=run,
    inputs=tiny_llama_and_corpora,
    window=MEASURED["window_tokens"],
    lengths=("window_tokens", "steps_tokens", "contexts", "last_tokens", "passage_tokens"),
    live=False,
    conclusion=conclusion,
    minutes=30,
    profiles={
        "toy": {
            "steps_tokens": 1024,
            "warmup_steps": 1,
            "steps": 2,
            "contexts": [64, 256, 1024],
            "corpora": {name: TEXTS[name] for name in ("packages", "far repeats")},
            "texts": 2,
        }
    },
)
