"""Positions beyond the window are unseen in training; divided by the factor, all of them fall inside it.

One of RoPE's rotating features by the position that it is given, as in the paper's Fig. 1: computed, not measured.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from experiments.records.record import read
from figures.style import BLUE, COLUMN, RED, panel


def draw() -> Figure:
    record = read("positions")
    window, factor = record["config"]["window"], record["config"]["factor"]
    metrics = record["metrics"]
    positions = np.array(metrics["positions"])
    seen = positions <= window
    extrapolated, interpolated = np.array(metrics["extrapolated"]), np.array(metrics["interpolated"])
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(COLUMN, 2.9), sharex=True, sharey=True)

    top.plot(positions[seen], extrapolated[seen], color=BLUE, marker="o", label="trained positions")
    top.plot(positions[~seen], extrapolated[~seen], color=RED, ls=":", marker="x", label="unseen positions")
    panel(top, "a", f"extrapolation: positions 0 to {factor * window:.0f} as they are")
    top.legend(loc="upper right")

    scaled = positions / factor
    bottom.plot(scaled, interpolated, color=BLUE, lw=0.8)
    even, odd = slice(0, None, 2), slice(1, None, 2)
    bottom.plot(scaled[even], interpolated[even], color=BLUE, ls="", marker="o", label="trained positions")
    bottom.plot(
        scaled[odd], interpolated[odd], color=BLUE, ls="", marker="o", mfc="white", label="between trained positions"
    )
    panel(bottom, "b", f"interpolation: the same positions divided by {factor:g}")
    bottom.legend(loc="upper right")
    bottom.set_xlabel("position given to RoPE")
    for axes in (top, bottom):
        axes.axvline(window, color="0.5", lw=0.6, ls="--")
        axes.set_ylabel(rf"$\cos(s\,\theta_{{{record['config']['feature']}}})$")
        axes.set_ylim(-1.15, 1.6)
    top.annotate(
        f"L = {window}", (window, 1.4), xytext=(-3, 0), textcoords="offset points", ha="right", color="0.3", fontsize=7
    )
    return figure
