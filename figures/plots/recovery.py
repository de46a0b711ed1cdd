"""A hundred steps of PI give back most of the loss and little of the bends: heads point by slopes of scores instead.

A tiny LLaMA by fine-tuning step, beside the untouched model on the same held-out texts. (a) What the quarter of heads
that pointed most sharply have of their bends and slopes in the untouched model: medians, with intervals over documents
shaded, a thin line for a second seed; dotted, what PI leaves of either at most before training, by the theory. A bend
sets one distance above both its neighbours, a slope only above one of them. (b) How far attention is from the untouched
model's, and the loss above it; a path follows a run, with its steps. (c) Where attention lies inside the trained
window, mean over all heads, and of the head that pointed most sharply. (d) The loss by position; vertical lines are how
far phases stay trained before fine-tuning, by the theory, which says nothing of trained heads.
"""

from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from experiments.records.record import Record, read
from figures.plots.run_grid import LABELS, steps_axis, style
from figures.style import BLACK, BLUE, COLUMN, GREEN, ORANGE, PAGE, PURPLE, RED, model_name, panel

_SHADES = ("0.8", BLACK, RED, ORANGE, GREEN, BLUE, PURPLE)  # of the classes of keys, the first token first
_TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2)


def draw() -> Figure:
    record = read("tiny_recovery")
    figure, ((kept, paths), (shares, loss)) = plt.subplots(2, 2, figsize=(PAGE, 5.4))
    factor = record["config"]["runs"][0]["factor"]
    _kept(kept, record)
    panel(kept, "a", f"{model_name(record['config'])}, ×{factor:g}: what sharp heads have left")
    _paths(paths, record)
    panel(paths, "b", "how far attention is moved, and what is lost")
    _shares(shares, record)
    panel(shares, "c", "where attention lies")
    _loss(loss, record)
    panel(loss, "d", "loss by position, before and after")
    return figure


def teaser() -> Figure:
    """The first panel alone."""
    figure, axes = plt.subplots(figsize=(COLUMN, 2.4))
    _kept(axes, read("tiny_recovery"))
    return figure


def _first_of_each(record: Record) -> dict[str, dict[str, Any]]:
    """The first run of each method."""
    return {run["method"]: run for run in reversed(record["metrics"]["runs"])}


def _kept(axes: Axes, record: Record) -> None:
    """Bends and slopes of the sharpest quarter of heads, as shares of those that they had."""
    runs = record["metrics"]["runs"]
    for run in runs:
        first = run is _first_of_each(record)[run["method"]]
        steps, color = [entry["step"] for entry in run["curve"]], style(run["method"])["color"]
        for what, line in (("bend", "-"), ("slope", "--")):
            found = [entry[what]["quarter"] for entry in run["curve"]]
            label = f"{LABELS[run['method']]}: {what}" if first else "_"
            look = {**style(run["method"]), "ls": line, "lw": 1.4 if first else 0.8}
            axes.plot(steps, [one["value"] for one in found], label=label, **look)
            axes.fill_between(steps, *np.transpose([one["interval"] for one in found]), color=color, alpha=0.15, lw=0)
    predicted = _first_of_each(record)["linear"]["predicted"]
    for what in ("cap", "slope_cap"):
        axes.axhline(predicted[what], color="0.4", lw=0.8, ls=":")
    axes.set_yscale("log")
    low = min(one for run in runs for entry in run["curve"] for one in entry["bend"]["quarter"]["interval"])
    axes.set_ylim(bottom=min(low, predicted["cap"]) / 1.2)
    axes.set_yticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    axes.yaxis.set_minor_locator(NullLocator())
    steps_axis(axes, max(([entry["step"] for entry in run["curve"]] for run in runs), key=len))
    axes.set_xlabel("steps")
    axes.set_ylabel("over that of the untouched head, median")
    axes.legend(loc="center", bbox_to_anchor=(0.5, 0.32), ncols=2, handlelength=3.5, fontsize=6)


def _paths(axes: Axes, record: Record) -> None:
    """Divergence and loss of every run, at the trained and the longest window."""
    windows = (record["metrics"]["model"]["window_tokens"], max(record["config"]["windows"]))
    for run in record["metrics"]["runs"]:
        first = run is _first_of_each(record)[run["method"]]
        for window, look in zip(windows, ({"ls": "-"}, {"ls": ":", "fillstyle": "none"}), strict=True):
            rows = [next(w for w in entry["windows"] if w["window"] == window) for entry in run["curve"]]
            kl, above = ([row[name]["value"] for row in rows] for name in ("kl", "above_nats"))
            label = f"{LABELS[run['method']]}, {window} tokens" if first else "_"
            axes.plot(kl, above, label=label, **{**style(run["method"]), **look})
            for entry, x, y in zip(run["curve"] if first else (), kl, above, strict=False):
                axes.annotate(str(entry["step"]), (x, y), (3, 2), textcoords="offset points", fontsize=5.5)
    axes.set_xlabel("divergence from the untouched attention (nats, all heads)")
    axes.set_ylabel("loss above the untouched model (nats)")
    axes.legend(fontsize=6)


def _shares(axes: Axes, record: Record) -> None:
    """Attention by the distance of the key inside the trained window, of all heads and of the sharpest."""
    metrics, config = record["metrics"], record["config"]
    window = metrics["model"]["window_tokens"]
    untouched = metrics["untouched"]
    sharpest = max(range(len(untouched["heads"])), key=lambda n: untouched["heads"][n]["bend"])
    where = untouched["heads"][sharpest]
    models = [("untouched", untouched)]
    for method, run in sorted(_first_of_each(record).items()):
        name = LABELS[method].split()[0]
        models += [(f"{name}, step {entry['step']}", entry) for entry in run["curve"] if method != "none"]
        models += [(f"{name}, step {run['curve'][-1]['step']}", run["curve"][-1])] * (method == "none")
    bars = [(name, model["shares"][str(window)]) for name, model in models]
    bars += [(name, model["heads"][sharpest]["shares"]) for name, model in models]
    places = np.arange(len(bars)) + 1.4 * (np.arange(len(bars)) >= len(models))
    starts = [0, *config["distances"], window]
    names = [str(a) if b - a == 1 else f"{a} to {b - 1}" for a, b in pairwise(starts)]
    left = np.zeros(len(bars))
    shares = np.transpose([shares for _, shares in bars])[:-1]  # no distance inside the window is as long as it
    for name, shade, share in zip(["first token", *names], _SHADES, shares, strict=False):
        axes.barh(places, share, left=left, color=shade, label=name, height=0.8)
        left += share
    axes.set_yticks(places, [name for name, _ in bars])
    axes.set_ylim(places[-1] + 0.6, -1.6)
    axes.set_xlim(0, 1)
    for first, says in ((0, "all heads"), (len(models), f"layer {where['layer']}, head {where['head']}")):
        axes.text(0, places[first] - 0.5, says, fontsize=6.5, ha="left", va="bottom")
    axes.set_xlabel(f"share of attention inside {window} tokens, by distance")
    axes.figure.legend(*axes.get_legend_handles_labels(), loc="outside lower left", ncols=6, fontsize=6.5)


def _loss(axes: Axes, record: Record) -> None:
    """The loss by position at the first and the last step of a method, over that with recent context."""
    bucket = record["config"]["bucket"]
    for method, run in _first_of_each(record).items():
        color = style(method)["color"]
        for entry, line in ((run["curve"][0], ":"), (run["curve"][-1], "-")):
            middle = bucket * (np.arange(len(entry["excess"])) + 0.5)
            axes.plot(middle, entry["excess"], label=f"{LABELS[method]}, step {entry['step']}", color=color, ls=line)
        axes.axvline(run["predicted"]["reach_tokens"], color=color, lw=0.6, ls="--")
    axes.axhline(0, color="0.5", lw=0.6)
    axes.set_xlabel("position (tokens)")
    axes.set_ylabel("loss above recent context (nats)")
    axes.set_ylim(top=1.3 * axes.get_ylim()[1])
    axes.legend(loc="upper center", ncols=2, fontsize=6)
