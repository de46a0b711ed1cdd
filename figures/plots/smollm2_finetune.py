"""Fine-tuned by PI, a released model gets better in its longer window with every measurement.

SmolLM2-135M: perplexity at the extended window and farthest passkey distance by fine-tuning step; level lines are
methods without fine-tuning, and the untouched model in its own window.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.plots.run_grid import LABELS, steps_axis, style
from figures.style import BLACK, METHOD_STYLES, PAGE, log_perplexity, panel
from figures.verdicts.fine_tuning_runs import Evaluation, Runs, read_runs

EXPERIMENTS = ("finetune_smollm2", "finetune_smollm2_kmax")


def draw() -> Figure:
    """A row for each factor, a column for each corpus and one for passkey; what is not fine-tuned is a level line."""
    tuned = read_runs("smollm2_finetune")
    corpora, factors, trained = tuned.corpora, sorted(tuned.record["config"]["factors"]), tuned.window
    size = (PAGE, 1.9 * len(factors) + 0.7)
    figure, grid = plt.subplots(len(factors), len(corpora) + 1, figsize=size, squeeze=False)
    letters = iter("abcdefghijkl")
    for row, factor in zip(grid, factors, strict=True):
        context = factor * trained
        for axes, corpus in zip(row, corpora, strict=False):
            _curves(axes, tuned, factor, partial(Evaluation.perplexity, corpus=corpus, window=context))
            own = tuned.base.perplexity(corpus, trained)
            axes.axhline(own, color=BLACK, lw=0.6, ls=":", label="untouched, at L")
            log_perplexity(axes)
            panel(axes, next(letters), f"{corpus}, perplexity at {context}")
        _curves(row[-1], tuned, factor, lambda one: one.k_max or 0)
        row[-1].axhline(tuned.base.k_max or 0, color=BLACK, lw=0.6, ls=":")
        row[-1].set_ylim(-0.05 * context, 1.1 * context)
        row[-1].set_yticks([0, trained, context])
        panel(row[-1], next(letters), rf"$k_{{\max}}$ in {context}")
    for axes in grid[-1]:
        axes.set_xlabel("steps")
    handles: dict[str, Any] = {}
    for axes in grid[:, 0]:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3)
    if tuned.gaps:
        figure.suptitle(f"not measured: {_not_measured(tuned)}", fontsize=7, color="0.4")
    return figure


def _curves(axes: Axes, tuned: Runs, factor: float, value: Callable[[Evaluation], float]) -> None:
    """The fine-tuned ones by step; the others as level lines, since steps change nothing in them."""
    fine_tuned = [group for group in tuned.groups if group.factor == factor]
    for group in fine_tuned:
        for curve in group.curves:
            steps, values = [one.step for one in curve], [value(one) for one in curve]
            axes.plot(steps, values, label=LABELS[group.method], **style(group.method))
    for group in tuned.untuned:
        if group.factor == factor and group.method not in {one.method for one in fine_tuned}:
            label, look = METHOD_STYLES[group.method]
            level = value(group.curves[0][0])
            axes.axhline(level, label=f"{label}, not tuned", lw=0.8, color=look["color"], ls=look["ls"])
    steps_axis(axes, [0, *tuned.record["config"]["steps"]])


def _not_measured(tuned: Runs) -> str:
    return "; ".join(
        f"{LABELS[method]} ×{factor:g} at {', '.join(map(str, steps))} steps"
        for (method, factor), steps in tuned.gaps.items()
    )
