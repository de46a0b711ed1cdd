"""Tables 1 to 4 with the tiny LLaMA: PI and direct fine-tuning at equal steps, by window and by step."""

from typing import Any

from experiments.measurement.adaptation import adaptation
from experiments.measurement.fine_tuning import LENGTHS, MEASURED, TOY, Run, measured_runs
from experiments.measurement.pinned_inputs import tiny_llama_and_corpora
from experiments.measurement.processes import processes_here
from experiments.records.study import Study


def run(config: dict[str, Any], *, processes: int | None = None, progress: bool = True) -> dict[str, Any]:
    """What `measured_runs` gives, and ``adaptation``, where the paper's claim holds; an interrupted run goes on."""
    runs = [
        Run(method, factor, config["peak_lr"], seed)
        for factor in config["factors"]
        for method in config["methods"]
        for seed in config["seeds"]
    ]
    made = measured_runs(config, runs, "tiny_tables", processes=processes or processes_here(), progress=progress)
    first = next(iter(config["corpora"]))
    return made | {"adaptation": adaptation(made["runs"], made["base"], config["window_tokens"], corpus=first)}


STUDY = Study(
    name="tiny_tables",
    says="The tiny LLaMA is extended by PI and by direct fine-tuning, and compared in perplexity and "
    "passkey retrieval at equal steps",
    config={
        **MEASURED,
        "factors": [8, 4, 2],  # the longest first, so that no process is left alone with it
        "methods": ["linear", "none"],
        "peak_lr": 1e-3,  # tiny_sweep has others: in so few steps PI needs a high one
        "seeds": [0],
        "steps": [8, 40],
    },
    run=run,
    inputs=tiny_llama_and_corpora,
    window=MEASURED["window_tokens"],
    lengths=LENGTHS,
    live=False,
    profiles={"toy": TOY | {"factors": [2]}},
    minutes=5,
)
