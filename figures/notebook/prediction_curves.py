"""Draws what the theory predicts of scaling methods, from `experiments.measurement.predictions.prediction_curves`."""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from figures.style import METHOD_STYLES, PAGE, panel


def draw_predictions(curves: dict[str, Any]) -> Figure:
    """Draws (a) the reach of every method by its factor, and (b) what it leaves of the sharpest bends.

    Args:
        curves: what `experiments.measurement.predictions.prediction_curves.predictions` returns.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.9))
    factors, window = curves["factors"], curves["window"]
    for name, (label, style) in METHOD_STYLES.items():
        line = {**style, "marker": ""}
        left.loglog(factors, [float("nan") if r is None else r for r in curves["reach_tokens"][name]], **line)
        right.loglog(factors, curves["kept"][name], label=label, **line)
    left.loglog(factors, [factor * window for factor in factors], color="0.7", lw=3, zorder=0)
    left.annotate("asked for", (factors[-1], factors[-1] * window), fontsize=7, color="0.4", ha="right", va="bottom")
    unlimited = all(tokens is None for tokens in curves["reach_tokens"]["none"])
    left.set_ylabel("tokens before a phase is new")
    panel(left, "a", "reach" + ": no limit, all phases were trained" * unlimited)
    right.set_ylabel("bend's cap, of the trained one")
    panel(right, "b", "resolution of a head with equal |h|")
    for axes in (left, right):
        axes.set_xlabel("factor")
        axes.set_xlim(1, factors[-1])
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower center", ncols=6)
    figure.suptitle(f"d = {curves['head_dim']}, c = {curves['base']:g}, L = {window}", fontsize=8)
    return figure
