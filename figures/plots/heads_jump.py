"""The loss beyond the window comes from few heads, and their scores in a short text tell which.

Left: the loss that is left when the first so many heads of an order are kept from unseen distances. Right: a dot is a
head, the loss it saves when it alone is kept from them, by how far its scores exceed the trained ones in a short
text.
"""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.records.record import Record, read
from figures.style import BLACK, BLUE, COLUMN, GREEN, ORANGE, PAGE, RED, model_name, panel

ORDERS: dict[str, tuple[str, dict[str, Any]]] = {
    "excess": ("by excess of score", {"color": RED, "marker": "o", "markersize": 5, "lw": 2}),
    "displaced": ("by attention displaced", {"color": BLUE, "marker": "s", "ls": "--"}),
    "amplification": ("by size of score", {"color": GREEN, "marker": "^", "ls": "-."}),
}
# of several random orders one is named
AT_RANDOM: dict[str, tuple[str, dict[str, Any]]] = {
    "random 0": ("at random", {"color": "0.7", "lw": 0.7}),
    "others": ("_", {"color": "0.7", "lw": 0.7}),
}
EXPERIMENTS = ("jump_tiny",)


def draw() -> Figure:
    record = read("tiny_jump")
    metrics, config = record["metrics"], record["config"]
    jump = metrics["losses"]["none"]["over_within"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.8))
    _worst_first(left, record)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=6)
    panel(left, "a", f"{model_name(config)}, {config['tokens']} tokens, window {metrics['model']['window_tokens']}")
    for head in metrics["heads"]:
        right.plot(head["excess"], head["saved_nats"], "o", color=RED, ms=3, alpha=0.7, mew=0)
        if head["saved_nats"] > 0.1 * jump:
            where = (head["excess"], head["saved_nats"])
            right.annotate(f"({head['layer']}, {head['head']})", where, (-4, 0), textcoords="offset points",
                           ha="right", va="center", fontsize=6)  # fmt: skip
    right.set_xlabel("excess beyond, in short texts (logits)")
    right.set_ylabel("loss saved by this head alone (nats)")
    panel(right, "b", "each head by itself")
    return figure


def teaser() -> Figure:
    """The left panel alone."""
    figure, axes = plt.subplots(figsize=(COLUMN, 2.3))
    _worst_first(axes, read("tiny_jump"))
    axes.set_ylabel("loss above that\nwithin the window (nats)")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _worst_first(axes: Axes, record: Record) -> None:
    """The loss that is left when the first heads of each order are clamped."""
    metrics = record["metrics"]
    losses = {name: row["over_within"] for name, row in metrics["losses"].items()}
    for curve in (c for c in metrics["worst_first"] if c["treatment"] == "clamp"):
        label, style = ORDERS.get(curve["order"]) or AT_RANDOM.get(curve["order"], AT_RANDOM["others"])
        axes.plot([0, *curve["counts"]], [losses["none"], *curve["over_within"]], label=label, **style)
    axes.axhline(losses["clamp"], color=BLACK, lw=0.6, ls=":", label="all heads")
    axes.axhline(losses["linear"], color=ORANGE, lw=0.6, ls=":", label="PI in all heads instead")
    axes.set_xlabel(f"heads kept from unseen distances, of {len(metrics['heads'])}")
    axes.set_ylabel("loss above that within the window (nats)")
    axes.set_ylim(bottom=min(0, losses["clamp"]) - 0.05 * losses["none"])
