"""As trained, SmolLM2-135M finds every passkey; with PI and no fine-tuning it finds none.

The share of passkeys that are found, by distance and window, all windows inside the trained one.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from experiments.records.record import read
from figures.style import COLUMN, panel
from figures.verdicts.method_names import NOT_TUNED


def draw() -> Figure:
    record = read("smollm2_passkey")
    config, cases = record["config"], record["metrics"]["cases"]
    figure, grid = plt.subplots(1, len(config["methods"]), figsize=(COLUMN, 2.0), sharey=True, squeeze=False)
    for axes, letter, method in zip(grid[0], "abcd", config["methods"], strict=False):
        accuracy = np.array([case["accuracy"] for case in cases if case["method"] == method])
        image = axes.imshow(accuracy, vmin=0, vmax=1, cmap="cividis", aspect="auto", origin="lower")
        axes.set_xticks(range(config["positions"]), [f"{n}/{config['positions']}" for n in _steps(config)], rotation=90)
        axes.set_yticks(range(len(config["contexts"])), [str(context) for context in config["contexts"]])
        axes.set_xlabel("distance k / window")
        # White lines between the cells, each of which is a handful of trials.
        axes.set_xticks(np.arange(0.5, config["positions"] - 1), minor=True)
        axes.set_yticks(np.arange(0.5, len(config["contexts"]) - 1), minor=True)
        axes.grid(which="minor", color="white", lw=0.6)
        axes.tick_params(which="minor", length=0)
        panel(axes, letter, NOT_TUNED[method])
    grid[0][0].set_ylabel("window (tokens)")
    figure.colorbar(image, ax=grid[0].tolist(), label=f"share found, {config['trials']} keys a cell", ticks=[0, 0.5, 1])
    return figure


def _steps(config: dict) -> range:
    return range(1, config["positions"] + 1)
