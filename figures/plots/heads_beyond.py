"""Beyond the window the scores of trained heads hardly grow in size; what changes is their sign.

Left and middle: attention logits by distance of a typical head and of the worst, as the median and the range of 10 to
90% of pairs of a query and a key. Right: a dot is a head, how much larger its scores get in size and how far above
the highest trained one.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.records.record import read
from figures.style import BLACK, BLUE, ORANGE, PAGE, RED, model_name, panel

STUDIES = ("tiny_heads", "smollm2_heads")
EXPERIMENTS = ("heads_tiny", "heads_smollm2")


def draw() -> Figure:
    figure, grid = plt.subplots(len(STUDIES), 3, figsize=(PAGE, 4.2))
    letters = iter("abcdef")
    for row, study in zip(grid, STUDIES, strict=True):
        record = read(study)
        name = model_name(record["config"])
        metrics, nearest = record["metrics"], record["config"]["beyond"][0]
        curves, window = metrics["curves"], metrics["model"]["window_tokens"]
        for axes, kind in zip(row, ("typical", "worst"), strict=False):
            _curve(axes, np.array(curves["positions"]) / window, np.array(curves[kind]["quantiles"]), nearest)
            panel(axes, next(letters), f"{name}, {kind} head ({curves[kind]['layer']}, {curves[kind]['head']})")
            axes.set_ylabel("logit")
        own = [head["uniform"] for head in metrics["heads"]]
        amplification = [head[f"amplification_{nearest}"]["median"] for head in own]
        excess = [head[f"excess_{nearest}"]["median"] for head in own]
        axes = row[2]
        axes.plot(amplification, excess, ".", color=BLACK, ms=3, alpha=0.6, mew=0)
        axes.axhline(0, color="0.5", lw=0.6)
        axes.axvline(1, color="0.5", lw=0.6)
        axes.set_ylabel("excess beyond (logits)")
        panel(axes, next(letters), f"{name}, {len(own)} heads")
    grid[-1][0].set_xlabel("distance / window")
    grid[-1][1].set_xlabel("distance / window")
    grid[-1][2].set_xlabel("largest |score| beyond / inside")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _curve(axes: Axes, distance: np.ndarray, quantiles: np.ndarray, factor: int) -> None:
    inside, beyond = distance < 1, (distance >= 1) & (distance < factor)
    low, median, high = quantiles
    for part, color, label in ((inside, BLUE, "trained distances"), (beyond, RED, "beyond")):
        axes.fill_between(distance[part], low[part], high[part], color=color, alpha=0.2, lw=0)
        axes.plot(distance[part], median[part], color=color, label=f"{label}: median, 10 to 90% of pairs")
    axes.plot(factor * distance[inside], median[inside], color=ORANGE, ls="--", lw=0.8, label="interpolated: median")
    axes.axvline(1, color="0.5", lw=0.6, ls="--")
    axes.set_xlim(0, factor)
