"""Fine-tuning by PI changes the heads' coefficients h by a quarter or more in every layer but the first.

Medians over the heads of a layer, by frequency: how far h moves, and how its size changes.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.records.record import read
from figures.style import BLACK, BLUE, GREEN, ORANGE, PAGE, model_name, panel

_LAYERS = (
    {"color": BLACK, "ls": "-", "marker": "o"},
    {"color": BLUE, "ls": "--", "marker": "s"},
    {"color": ORANGE, "ls": "-.", "marker": "^"},
    {"color": GREEN, "ls": ":", "marker": "D"},
)


def draw() -> Figure:
    record = read("tiny_heads_tuned")
    config, heads = record["config"], record["metrics"]["heads"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.6))
    layers = sorted({head["layer"] for head in heads})
    for layer in layers:
        before, after, moved = (
            np.array([head[when] for head in heads if head["layer"] == layer]) for when in ("before", "after", "moved")
        )
        look = {**_LAYERS[layer % len(_LAYERS)], "markersize": 2.5, "label": f"layer {layer}"}
        left.plot(np.median(moved / before, axis=0), **look)
        right.plot(np.median(after / before, axis=0), **look)
    right.axhline(1, color="0.5", lw=0.6, ls="--")
    left.set_ylim(bottom=0)
    left.set_ylabel(r"change of $h_j$ / $h_j$, median over heads")
    right.set_ylabel(r"$h_j$ after / before, median over heads")
    panel(left, "a", f"{model_name(config)}, ×{config['factor']}, {config['steps']} steps: how far h moves")
    panel(right, "b", "and how its size changes")
    for axes in (left, right):
        axes.set_xlabel("frequency j, fastest first")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(layers))
    return figure
