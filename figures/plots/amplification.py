"""The worst head at each position: linear interpolation alone stays near 1, at every size of coefficients drawn."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from experiments.records.record import read
from figures.style import METHOD_STYLES, PAGE, panel

CLAIMS = ("extrapolation.thousandfold", "methods.share_stability")


def draw() -> Figure:
    record = read("amplification")
    config, curves = record["config"], record["metrics"]["curves"]
    figure, grid = plt.subplots(1, len(config["hmax"]), figsize=(PAGE, 2.5), sharey=True)
    for axes, letter, hmax in zip(grid, "abcdef", config["hmax"], strict=False):
        for curve in (c for c in curves if c["hmax"] == hmax):
            label, style = METHOD_STYLES[curve["method"]]
            positions, bounds = np.array(curve["positions"]), np.array(curve["upper_bound"])
            whole = positions == np.round(positions)  # what a model asks for
            axes.semilogy(positions[whole], bounds[whole], lw=0.8, label=label, **style)
        axes.axvline(config["window"], color="0.5", lw=0.6, ls="--")
        panel(axes, letter, rf"$|\mathrm{{Re}}\,h_j|, |\mathrm{{Im}}\,h_j| \leq {hmax:g}$")
        axes.set_xlabel("relative position s")
        axes.set_xlim(0, config["factor"] * config["window"])
    grid[0].set_ylabel("largest score (trained: at most 1)")
    grid[0].annotate(
        f"L = {config['window']}", (config["window"], 0.97), xycoords=("data", "axes fraction"), xytext=(3, 0),
        textcoords="offset points", va="top", fontsize=7, color="0.3",
    )  # fmt: skip
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=6)
    return figure
