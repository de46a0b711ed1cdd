"""No run finds a passkey from the whole new window; mostly PI finds it farther back than direct fine-tuning.

A tiny LLaMA: the farthest distance from which a passkey is found by fine-tuning step, as means over seeds with their
range shaded; a row for each factor, a column for each peak learning rate. The dashed line is the trained window.
"""

from matplotlib.figure import Figure

from figures.plots.run_grid import grid_of_runs
from figures.verdicts.fine_tuning_runs import read_runs

EXPERIMENTS = ("table4_kmax", "adaptation")


def draw() -> Figure:
    tuned = read_runs("tiny_sweep")
    trained = tuned.window
    figure, grid = grid_of_runs(tuned, lambda one, _: one.k_max or 0)
    for row, factor in zip(grid, tuned.factors, strict=True):
        for axes in row:
            axes.axhline(trained, color="0.5", lw=0.6, ls="--")
            axes.set_ylim(-0.05 * factor * trained, 1.1 * factor * trained)
        row[0].set_yticks(sorted({0, trained, factor * trained // 2, factor * trained}))
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    figure.supylabel(r"$k_{\max}$ (tokens)", fontsize=8)
    return figure
