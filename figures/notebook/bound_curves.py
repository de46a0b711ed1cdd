"""Draws the bounds at settings of one's choice, from the curves of `experiments.measurement.bound_curves`."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from figures.style import BLACK, BLUE, GREEN, METHOD_STYLES, ORANGE, PAGE, PURPLE, RED, panel


def draw_interpolation(curves: dict[str, Any]) -> Figure:
    """Draws (a) the bounds of the error between two positions, and (b) for which head dimensions Theorem 2.1 holds.

    Args:
        curves: what `experiments.measurement.bound_curves.interpolation` returns.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.6))
    s = curves["positions"]
    left.plot(s, curves["taylor"], color=GREEN, ls="-.", label="Taylor (holds)")
    left.plot(s, curves["sharp"], color=BLUE, label="sharp (holds, attained)")
    holds = curves["margin"] <= 1
    left.plot(s, curves["published"], color=RED, ls="--", label=f"published ({'holds' if holds else 'refuted'} here)")
    left.plot(s, curves["counterexample"], color=BLACK, ls=":", label="error of the worst head at s = 1/2")
    left.set_ylim(0, 1.45 * max(curves["taylor"] + curves["published"]))
    left.set_xlabel("position s between two trained ones")
    left.set_ylabel(r"$|a(s) - a_\mathrm{lin}(s)|$, $\max|h_j| = 1$")
    left.legend(loc="upper left", ncols=2)
    panel(left, "a", f"d = {curves['head_dim']}, c = {curves['base']:g}")

    right.semilogx(curves["head_dims"], curves["margins"], color=BLUE)
    right.axhline(1, color=RED, lw=0.8, ls="--")
    right.plot(curves["head_dim"], curves["margin"], ls="", marker="o", color=BLACK)
    right.annotate(
        f"d = {curves['head_dim']}: {curves['margin']:.4f}", (curves["head_dim"], curves["margin"]), xytext=(0, 24),
        textcoords="offset points", fontsize=7,
    )  # fmt: skip
    smallest = curves["smallest_valid_head_dim"]
    right.plot(smallest, 1, ls="", marker="o", mfc="white", color=RED)
    right.annotate(
        f"holds from\nd = {smallest} on", (smallest, 1), xytext=(0, 8), textcoords="offset points", fontsize=7,
        ha="right",
    )  # fmt: skip
    right.set_xlabel("head dimension d")
    right.set_ylabel("largest error / published bound")
    right.set_ylim(bottom=0)
    panel(right, "b", f"Theorem 2.1 at c = {curves['base']:g}")
    return figure


def draw_scores(curves: dict[str, Any]) -> Figure:
    """Draws (a) the head that extrapolates worst, and (b) the largest score of any head beside its bounds.

    Args:
        curves: what `experiments.measurement.bound_curves.scores` returns.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 3.1))
    (none, extrapolated), (name, scaled) = METHOD_STYLES["none"], METHOD_STYLES[curves["method"]]
    window = curves["window_tokens"]
    s = np.array(curves["curve_positions"])
    head = np.array(curves["head_extrapolated"])
    left.plot(s[s < window], head[s < window], color=BLACK, lw=0.5, label="trained")
    left.plot(s[s >= window], head[s >= window], color=extrapolated["color"], lw=0.5, label=none)
    left.plot(s, curves["head_scaled"], color=scaled["color"], lw=0.5, label=name)
    left.set_yscale("symlog", linthresh=2, linscale=0.7)
    left.set_ylabel("score a(s)")
    panel(left, "a", "one head, the worst to extrapolate")

    dense, s = curves["curve_positions"], curves["positions"]
    right.semilogy(dense, curves["eq8"], color=PURPLE, ls=":", label="Eq. 8, 2 max|h| B(s)")
    right.axhline(curves["trivial"], color="0.4", ls="--", lw=0.8, label="(d/2) max|h|")
    right.semilogy(s, curves["extrapolated"], label=f"largest, {none}", **extrapolated)
    if curves["method"] == "linear":
        right.semilogy(dense, curves["window"], color=ORANGE, ls="-.", label="finite-window theorem at s / factor")
    right.semilogy(s, curves["scaled"], label=f"largest, {name}", **scaled)
    right.axhline(curves["stability_constant"], color=BLACK, lw=0.6, label="sec(1/2) = 1.1395")
    right.set_ylabel("|a(s)|, trained: at most 1")
    panel(right, "b", "all heads: largest score and its bounds")
    for axes in (left, right):
        axes.axvline(window, color="0.5", lw=0.6, ls="--")
        axes.set_xlabel("relative position s")
        axes.set_xlim(0, curves["factor"] * window - 1)
    left.legend(loc="upper left")
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.suptitle(
        f"d = {curves['head_dim']}, c = {curves['base']:g}, L = {window}, factor {curves['factor']:g}, "
        f"H = {curves['hmax']:g}",
        fontsize=8,
    )
    return figure
