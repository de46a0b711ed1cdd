"""After a thousand steps both ways predict their whole new window, and both have lost a little in the old one.

A tiny LLaMA as trained, and fine-tuned for each factor by PI and directly: perplexity by window, as means over seeds
with their standard deviation as bars. The dashed line is the trained window.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from figures.plots.run_grid import LABELS, style
from figures.style import BLACK, PAGE, log_perplexity, panel
from figures.verdicts import fine_tuning_runs as runs
from figures.verdicts.fine_tuning_runs import Evaluation, Runs, read_runs

_LINES = {2: ":", 4: "--", 8: "-"}
EXPERIMENTS = ("table1_books", "table2_code")


def draw() -> Figure:
    tuned = read_runs("tiny_tables")
    config, corpora = tuned.record["config"], tuned.corpora
    best = sorted({group.peak_lr for group in tuned.best()})
    rates = f"rate{'s' * (len(best) > 1)} {', '.join(f'{rate:g}' for rate in best)}"
    figure, grid = plt.subplots(1, len(corpora), figsize=(PAGE, 2.6), squeeze=False)
    for axes, letter, corpus in zip(grid[0], "abcd", corpora, strict=False):
        _curves(axes, tuned, corpus)
        axes.axvline(tuned.window, color="0.5", lw=0.6, ls="--")
        axes.set_xticks(config["windows"], [str(window) for window in config["windows"]])
        axes.xaxis.set_minor_locator(NullLocator())
        log_perplexity(axes)
        axes.set_xlabel("window (tokens)")
        panel(axes, letter, f"{corpus}, {max(config['steps'])} steps, {rates}, {tuned.seeds}")
    grid[0][0].set_ylabel("perplexity")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _curves(axes: Axes, tuned: Runs, corpus: str) -> None:
    axes.set_xscale("log")
    _curve(axes, [tuned.base], corpus, color=BLACK, marker="v", label="as trained")
    for group in tuned.best():
        look = style(group.method) | {"ls": _LINES.get(round(group.factor), "-.")}
        _curve(axes, group.last(), corpus, label=f"{LABELS[group.method]} ×{group.factor:g}", **look)


def _curve(axes: Axes, evaluations: Sequence[Evaluation], corpus: str, **look: Any) -> None:
    """The mean over seeds, and their standard deviation as bars."""
    windows = runs.windows(evaluations, corpus)
    found = [value for window in windows if (value := runs.value(evaluations, corpus, window)) is not None]
    axes.errorbar(
        windows, [one.perplexity for one in found], [one.spread or 0 for one in found], elinewidth=0.6, **look
    )
