"""Perplexity of the tiny LLaMA by window: as trained, and fine-tuned to each longer one by PI and directly."""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, NullLocator

from experiments.record import Record, read
from figures.fine_tuning import LABELS, style
from figures.style import BLACK, PAGE, panel

_LINES = {2: ":", 4: "--", 8: "-"}


def draw() -> Figure:
    record = read("tiny_tables")
    config, metrics = record["config"], record["metrics"]
    corpora = list(config["corpora"])
    figure, grid = plt.subplots(1, len(corpora), figsize=(PAGE, 2.6), squeeze=False)
    for axes, letter, corpus in zip(grid[0], "abcd", corpora, strict=False):
        _curves(axes, record, corpus)
        axes.axvline(metrics["model"]["window_tokens"], color="0.5", lw=0.6, ls="--")
        axes.set_xticks(config["windows"], [str(window) for window in config["windows"]])
        axes.xaxis.set_minor_locator(NullLocator())
        for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(2, 0.5)))
        axes.set_xlabel("window (tokens)")
        panel(axes, letter, f"{corpus}, {max(config['steps'])} steps at {config['peak_lr']:g}")
    grid[0][0].set_ylabel("perplexity")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _curves(axes: Axes, record: Record, corpus: str) -> None:
    base = record["metrics"]["base"]["perplexity"][corpus]
    axes.loglog(*_points(base), color=BLACK, marker="v", label="as trained")
    seed = record["config"]["seeds"][0]
    for method, label in LABELS.items():
        for factor in sorted(record["config"]["factors"]):
            (curve,) = [
                run["curve"]
                for run in record["metrics"]["runs"]
                if (run["method"], run["factor"], run["seed"]) == (method, factor, seed)
            ]
            look = style(method) | {"ls": _LINES.get(factor, "-.")}
            axes.loglog(*_points(curve[-1]["perplexity"][corpus]), label=f"{label} ×{factor}", **look)


def _points(by_window: dict[str, dict[str, float]]) -> tuple[list[int], list[float]]:
    return [int(window) for window in by_window], [row["perplexity"] for row in by_window.values()]
