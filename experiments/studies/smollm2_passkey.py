"""Passkey retrieval of SmolLM2-135M, without fine-tuning: as trained, and extended x2 by PI.

Few keys at few distances, in windows that two cores can pay for: it shows whether retrieval survives interpolation, not
its rate to within ten percent.
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from experiments.records.record import digest
from experiments.records.study import Study
from pi_model.evaluation.passkey import passkey
from pi_model.files import cache_dir
from pi_model.models.extension import extend_checkpoint
from pi_model.models.loading import EMBEDDED, load_checkpoint
from pi_theory.scaling import scaling_by_name


def run(config: dict[str, Any], *, progress: bool = True) -> dict[str, Any]:
    """Accuracy by distance for each context and method; an interrupted run goes on where it stopped.

    Returns:
        ``cases``, a list of {method, context_tokens, k_max, distances, accuracy, trials}; and ``resumed``, whether part
        of it was kept from an earlier start, which the wall time then leaves out.
    """
    progress_folder = cache_dir() / "runs" / f"smollm2_passkey-{digest(config)[:16]}"
    resumed = progress_folder.exists()
    cases = []
    for context in config["contexts"]:
        for method in config["methods"]:
            with TemporaryDirectory() as temporary:
                extended = Path(temporary) / method
                if method != "none":
                    extend_checkpoint(config["model"], scaling_by_name(method, config["factor"]), extended)
                source, device = config["model"] if method == "none" else extended, config.get("device", "cpu")
                checkpoint = load_checkpoint(source, device=device)
                result = passkey(
                    checkpoint.model,
                    checkpoint.tokenizer,
                    context_tokens=context,
                    positions=config["positions"],
                    trials=config["trials"],
                    seed=config["seed"],
                    bos_id=checkpoint.bos_id,
                    progress_folder=progress_folder / method,
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
    shutil.rmtree(progress_folder, ignore_errors=True)
    return {"cases": cases, "resumed": resumed}


def inputs() -> dict[str, str]:
    """The pinned archive that the checkpoint comes from."""
    return {"checkpoint": EMBEDDED["smollm2-135m"][0].sha256}


STUDY = Study(
    name="smollm2_passkey",
    says="Passkey retrieval of SmolLM2-135M as trained and extended x2 by PI, not fine-tuned",
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
    inputs=inputs,
    live=False,
    minutes=15,
    profiles={"gpu": {"device": "cuda", "contexts": [2048, 8192, 16384], "positions": 32, "trials": 10}},
)
