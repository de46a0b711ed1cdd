"""The loss of each method rises where its slow frequencies leave the phases that training showed.

(a) The loss of each token over that of the unextended model that reads only recent tokens, mean over held-out
documents, by position; the tick on each curve is the reach that is predicted from the configuration alone. (b) For
every method and factor, the position from which on the loss stays above its level inside the window, against the
predicted reach; open marks are SmolLM2-135M. On the line both are equal.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from experiments.records.record import Record, read
from figures.style import COLUMN, METHOD_STYLES, PAGE, model_name, panel

CLAIMS = ("reach.linear", "reach.ntk", "reach.ntk.promise", "reach.turns")
_FACTOR = 4
_OTHER = "smollm2_reach"


def draw() -> Figure:
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 3.0), width_ratios=(1.4, 1))
    record = read("tiny_reach")
    _curves(left, record)
    panel(left, "a", f"{model_name(record['config'])}, factor {_FACTOR}")
    _onsets(right, record, filled=True)
    _onsets(right, read(_OTHER), filled=False)
    low, high = 0.8 * min(right.get_xlim()[0], right.get_ylim()[0]), 1.2 * right.get_ylim()[1]
    right.plot([low, high], [low, high], color="0.6", lw=0.6, zorder=0)
    right.set(xlim=(low, high), ylim=(low, high), xlabel="predicted reach (tokens)", ylabel="loss rises at (tokens)")
    panel(right, "b", "all methods and factors")
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure


def teaser() -> Figure:
    """The curves alone."""
    figure, axes = plt.subplots(figsize=(COLUMN, 2.3))
    _curves(axes, read("tiny_reach"))
    figure.legend(loc="outside lower center", ncols=3, columnspacing=1)
    return figure


def _curves(axes: Axes, record: Record) -> None:
    bucket, window = record["config"]["bucket"], record["metrics"]["model"]["window_tokens"]
    longest = record["config"]["read"] * _FACTOR * window
    for curve in record["metrics"]["curves"]:
        if curve["factor"] == _FACTOR or curve["method"] == "none":
            label, style = METHOD_STYLES[curve["method"]]
            position = bucket * (np.arange(len(curve["excess"])) + 0.5)
            shown = position <= longest
            excess = np.array(curve["excess"])
            axes.plot(position[shown], excess[shown], label=label, **(style | {"marker": ""}))
            if curve["reach_tokens"] is not None:
                at = np.interp(curve["reach_tokens"], position, excess)
                axes.plot(curve["reach_tokens"], at, marker="|", ms=14, mew=1.6, color=style["color"])
    axes.set_xscale("log", base=2)
    ticks = [window * 2**k for k in range(-1, 3) if window * 2**k <= longest]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlabel("position (tokens)")
    axes.set_ylabel("loss over reading recent tokens (nats)")


def _onsets(axes: Axes, record: Record, *, filled: bool) -> None:
    for curve in record["metrics"]["curves"]:
        if curve["onset"] is not None and curve["reach_tokens"] is not None:
            style = METHOD_STYLES[curve["method"]][1]
            face = style["color"] if filled else "none"
            axes.plot(curve["reach_tokens"], curve["onset"], ls="", marker=style["marker"], ms=5,
                      mec=style["color"], mfc=face)  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ScalarFormatter())
