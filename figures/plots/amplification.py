"""Only linear interpolation keeps the score of every head near 1, but at its last distances; no other scaling does.

For each way to reach twice the window: the largest score at each distance among all heads whose scores are at most 1
at the trained distances and whose coefficients are at most H in size. Every value is certified. PI as published ends
beyond the last trained distance; PI by (L' - 1)/(L - 1) does not. These are worst heads, not trained ones.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.records.record import Record, read
from figures.style import BLUE, COLUMN, METHOD_STYLES, PAGE, panel

CLAIMS = ("extrapolation.thousandfold", "methods.share_stability", "pi.worst", "pi.whole")
_STYLES = METHOD_STYLES | {
    "whole": ("linear by (L'-1)/(L-1)", {"color": BLUE, "ls": ":", "marker": "+"}),
}


def draw() -> Figure:
    record = read("amplification")
    config = record["config"]
    figure, grid = plt.subplots(1, len(config["hmax"]), figsize=(PAGE, 2.5), sharey=True)
    for axes, letter, hmax in zip(grid, "abcdef", config["hmax"], strict=False):
        _curves(axes, record, hmax)
        panel(axes, letter, rf"$|\mathrm{{Re}}\,h_j|, |\mathrm{{Im}}\,h_j| \leq {hmax:g}$")
    grid[0].set_ylabel("largest score (trained: at most 1)")
    grid[0].annotate(
        f"L = {config['window']}", (config["window"] - 1, 0.97), xycoords=("data", "axes fraction"), xytext=(3, 0),
        textcoords="offset points", va="top", fontsize=7, color="0.3",
    )  # fmt: skip
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=7)
    return figure


def teaser() -> Figure:
    """The panel with the smallest coefficients alone."""
    record = read("amplification")
    figure, axes = plt.subplots(figsize=(COLUMN, 2.3))
    _curves(axes, record, record["config"]["hmax"][0])
    axes.set_ylabel("largest score (trained: at most 1)")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _curves(axes: Axes, record: Record, hmax: float) -> None:
    """The largest scores at whole distances, which are what a model asks for."""
    config = record["config"]
    for curve in (c for c in record["metrics"]["curves"] if c["hmax"] == hmax):
        label, style = _STYLES[curve["method"]]
        positions, bounds = np.array(curve["positions"]), np.array(curve["upper_bound"])
        whole = positions == np.round(positions)
        axes.semilogy(positions[whole], bounds[whole], lw=0.8, label=label, **style)
    axes.axvline(config["window"] - 1, color="0.5", lw=0.6, ls="--")
    axes.set_xlabel("distance s")
    axes.set_xlim(0, config["factor"] * config["window"] - 1)
