"""PI starts below direct fine-tuning at every factor and rate; at the higher rates both end close together.

A tiny LLaMA: perplexity at the extended window by fine-tuning step, as means over seeds with their range shaded; a
row for each factor, a column for each peak learning rate. On axes of its own, what the paper's Table 3 has for LLaMA
7B.
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from figures.plots.run_grid import grid_of_runs, steps_axis, style
from figures.style import log_perplexity
from figures.tables.paper_cells import paper_numbers
from figures.verdicts.fine_tuning_runs import read_runs

WINDOW_7B = 2048
EXPERIMENTS = ("table3_steps", "adaptation")


def draw() -> Figure:
    tuned = read_runs("tiny_sweep")
    corpus = tuned.corpora[0]
    figure, grid = grid_of_runs(tuned, lambda one, window: one.perplexity(corpus, window), extra_columns=1)
    for row in grid:
        log_perplexity(row[0])
    table = paper_numbers()["table3_pg19_by_step_7B_PI"]
    for axes, factor in zip(grid[:, -1], tuned.factors, strict=True):
        _paper(axes, table["steps"], table.get(f"{factor * WINDOW_7B:g}"), factor)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    figure.supylabel(f"perplexity, {corpus}", fontsize=8)
    return figure


def _paper(axes: Axes, steps: list[int], perplexity: list[float] | None, factor: float) -> None:
    axes.set_title("paper: LLaMA 7B", color="0.4")
    if perplexity is None:
        axes.axis("off")
        axes.text(0.5, 0.5, f"no ×{factor:g}\nin its Table 3", ha="center", va="center", color="0.4", fontsize=7)
        return
    axes.semilogy(steps, perplexity, **style("linear"))
    steps_axis(axes, [0, 200, 1000])
    ends = [perplexity[0], perplexity[-1]]
    axes.set_yticks(ends, [str(value) for value in ends])
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.tick_right()
    axes.spines[["left"]].set_visible(False)
    axes.spines[["right"]].set_visible(True)
    axes.set_xlabel(f"steps, window {factor * WINDOW_7B:g}")
