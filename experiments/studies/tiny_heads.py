"""Every head of the tiny LLaMA: its scores on real queries and keys, held against every bound."""

from typing import Any

from experiments.measurement.heads.scores import measure_heads
from experiments.measurement.heads.unextended_model import described, held_out_documents, unextended_model
from experiments.measurement.pinned_inputs import tiny_llama_heads
from experiments.records.study import Study


def run(config: dict[str, Any]) -> dict[str, Any]:
    """What `measure_heads` finds in config["model"], an unextended LLaMA, and ``model`` and ``measured_on``."""
    checkpoint, bounds = unextended_model(config)
    found, measured_on = held_out_documents(checkpoint, config)
    measured = measure_heads(
        checkpoint.model, found, bounds, pairs=config["pairs"], programs=config["programs"], seed=config["seed"]
    )
    return measured | {"model": described(checkpoint, config), "measured_on": measured_on}


def conclusion(metrics: dict[str, Any]) -> str:
    """The verdicts on the model's heads."""
    said = [f"{one['claim']}: {one['verdict']}" for one in metrics["verdicts"]]
    return f"heads of {metrics['model']['name']}: {'; '.join(said)}"


STUDY = Study(
    name="tiny_heads",
    says="The scores of every head of the tiny LLaMA are held against every bound",
    config={
        "model": "tiny-llama",
        "corpora": {"books": 6, "code": 6},  # documents drawn from each
        "split": "test",
        "seed": 0,
        "tokens": 256,  # of each document
        "pairs": 64,  # of query and key, of each draw, each head and each document
        "factor": 8,  # interpolated positions are eighths
        "beyond": [2, 4, 8],  # extrapolation is followed to these multiples of the window
        "programs": 24,
    },
    run=run,
    window=256,
    lengths=("tokens",),
    inputs=tiny_llama_heads,
    conclusion=conclusion,
    minutes=0.3,
    profiles={"toy": {"corpora": {"books": 1, "code": 1}, "pairs": 8, "programs": 2}},
)
