"""SmolLM2-135M fine-tuned beyond its window: perplexity at the extended window and passkey, by step."""

from collections.abc import Callable
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from experiments.records.record import Record, read
from figures.plots.run_grid import LABELS, steps_axis, style
from figures.style import BLACK, METHOD_STYLES, PAGE, panel

Entry = dict[str, Any]
EXPERIMENTS = ("finetune_smollm2", "finetune_smollm2_kmax")


def draw() -> Figure:
    """A row a factor; a column a corpus, and one for passkey. Methods without fine-tuning are level lines."""
    record = read("smollm2_finetune")
    config, metrics = record["config"], record["metrics"]
    corpora, factors = list(metrics["base"]["perplexity"]), sorted(config["factors"])
    trained = metrics["model"]["window_tokens"]
    size = (PAGE, 1.9 * len(factors) + 0.7)
    figure, grid = plt.subplots(len(factors), len(corpora) + 1, figsize=size, squeeze=False)
    letters = iter("abcdefghijkl")
    for row, factor in zip(grid, factors, strict=True):
        context = factor * trained
        for axes, corpus in zip(row, corpora, strict=False):
            _curves(axes, record, factor, partial(_perplexity, corpus=corpus, window=context))
            axes.axhline(
                _perplexity(metrics["base"], corpus, trained), color=BLACK, lw=0.6, ls=":", label="untouched, at L"
            )
            axes.set_yscale("log")
            for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
                formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(2, 0.5)))
            panel(axes, next(letters), f"{corpus}, perplexity at {context}")
        _curves(row[-1], record, factor, lambda entry: entry["k_max"])
        row[-1].axhline(metrics["base"]["k_max"], color=BLACK, lw=0.6, ls=":")
        row[-1].set_ylim(-0.05 * context, 1.1 * context)
        row[-1].set_yticks([0, trained, context])
        panel(row[-1], next(letters), rf"$k_{{\max}}$ in {context}")
    for axes in grid[-1]:
        axes.set_xlabel("steps")
    handles: dict[str, Any] = {}
    for axes in grid[:, 0]:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3)
    if gaps := _not_measured(metrics):
        figure.suptitle(f"not measured: {gaps}", fontsize=7, color="0.4")
    return figure


def _curves(axes: Axes, record: Record, factor: int, value: Callable[[Entry], float]) -> None:
    """The fine-tuned ones by step, and the others level: from where they are, not how long they trained."""
    metrics, steps = record["metrics"], [0, *record["config"]["steps"]]
    for run in metrics["runs"]:
        if run["factor"] == factor:
            curve = [(entry["step"], value(entry)) for entry in run["curve"]]
            axes.plot(*zip(*curve, strict=True), label=LABELS[run["method"]], **style(run["method"]))
    tuned = {run["method"] for run in metrics["runs"] if run["factor"] == factor}
    for entry in metrics["zero_shot"]:
        if entry["factor"] == factor and entry["method"] not in tuned:
            label, look = METHOD_STYLES[entry["method"]]
            axes.axhline(value(entry), label=f"{label}, not tuned", lw=0.8, color=look["color"], ls=look["ls"])
    steps_axis(axes, steps)


def _perplexity(entry: Entry, corpus: str, window: int) -> float:
    return entry["perplexity"][corpus][str(window)]["perplexity"]


def _not_measured(metrics: dict[str, Any]) -> str:
    return "; ".join(
        f"{LABELS[gap['method']]} ×{gap['factor']:g} at {', '.join(map(str, gap['steps']))} steps"
        for gap in metrics["not_measured"]
    )
