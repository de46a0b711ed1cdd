"""Whether the lag of direct fine-tuning grows with the model's own pretraining.

The paper's direct fine-tuning adapts far later than PI, and its models were pretrained on a trillion tokens and more;
the shipped tiny LLaMA was on 25 million. So one pretraining run is stopped at a fifth, half and all of its tokens, and
each of the three models is extended by 4 both ways. The learning rate stays constant after its warm-up, so that a model
on the way is what a run of that length would have given. Stopped at any time, the same command goes on. On another
machine it does so only with the folders of the models and of their pretraining beside what was measured.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.measurement.kept import brought, study_folder
from experiments.measurement.pinned_inputs import tiny_llama_and_corpora
from experiments.measurement.processes import processes_here
from experiments.measurement.training.fine_tuning import LENGTHS, MEASURED, TOY, Run, runs_kept_in
from experiments.measurement.training.pretraining import pretraining_recipe, take_tokenizer
from experiments.records.study import Study
from pi_model.files import new_folder, sha256_file
from pi_model.training.loop import train
from pi_model.training.recipes import pretrain_tiny


def run(config: dict[str, Any], *, processes: int | None = None, progress: bool = True) -> dict[str, Any]:
    """Pretrains to each of the tokens in config["pretraining"], and extends and measures the model of that moment.

    Returns:
        ``models``, by rising tokens, each with ``tokens`` that it was pretrained on, ``sha256`` of its weights, and
        what `runs_kept_in` gives; and ``resumed``, whether part was kept from an earlier start, which the wall time
        leaves out.
    """
    folder = brought(study_folder("tiny_lag", config))
    resumed = folder.exists()
    runs = [
        Run(method, config["factor"], config["peak_lr"], seed)
        for seed in config["seeds"]
        for method in config["methods"]
    ]
    models = []
    for tokens in sorted(config["pretraining"]["tokens"]):
        model = pretrained(config, tokens, folder, progress=progress)
        of_model = config | {"model": str(model)}
        tuned = runs_kept_in(
            folder / str(tokens), of_model, runs, processes=processes or processes_here(), progress=progress
        )
        models.append({"tokens": tokens, "sha256": sha256_file(model / "model.safetensors"), **tuned})
    shutil.rmtree(folder)
    return {"models": models, "resumed": resumed}


def pretrained(config: dict[str, Any], tokens: int, folder: Path, *, progress: bool) -> Path:
    """The folder of the model after so many tokens, which lies in the study's; the run goes on from the one before."""
    model = folder / f"{Path(config['model']).name}-{tokens}"
    if not model.exists():
        out = folder / "pretraining"
        # A schedule that falls towards its end would have to know where a run is stopped.
        recipe = replace(pretraining_recipe(config | config["pretraining"], tokens), decay="constant")
        take_tokenizer(config["model"], out)
        exported = train(recipe, out, progress=progress).model  # gone once the run goes on
        with new_folder(model) as copy:
            shutil.copytree(exported, copy, dirs_exist_ok=True)
    return model


PRETRAINING: dict[str, Any] = {
    "tokens": [1_966_080, 4_915_200, 9_830_400],  # a fifth, half and all of 2400 steps
    "global_batch": pretrain_tiny().global_batch,
    "micro_batch": pretrain_tiny().micro_batch,
    "peak_lr": pretrain_tiny().peak_lr,
    "warmup_steps": pretrain_tiny().warmup_steps,
    "seed": 0,
    "dtype": "float32",
    "device": "cpu",
    "checkpoint_every": 100,
}

STUDY = Study(
    name="tiny_lag",
    says="The tiny LLaMA is pretrained anew, and at a fifth, half and all of its tokens extended by PI and by direct "
    "fine-tuning",
    config={
        **MEASURED,
        "pretraining": PRETRAINING,
        "steps_tokens": 2048,
        "corpora": {"books": 24},
        "windows": [256, 512, 1024],
        "trials": 10,
        "factor": 4,
        "methods": ["linear", "none"],
        "peak_lr": 3e-4,  # of fine-tuning, as in tiny_tables
        "seeds": [0],
        "steps": [25, 50, 100, 200, 400],
    },
    run=run,
    inputs=tiny_llama_and_corpora,
    window=MEASURED["window_tokens"],
    lengths=LENGTHS,
    live=False,
    profiles={
        "toy": TOY
        | {
            "corpora": {"books": 1},
            "factor": 2,
            "seeds": [0],
            "pretraining": PRETRAINING | {"tokens": [512, 1024], "global_batch": 2, "micro_batch": 2},
        }
    },
    minutes=90,
)
