"""Where the paper's picture holds on the tiny LLaMA: PI and direct fine-tuning by learning rate, factor and step.

The paper's own learning rate is 2e-5, for 7B and 13B. There are two seeds at factor 4 and one each at 2 and 8: 24 runs
of 200 steps, which take about 5000 core seconds in all (one AVX-512 core, float32). Stopped at any time, the same
command goes on.
"""

from typing import Any

from experiments.measurement.pinned_inputs import tiny_llama_and_corpora
from experiments.measurement.processes import processes_here
from experiments.measurement.training.adaptation import adaptation
from experiments.measurement.training.fine_tuning import LENGTHS, MEASURED, TOY, Run, measured_runs
from experiments.records.study import Study


def run(config: dict[str, Any], *, processes: int | None = None, progress: bool = True) -> dict[str, Any]:
    """What `measured_runs` gives, and ``adaptation``, where the paper's claim holds; an interrupted run goes on."""
    runs = [
        Run(method, int(factor), peak_lr, seed)
        for factor, seeds in config["seeds_by_factor"].items()
        for seed in range(seeds)
        for peak_lr in config["peak_lrs"]
        for method in config["methods"]
    ]
    made = measured_runs(config, runs, "tiny_sweep", processes=processes or processes_here(), progress=progress)
    first = next(iter(config["corpora"]))
    return made | {"adaptation": adaptation(made["runs"], made["base"], config["window_tokens"], corpus=first)}


STUDY = Study(
    name="tiny_sweep",
    says="PI and direct fine-tuning of the tiny LLaMA are compared over learning rates, factors and steps",
    config={
        **MEASURED,
        "corpora": {"books": 6, "code": 6},
        "seeds_by_factor": {"4": 2, "2": 1, "8": 1},
        "methods": ["linear", "none"],
        "peak_lrs": [2e-5, 3e-4, 1e-3],
        "steps": [10, 25, 50, 100, 200],
    },
    run=run,
    inputs=tiny_llama_and_corpora,
    window=MEASURED["window_tokens"],
    lengths=LENGTHS,
    live=False,
    profiles={
        "all": {"seeds_by_factor": {"4": 3, "2": 3, "8": 3}, "peak_lrs": [2e-5, 1e-4, 3e-4, 1e-3]},
        "toy": TOY | {"seeds_by_factor": {"2": 1}, "peak_lrs": [1e-3]},
    },
    minutes=45,
)
