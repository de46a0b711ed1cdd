"""The loss of each method rises where its slow frequencies leave the phases that training showed, or a little later.

(a, b) The loss of each token over that of the unextended model that reads only recent tokens, mean over held-out
documents, by position; the tick on each curve is the reach that is predicted from the configuration alone. (c) For
every method and factor, the position from which on the loss stays above its level inside the window, against the
predicted reach; on the line both are equal. The cross at the top is SmolLM2-135M as it was trained; extended, its loss
does not rise for good in what was read.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from experiments.records.record import Record, read
from figures.style import COLUMN, METHOD_STYLES, PAGE, model_name, panel

CLAIMS = ("reach.linear", "reach.ntk", "bloc97.promise", "peng2023.turns")
_STUDIES = {"tiny_reach": 4, "smollm2_reach": 2}  # with the factor whose curves are drawn


def draw() -> Figure:
    figure, grid = plt.subplots(1, 3, figsize=(PAGE, 2.8), width_ratios=(1.2, 1.2, 1))
    *curves, onsets = grid
    for axes, letter, (study, factor) in zip(curves, "ab", _STUDIES.items(), strict=True):
        record = read(study)
        _curves(axes, record, factor)
        panel(axes, letter, f"{model_name(record['config'])}, factor {factor}")
        _onsets(onsets, record)
    curves[0].set_ylabel("loss over reading recent tokens (nats)")
    low, high = 0.8 * min(onsets.get_xlim()[0], onsets.get_ylim()[0]), 1.2 * onsets.get_ylim()[1]
    onsets.plot([low, high], [low, high], color="0.6", lw=0.6, zorder=0)
    onsets.set(xlim=(low, high), ylim=(low, high), xlabel="predicted reach (tokens)", ylabel="loss rises at (tokens)")
    panel(onsets, "c", "all methods and factors")
    figure.legend(*curves[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure


def teaser() -> Figure:
    """The curves alone."""
    figure, axes = plt.subplots(figsize=(COLUMN, 2.3))
    study, factor = next(iter(_STUDIES.items()))
    _curves(axes, read(study), factor)
    axes.set_ylabel("loss over reading\nrecent tokens (nats)")
    figure.legend(loc="outside lower center", ncols=3, columnspacing=1)
    return figure


def _curves(axes: Axes, record: Record, factor: float) -> None:
    bucket, window = record["config"]["bucket"], record["metrics"]["model"]["window_tokens"]
    longest = record["config"]["read"] * factor * window
    for curve in record["metrics"]["curves"]:
        if curve["factor"] == factor or curve["method"] == "none":
            label, style = METHOD_STYLES[curve["method"]]
            position = bucket * (np.arange(len(curve["excess"])) + 0.5)
            shown = position <= longest
            excess = np.array(curve["excess"])
            axes.plot(position[shown], excess[shown], label=label, **(style | {"marker": ""}))
            if curve["reach_tokens"] is not None:
                at = np.interp(curve["reach_tokens"], position, excess)
                axes.plot(curve["reach_tokens"], at, marker="|", ms=14, mew=1.6, color=style["color"])
    axes.set_xticks([window * n for n in range(1 + int(longest / window))])
    axes.set_xlabel("position (tokens)")


def _onsets(axes: Axes, record: Record) -> None:
    for curve in record["metrics"]["curves"]:
        if curve["onset"] is not None and curve["reach_tokens"] is not None:
            style = METHOD_STYLES[curve["method"]][1]
            axes.plot(curve["reach_tokens"], curve["onset"], **(style | {"ls": "", "ms": 5}))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(ScalarFormatter())
