"""Perplexity at the extended window against fine-tuning steps, PI and direct, by factor and learning rate.

Beside them, on axes of its own, what the paper's Table 3 has for LLaMA 7B.
"""

import json

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, NullLocator

from experiments.records.record import ROOT, read
from figures.plots.run_grid import grid_of_runs, steps_axis, style

PAPER = ROOT / "experiments" / "paper_tables.json"
WINDOW_7B = 2048
EXPERIMENTS = ("longer_steps", "adaptation")


def draw() -> Figure:
    record = read("tiny_sweep")
    corpus = next(iter(record["config"]["corpora"]))
    figure, grid = grid_of_runs(
        record,
        lambda entry, window: entry["perplexity"][corpus][str(window)]["perplexity"],
        scale="log",
        extra_columns=1,
    )
    for row in grid:
        row[0].yaxis.set_major_formatter(LogFormatter(labelOnlyBase=False))
        row[0].yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(2, 0.5)))
    table = json.loads(PAPER.read_text())["table3_pg19_by_step_7B_PI"]
    factors = sorted({run["factor"] for run in record["metrics"]["runs"]})
    for axes, factor in zip(grid[:, -1], factors, strict=True):
        _paper(axes, table["steps"], table.get(str(factor * WINDOW_7B)), factor)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    figure.supylabel(f"perplexity, {corpus}", fontsize=8)
    return figure


def _paper(axes: Axes, steps: list[int], perplexity: list[float] | None, factor: int) -> None:
    axes.set_title("paper: LLaMA 7B", color="0.4")
    if perplexity is None:
        axes.axis("off")
        axes.text(0.5, 0.5, f"no ×{factor}\nin its Table 3", ha="center", va="center", color="0.4", fontsize=7)
        return
    axes.semilogy(steps, perplexity, **style("linear"))
    steps_axis(axes, [0, 200, 1000])
    ends = [perplexity[0], perplexity[-1]]
    axes.set_yticks(ends, [str(value) for value in ends])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.tick_right()
    axes.spines[["left"]].set_visible(False)
    axes.spines[["right"]].set_visible(True)
    axes.set_xlabel(f"steps, window {factor * WINDOW_7B}")
