"""PI trained on plain windows of the model's old length, to be held against `tiny_tables`, which trains at length L'.

PI puts the tokens of a short window at distances that are fractions, which pretraining never saw, so that a model may
get used to the finer grid without ever reading far. A step has as many tokens as there, in eight windows of 256 at
every factor. Stopped at any time, the same command goes on.
"""

from typing import Any

from experiments.measurement.pinned_inputs import tiny_llama_and_corpora
from experiments.measurement.processes import processes_here
from experiments.measurement.training.fine_tuning import LENGTHS, TOY, Run, measured_runs
from experiments.records.study import Study
from experiments.studies.tiny_tables import STUDY as TABLES


def run(config: dict[str, Any], *, processes: int | None = None, progress: bool = True) -> dict[str, Any]:
    """What `measured_runs` gives; an interrupted run goes on."""
    runs = [Run("linear", factor, config["peak_lr"], seed) for seed in config["seeds"] for factor in config["factors"]]
    return measured_runs(config, runs, "tiny_short_windows", processes=processes or processes_here(), progress=progress)


STUDY = Study(
    name="tiny_short_windows",
    says="The tiny LLaMA is extended by PI and trained on windows of its old length, for a thousand steps",
    config={
        **{
            name: value for name, value in TABLES.config.items() if name not in ("methods", "other_methods", "peak_lrs")
        },
        "peak_lr": 3e-4,
        "seeds": [0],
        "sequence_tokens": TABLES.config["window_tokens"],  # of a training window, at every factor
        "steps": [100, 400, 1000],
    },
    run=run,
    inputs=tiny_llama_and_corpora,
    window=TABLES.window,
    lengths=(*LENGTHS, "sequence_tokens"),
    live=False,
    profiles={"paper": TABLES.profiles["paper"] | {"seeds": [0]}, "toy": TOY | {"factors": [2], "seeds": [0]}},
    minutes=90,
)
