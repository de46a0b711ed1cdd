"""From the untouched model alone, theory chooses the method and settings that lose least, or nearly so.

A dot is a setting of a method at the window that its factor promises: its measured loss over that of the untouched
model, by what is predicted for it from texts inside the window. Hollow dots are YaRN without its temperature, and a
ring is what is chosen at a factor. (a): by the divergence of attention from that with clamped distances, which takes
the temperature for a fault. (b): by the squared change of attention from that to the last L keys, which is how much a
head's output changes where values are uncorrelated. Their rank correlations are over all settings, factors and windows
longer than the trained one. (c): how far each choice, and each method with its default settings, is above the best
measured setting; bars are means and ticks single factors and windows. Linear interpolation, about a nat above, is left
out. The squared change was picked among 115 measures on the documents that the choice reads; losses are
those of other documents.
"""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from experiments.records.record import read
from figures.style import BLACK, METHOD_STYLES, PAGE, RED, model_name, panel

_RULES = {"divergence": "theory: divergence", "squared": "theory: squared change"}
_DEFAULTS = ("dynamic", "yarn", "llama3", "ntk")


def draw() -> Figure:
    record = read("tiny_choice")
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(PAGE, 2.9), width_ratios=(1, 1, 0.9))
    _predicted_against_measured(left, record, "divergence")
    _predicted_against_measured(middle, record, "squared")
    left.set_xlabel("divergence from clamped attention (nats)")
    middle.set_xlabel(r"$\sum_n (p'_n-p_n)^2$ from recent attention")
    left.set_ylabel(f"{model_name(record['config'])}: loss over untouched (nats)")
    found = record["metrics"]["rank_correlation"]
    panel(left, "a", f"divergence: rank correlation {found['divergence']['beyond']['value']:.2f}")
    panel(middle, "b", f"squared change: {found['squared']['beyond']['value']:.2f}")
    handles = dict(zip(*reversed(left.get_legend_handles_labels()), strict=True))
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=8, handletextpad=0, columnspacing=0.8
    )
    _above_the_best(right, record)
    panel(right, "c", "how far above the best")
    return figure


def _predicted_against_measured(axes: Axes, record: dict[str, Any], rule: str) -> None:
    """Every setting of every factor at that multiple of the window, with what the rule chooses."""
    metrics = record["metrics"]
    window = metrics["model"]["window_tokens"]

    def promised(row: dict[str, Any]) -> bool:
        return bool(row["factor"] > 1 and row["window"] == row["factor"] * window)

    for case in filter(promised, metrics["cases"]):
        label, look = METHOD_STYLES[case["method"]]
        hollow = case["settings"].get("temperature", True) is False
        axes.plot(
            case["predicted"][rule],
            _mean(case),
            look["marker"],
            color=look["color"],
            mfc="white" if hollow else look["color"],
            ms=3.5,
            mew=0.7,
            ls="",
            label="YaRN, no temperature" if hollow else label,
        )
    for choice in filter(promised, metrics["choices"]):
        setting = choice["rules"][rule]["setting"]
        chosen = metrics["settings"][setting]
        case = next(
            row
            for row in metrics["cases"]
            if row["window"] == choice["window"] and all(row[key] == chosen[key] for key in chosen)
        )
        where = (case["predicted"][rule], _mean(case))
        axes.plot(*where, "o", mfc="none", mec=RED, ms=10, mew=1.2, ls="", label="chosen")
        axes.annotate(
            f"×{choice['factor']}", where, (0, 7), textcoords="offset points", ha="center", color=RED, fontsize=7
        )
    axes.set(xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_locator(NullLocator())


def _above_the_best(axes: Axes, record: dict[str, Any]) -> None:
    """For each rule and default the nats above the best measured setting, beyond the window."""
    metrics = record["metrics"]
    beyond = [one for one in metrics["choices"] if one["window"] > metrics["model"]["window_tokens"]]
    rules = [*reversed(_RULES), *(name for name in _DEFAULTS if name in beyond[0]["rules"])]
    for place, rule in enumerate(rules):
        above = np.array([one["rules"][rule]["above_best"]["value"] for one in beyond])
        color = RED if rule in _RULES else METHOD_STYLES[rule][1]["color"]
        axes.barh(place, above.mean(), height=0.6, color=color, alpha=0.45)
        axes.plot(above, np.full(len(above), place), "|", color=BLACK, ms=6, mew=0.7)
    names = [_RULES.get(rule) or METHOD_STYLES[rule][0] + ", default" for rule in rules]
    axes.set_yticks(range(len(rules)), [name.replace(": ", ":\n").replace(", ", ",\n") for name in names])
    axes.invert_yaxis()
    axes.set_xlim(left=-0.01)
    axes.set_xlabel("loss above the best setting (nats)")


def _mean(case: dict[str, Any]) -> float:
    """The loss over corpora."""
    return float(np.mean(list(case["above_nats"].values())))
