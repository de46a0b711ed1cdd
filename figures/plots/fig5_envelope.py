"""B(s)/d stays above 1 on the range that the paper draws, and falls below 1 soon after it.

B(s) bounds how large a score can get (Eq. 8). Samples lie in an envelope that is certified in ball arithmetic, at the
head dimension and base of LLaMA; each panel names its certified minimum, the right one also the first crossing.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from experiments.records.record import Record, read
from figures.style import BLUE, PAGE, RED, panel

CLAIMS = ("chen2023.fig5", "chen2023.fig5.beyond")


def draw(record: Record | None = None) -> Figure:
    """The study's record, or another with the same keys."""
    record = read("envelope") if record is None else record
    config = record["config"]
    figure, grid = plt.subplots(1, 2, figsize=(PAGE, 2.5), sharey=True)
    for axes, letter, part in zip(grid, "ab", record["metrics"]["ranges"], strict=True):
        edges = np.array(part["edges"])
        axes.fill_between(
            edges, [*part["lower"], part["lower"][-1]], [*part["upper"], part["upper"][-1]],
            step="post", color="0.75", lw=0, label="certified envelope",
        )  # fmt: skip
        axes.plot(part["positions"], part["samples"], color=BLUE, lw=0.4, label="B(s)/d", rasterized=True)
        axes.axhline(1, color=RED, lw=0.8, ls="--")
        lowest = part["minimum"]
        axes.plot(lowest["argmin"], lowest["value"]["upper"], ls="", marker="v", color="k", ms=4)
        axes.annotate(
            f"min {lowest['value']['lower']:.5f}\nat s = {lowest['argmin']:.1f}",
            (lowest["argmin"], lowest["value"]["lower"]), xytext=(0, -5), textcoords="offset points",
            ha="center", va="top", fontsize=7,
        )  # fmt: skip
        if part["first_below"] is not None:
            s = part["first_below"]["upper"]
            axes.plot(s, 1, ls="", marker="o", ms=4, mfc="white", color=RED)
            axes.annotate(
                f"B = d first at\ns = {s:.4f}", (s, 1), xytext=(s, 0.24), fontsize=7, ha="center",
                arrowprops={"arrowstyle": "-", "lw": 0.5, "color": RED},
            )  # fmt: skip
        panel(axes, letter, f"0 to {part['upto']}")
        axes.set_xlim(0, part["upto"])
        axes.set_xlabel("relative position s")
    grid[0].set_yscale("log")
    grid[0].set_ylim(bottom=0.2)
    ticks = (0.2, 0.5, 1, 2, 5, 10, 20)
    grid[0].set_yticks(ticks, [str(tick) for tick in ticks])
    grid[0].set_ylabel(rf"$B(s)/d$,  $d={config['head_dim']}$, $c={config['base']}$")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure
