"""Scaling methods beside PI on the tiny LLaMA: without fine-tuning, and fine-tuned for equally many steps."""

from typing import Any

from experiments.measurement.pinned_inputs import tiny_llama_and_corpora
from experiments.measurement.processes import processes_here
from experiments.measurement.training.fine_tuning import LENGTHS, MEASURED, TOY, Run, measured_runs
from experiments.records.study import Study


def run(config: dict[str, Any], *, processes: int | None = None, progress: bool = True) -> dict[str, Any]:
    """Each method's first and last measurement; an interrupted run goes on where it stopped.

    Returns:
        ``methods[method]``: {factor, zero_shot, fine_tuned, steps}, the two as entries of a curve of
        `measured_runs`, whose ``model``, ``steps_tokens``, ``base`` and ``resumed`` are there too.
    """
    runs = [Run(method, config["factor"], config["peak_lr"], config["seed"]) for method in config["methods"]]
    made = measured_runs(config, runs, "tiny_methods", processes=processes or processes_here(), progress=progress)
    made["methods"] = {
        run["method"]: {
            "factor": run["factor"],
            "zero_shot": run["curve"][0],
            "fine_tuned": run["curve"][-1],
            "steps": run["curve"][-1]["step"],
        }
        for run in made.pop("runs")
    }
    return made


def conclusion(metrics: dict[str, Any]) -> str:
    """The perplexity of each method at the longest window, before and after the steps."""
    said = []
    for method, found in metrics["methods"].items():
        corpus, rows = next(iter(found["zero_shot"]["perplexity"].items()))
        window = max(map(int, rows))
        values = [found[when]["perplexity"][corpus][str(window)]["perplexity"] for when in ("zero_shot", "fine_tuned")]
        said.append(f"{method} {values[0]:.1f}, {values[1]:.1f}")
    steps = next(iter(metrics["methods"].values()))["steps"]
    return (
        f"perplexity of {metrics['model']['name']} on {corpus} at {window} tokens, untrained and after {steps} steps: "
        + "; ".join(said)
    )


STUDY = Study(
    name="tiny_methods",
    says="PI, NTK-aware, dynamic NTK and YaRN scaling of the tiny LLaMA are compared without fine-tuning "
    "and after equally many steps",
    config={
        **MEASURED,
        "factor": 4,
        "methods": ["none", "linear", "ntk", "dynamic", "yarn"],
        "peak_lr": 1e-3,  # tiny_sweep has others: in so few steps PI needs a high one
        "seed": 0,
        "steps": [20],
    },
    run=run,
    inputs=tiny_llama_and_corpora,
    window=MEASURED["window_tokens"],
    lengths=LENGTHS,
    live=False,
    conclusion=conclusion,
    profiles={"toy": TOY | {"factor": 2}},
    minutes=2.5,
)
