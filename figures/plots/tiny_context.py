"""How much lower the loss of the same tokens is the more of a text is read before them.

Every context ends with the same last tokens of each text, so that a gain is a difference within texts; bars are its 95%
interval over texts. The dashed line is the window that the model was trained with. Books and packages of code are
held-out texts as they are. In the two panels of repeats the last tokens are passages of the same book: near ones stand
before in the first half of the old window, far ones only beyond it. A model that uses what it reads there has only to
copy.
"""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from experiments.records.record import read
from figures.style import BLACK, BLUE, PAGE, RED, panel
from figures.verdicts.context_rules import Reader, readers

EXPERIMENTS = ("context_tiny",)

_LOOKS: dict[str, dict[str, Any]] = {
    "untouched": {"color": BLACK, "marker": "v"},
    "PI ×4, not tuned": {"color": BLUE, "marker": "", "ls": ":"},
    "PI ×4": {"color": BLUE, "marker": "o"},
    "direct ×4": {"color": RED, "marker": "x"},
}


def draw() -> Figure:
    record = read("tiny_context")
    corpora, window = list(record["config"]["corpora"]), record["metrics"]["window_tokens"]
    contexts = sorted(record["config"]["contexts"])
    figure, grid = plt.subplots(1, len(corpora), figsize=(PAGE, 2.3), squeeze=False)
    for axes, letter, corpus in zip(grid[0], "abcd", corpora, strict=False):
        for reader in readers(record):
            _gains(axes, reader, corpus)
        axes.axvline(window, color="0.5", lw=0.6, ls="--")
        axes.axhline(0, color="0.8", lw=0.6, zorder=0)
        axes.set_xscale("log")
        axes.set_xticks(contexts, [str(context) for context in contexts])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("context (tokens)")
        panel(axes, letter, corpus)
    grid[0][0].set_ylabel(f"gain over {contexts[0]} tokens (nats)")
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _gains(axes: Axes, reader: Reader, corpus: str) -> None:
    shortest, *longer = sorted(reader.losses[corpus])
    changes = [reader.change(corpus, context, shortest) for context in longer]
    gains, halves = [-one.mean for one in changes], [one.high - one.mean for one in changes]
    look = _LOOKS.get(reader.name, {})
    axes.errorbar([shortest, *longer], [0, *gains], [0, *halves], elinewidth=0.6, label=reader.name, **look)
