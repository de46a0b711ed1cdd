"""Passkey retrieval of SmolLM2-135M without fine-tuning: as trained, and extended x2 by PI.

There are few keys at few distances, in windows that two cores can pay for. This shows whether retrieval survives
interpolation, and not its rate to within ten percent.
"""

import shutil
from typing import Any

from experiments.measurement.extended_model import extended_model
from experiments.measurement.kept import study_folder
from experiments.measurement.pinned_inputs import smollm2_checkpoint
from experiments.records.study import Study
from pi_model.evaluation.passkey import passkey
from pi_model.models.loading import load_checkpoint


def run(config: dict[str, Any], *, progress: bool = True) -> dict[str, Any]:
    """Accuracy by distance for each context and method; an interrupted run goes on where it stopped.

    Returns:
        ``cases``, a list of {method, context_tokens, k_max, distances, accuracy, trials}; and ``resumed``, whether part
        of it was kept from an earlier start, which the wall time then leaves out.
    """
    folder = study_folder("smollm2_passkey", config)
    resumed = folder.exists()
    cases = []
    for context in config["contexts"]:
        for method in config["methods"]:
            with extended_model(config["model"], method, config["factor"]) as model:
                checkpoint = load_checkpoint(model, device=config.get("device", "cpu"))
                result = passkey(
                    checkpoint.model,
                    checkpoint.tokenizer,
                    context_tokens=context,
                    positions=config["positions"],
                    trials=config["trials"],
                    seed=config["seed"],
                    bos_id=checkpoint.bos_id,
                    progress_folder=folder / method,
                    progress=progress,
                )
            cases.append(
                {
                    "method": method,
                    "context_tokens": context,
                    "k_max": result.k_max,
                    "distances": list(result.distance.values()),
                    "accuracy": list(result.accuracy.values()),
                    "trials": result.trials,
                }
            )
    shutil.rmtree(folder, ignore_errors=True)
    return {"cases": cases, "resumed": resumed}


def conclusion(metrics: dict[str, Any]) -> str:
    """k_max of each case."""
    said = [f"{case['method']} {case['k_max']} of {case['context_tokens']}" for case in metrics["cases"]]
    return f"k_max in tokens: {', '.join(said)}"


STUDY = Study(
    name="smollm2_passkey",
    says="Passkey retrieval of SmolLM2-135M is measured as trained and extended x2 by PI, without fine-tuning",
    config={
        "model": "smollm2-135m",
        "factor": 2.0,
        "methods": ["none", "linear"],
        "contexts": [512, 1024, 2048],
        "positions": 8,
        "trials": 2,
        "seed": 0,
    },
    run=run,
    inputs=smollm2_checkpoint,
    window=8192,
    lengths=("contexts",),
    live=False,
    conclusion=conclusion,
    minutes=15,
    profiles={
        "gpu": {"device": "cuda", "contexts": [2048, 8192, 16384], "positions": 32, "trials": 10},
        "toy": {"contexts": [256], "positions": 2, "trials": 1},
    },
)
