"""Tables 1 to 4 at the paper's number of steps: the tiny LLaMA by PI and by direct fine-tuning, a thousand steps each.

The paper trains 1000 steps, with a warm-up of 20. A step here has 2048 tokens, one window at the largest factor, so
that a run reads 2 million of them, in half an hour of one core. The profile ``paper`` has factor 8 and three seeds.
Rates after the first, and ``other_methods``, are tried with the first seed alone. Stopped at any time, the same
command goes on, and asked for more runs than its record has it makes those that are missing.
"""

from typing import Any

from experiments.measurement.pinned_inputs import tiny_llama_and_corpora
from experiments.measurement.processes import processes_here
from experiments.measurement.training.fine_tuning import LENGTHS, MEASURED, TOY, Run, measured_runs
from experiments.records.study import Study


def run(config: dict[str, Any], *, processes: int | None = None, progress: bool = True) -> dict[str, Any]:
    """What `measured_runs` gives; an interrupted run goes on."""
    runs = [
        Run(method, factor, peak_lr, seed)
        for seed in config["seeds"]
        for peak_lr in config["peak_lrs"][: None if seed == config["seeds"][0] else 1]
        for factor in config["factors"]
        for method in config["methods"]
    ]
    others = config.get("other_methods", ())  # at the best rate; records from before have none
    first_rate, first_seed = config["peak_lrs"][0], config["seeds"][0]
    runs += [Run(method, factor, first_rate, first_seed) for factor in config["factors"] for method in others]
    return measured_runs(config, runs, "tiny_tables", processes=processes or processes_here(), progress=progress)


STUDY = Study(
    name="tiny_tables",
    says="The tiny LLaMA is extended by PI and by direct fine-tuning, a thousand steps each as in the paper, and "
    "compared document by document",
    config={
        **MEASURED,
        "steps_tokens": 2048,
        "corpora": {"books": 24, "code": 24},
        "windows": [256, 512, 1024, 2048],
        "trials": 10,
        "factors": [2, 4],
        "methods": ["linear", "none"],
        "peak_lrs": [1e-4, 3e-4],  # the best of 200 steps is 3e-4, see tiny_sweep, and of a thousand 1e-4
        "seeds": [0, 1],
        "steps": [25, 50, 100, 200, 400, 700, 1000],
    },
    run=run,
    inputs=tiny_llama_and_corpora,
    window=MEASURED["window_tokens"],
    lengths=LENGTHS,
    live=False,
    profiles={
        "paper": {"factors": [2, 4, 8], "seeds": [0, 1, 2]},
        "toy": TOY | {"factors": [2], "peak_lrs": [3e-4], "seeds": [0]},
    },
    minutes=70,
)
