"""Theorem 2.1 is refuted at the head dimension and RoPE base of every model in use that was looked at.

Shade: the largest true interpolation error between neighbouring positions, over the published bound. The theorem
holds right of the black line, whose place is proved; stars are released models.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from experiments.records.record import read
from figures.style import BLACK, COLUMN

CLAIMS = ("chen2023.thm2_1.models", "thm2_1.region")


def draw() -> Figure:
    metrics = read("landscape")["metrics"]
    figure, axes = plt.subplots(figsize=(COLUMN, 2.7))
    margin = np.array(metrics["margin"]).T
    mesh = axes.contourf(
        metrics["head_dims"], metrics["bases"], np.clip(margin, 0, 2.5), levels=np.linspace(0, 2.5, 11), cmap="Greys_r"
    )
    figure.colorbar(mesh, ax=axes, label="true maximum / published bound", ticks=[0, 0.5, 1, 1.5, 2, 2.5])
    boundary = metrics["boundary"]
    axes.plot(
        [row["smallest_valid_head_dim"] for row in boundary], [row["base"] for row in boundary],
        lw=1.6, color=BLACK, label="smallest valid d (proved)",
    )  # fmt: skip
    offsets = {"LLaMA 1 and 2": (5, -3), "Llama 3": (5, -5), "Mistral 7B v0.3": (5, 3), "SmolLM2 135M": (-4, 5)}
    drawn: dict[tuple[int, float], str] = {}
    for model in metrics["models"]:
        place = (model["head_dim"], model["base"])
        drawn[place] = f"{drawn[place]},\n{model['name']}" if place in drawn else model["name"]
    for (head_dim, base), name in drawn.items():
        axes.plot(head_dim, base, ls="", marker="*", ms=6, mec=BLACK, mfc="white", mew=0.6)
        offset = offsets.get(name.split(",")[0], (5, 3))
        axes.annotate(
            name, (head_dim, base), xytext=offset, textcoords="offset points", fontsize=6,
            ha="right" if offset[0] < 0 else "left", bbox={"fc": "white", "ec": "none", "pad": 0.4, "alpha": 0.85},
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("head dimension d")
    axes.set_ylabel("RoPE base c")
    axes.annotate("Thm 2.1 holds", (0.97, 0.15), xycoords="axes fraction", ha="right", fontsize=7, color="white")
    axes.annotate("Thm 2.1 refuted", (0.03, 0.93), xycoords="axes fraction", fontsize=7)
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.12), borderpad=0)
    return figure
