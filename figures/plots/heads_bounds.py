"""Most trained heads stay far below every bound; in the tiny LLaMA many exceed Theorem 2.1 as published.

A dot is a head: its largest score or interpolation error over each bound, among drawn pairs of a query and a key;
black bars are medians. Above the dashed line the bound is exceeded.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from experiments.records.record import read
from figures.style import BLUE, ORANGE, PAGE, RED, model_name, panel

STUDIES = ("tiny_heads", "smollm2_heads")
BOUNDS = {
    "published": "Thm 2.1\nas published",
    "taylor": "Taylor\nrepair",
    "sharp": "sharp",
    "eq8_first": "Eq. 8\nfirst form",
    "eq8_last": "Eq. 8\nlast form",
    "trivial": "(d/2)\nmax|h|",
    "sum": "sum|h|",
}
EXPERIMENTS = ("heads_tiny", "heads_smollm2")
CLAIMS = ("chen2023.thm2_1", "taylor", "chen2023.eq8", "eq8.never_better")
INTERPOLATION = ("published", "taylor", "sharp")


def draw() -> Figure:
    figure, row = plt.subplots(1, len(STUDIES), figsize=(PAGE, 2.6), sharey=True)
    rng = np.random.default_rng(0)
    for axes, letter, study in zip(row, "ab", STUDIES, strict=True):
        record = read(study)
        name, metrics = model_name(record["config"]), record["metrics"]
        for x, bound in enumerate(BOUNDS):
            ratios = np.array(
                [max(h[draw][bound]["max"] for draw in ("uniform", "attended")) for h in metrics["heads"]]
            )
            color = BLUE if bound in INTERPOLATION else ORANGE
            spread = x + rng.uniform(-0.28, 0.28, ratios.size)
            axes.semilogy(spread, ratios, ".", color=color, ms=2.5, alpha=0.6, mew=0)
            axes.hlines(np.median(ratios), x - 0.35, x + 0.35, color="black", lw=1.2)
        axes.axhline(1, color=RED, lw=0.8, ls="--")
        axes.axvline(len(INTERPOLATION) - 0.5, color="0.8", lw=0.6)
        axes.set_xticks(range(len(BOUNDS)), list(BOUNDS.values()), fontsize=6)
        axes.tick_params(axis="x", length=0)
        axes.set_ylim(2e-3, 4)
        for middle, said in ((1.0, "between trained positions"), (4.5, "beyond the window")):
            axes.annotate(
                said, (middle, 1.0), xycoords=("data", "axes fraction"), ha="center", va="top", fontsize=7, color="0.3"
            )
        panel(axes, letter, f"{name}, {len(metrics['heads'])} heads")
    row[0].set_ylabel("largest score or error / bound")
    return figure
