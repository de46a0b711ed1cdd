"""Draws one head's scores beside every bound, from the curves of `experiments.measurement.heads.curves`."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures.style import BLACK, BLUE, GREEN, METHOD_STYLES, ORANGE, PAGE, PURPLE, RED, panel


def draw(curves: dict[str, Any], title: str) -> Figure:
    """Draws (a) the score by distance, (b) its size beside its bounds, and (c) how far it is from the line.

    Args:
        curves: what `experiments.measurement.heads.curves.head_curves` returns.
        title: which head and which tokens these are.
    """
    figure, grid = plt.subplot_mosaic([["a", "a"], ["b", "c"]], figsize=(PAGE, 5.0), height_ratios=[1, 1.1])
    window = curves["window_tokens"]
    s = np.array(curves["positions"])
    far, near = s >= window, s < window
    score, interpolated = np.array(curves["extrapolated"]), np.array(curves["interpolated"])
    parts = [
        (near, score, "trained", BLACK),
        (far, score, "extrapolated, a(s)", METHOD_STYLES["none"][1]["color"]),
        (s >= 0, interpolated, f"interpolated, a(s/{curves['factor']})", METHOD_STYLES["linear"][1]["color"]),
    ]
    for where, values, label, color in parts:
        grid["a"].plot(s[where], values[where], color=color, lw=0.7, label=label)
        grid["b"].semilogy(s[where], np.abs(values[where]), color=color, lw=0.5)
    grid["a"].plot(
        curves["distance"], score[curves["distance"]], ls="", marker="o", mfc="white", color=BLACK,
        label=f"this pair, {curves['distance']} apart",
    )  # fmt: skip
    grid["a"].set_ylabel("score a(s)")
    panel(grid["a"], "a", title)

    grid["b"].semilogy(s, curves["eq8_last"], color=PURPLE, ls=":", label="2 max|h| B(s) (Eq. 8)")
    grid["b"].semilogy(s, curves["eq8_first"], color=ORANGE, ls=":", label=r"max|h$_j$ - h$_{j+1}$| B(s) (Eq. 8)")
    grid["b"].axhline(curves["trivial"], color="0.4", ls="--", lw=0.8, label="(d/2) max|h|")
    grid["b"].axhline(curves["sum"], color=GREEN, ls="--", lw=0.8, label="sum|h|")
    grid["b"].axhline(curves["stability"], color=BLACK, lw=0.8, label="sec(1/2) max trained |a|")
    grid["b"].set_ylim(bottom=1e-2 * curves["trained"])
    grid["b"].set_ylabel("|a(s)|")
    panel(grid["b"], "b", "size, and its bounds")
    for letter in "ab":
        grid[letter].axvline(window, color="0.5", lw=0.6, ls="--")
        grid[letter].set_xlim(0, curves["factor"] * window)
        grid[letter].set_xlabel("distance s")

    grid["c"].plot(curves["midpoints"], curves["errors"], ls="", marker=".", ms=2, color=BLUE, label="this pair")
    for name, color, style in (("Taylor", GREEN, "-."), ("sharp", BLUE, "-"), ("published", RED, "--")):
        grid["c"].axhline(curves[name.lower()], color=color, ls=style, lw=0.8, label=name)
    grid["c"].set_ylim(bottom=0)
    grid["c"].set_ylabel(r"$|a - a_\mathrm{lin}|$")
    grid["c"].set_xlabel("distance s, halfway between integers")
    panel(grid["c"], "c", "distance from the line, and its bounds")
    for letter, columns in (("a", 4), ("b", 2), ("c", 2)):
        grid[letter].legend(loc="upper center", bbox_to_anchor=(0.5, -0.25), ncols=columns)
    return figure
