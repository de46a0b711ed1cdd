"""Few heads, those that point most sharply, are most of what untrained PI costs; the others are nearly free.

All heads are interpolated but the first so many of an order, which keep their trained frequencies, inside the trained
window. The curves show which share of the loss that interpolation adds is gone, mean over documents with one standard
error; by the bend of a head's score, which is measured in the untouched model, and in grey for heads drawn at random,
several times. In SmolLM2-135M heads that share keys are left unscaled together.
"""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from experiments.records.record import Record, read
from figures.style import BLUE, COLUMN, ORANGE, PAGE, model_name, panel

CLAIMS = ("resolution.cap", "resolution.linear")
_STUDIES = {"tiny_bends": 4, "smollm2_bends": 2}  # with the factor that is drawn
_CORPORA: tuple[dict[str, Any], ...] = ({"color": BLUE, "marker": "o"}, {"color": ORANGE, "marker": "s", "ls": "--"})


def draw() -> Figure:
    figure, grid = plt.subplots(1, len(_STUDIES), figsize=(PAGE, 2.8), sharey=True)
    for axes, letter, (study, factor) in zip(grid, "ab", _STUDIES.items(), strict=True):
        _spared(axes, read(study), factor, letter)
    grid[0].set_ylabel("share of PI's cost that is gone")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def teaser() -> Figure:
    """The released model alone."""
    figure, axes = plt.subplots(figsize=(COLUMN, 2.3))
    *_, (study, factor) = _STUDIES.items()
    _spared(axes, read(study), factor, "")
    axes.set_ylabel("share of PI's cost that is gone")
    figure.legend(loc="outside lower center", ncols=3, columnspacing=1)
    return figure


def _spared(axes: Axes, record: Record, factor: float, letter: str) -> None:
    metrics, config = record["metrics"], record["config"]
    cases = [case for case in metrics["interpolated"] if case["factor"] == factor]
    for case, style in zip(cases, _CORPORA, strict=False):
        counts = [0, *case["counts"]]
        for draw in case["random"]:
            axes.plot(counts, [0, *draw], color="0.75", lw=0.6, zorder=1)
        share, stderr = ([0, *(one[key] for one in case["sharpest"])] for key in ("share", "stderr"))
        axes.errorbar(counts, share, yerr=stderr, capsize=2, label=f"sharpest first, {case['corpus']}", **style)
    axes.plot([], [], color="0.75", lw=0.6, label="at random")
    axes.set_xlabel(f"{'groups of heads' if config['by'] == 'group' else 'heads'} left unscaled")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    if letter:
        panel(axes, letter, f"{model_name(config)}, PI ×{factor:g}, {config['tokens']} tokens")
