"""What the figures of fine-tuning share: PI and direct runs as curves over steps, a panel for each factor and rate."""

from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from figures.style import METHOD_STYLES, PAGE
from figures.verdicts.fine_tuning_runs import Evaluation, Group, Runs

LABELS = {"none": "direct fine-tuning", "linear": "PI"}


def style(method: str) -> dict[str, Any]:
    """Colour, marker and line of a method, as keywords of `Axes.plot`."""
    return METHOD_STYLES[method][1]


def grid_of_runs(
    tuned: Runs, value: Callable[[Evaluation, int], float], *, extra_columns: int = 0
) -> tuple[Figure, np.ndarray]:
    """A row for each factor and a column for each learning rate; the mean over seeds, with their range shaded.

    A row shares its vertical axis.

    Args:
        tuned: the runs.
        value: what is drawn of an evaluation, given the extended window in tokens.
        extra_columns: empty panels on the right of each row.
    """
    factors, rates = tuned.factors, tuned.rates
    columns = len(rates) + extra_columns
    size = (PAGE, 1.35 * len(factors) + 0.5)
    figure, grid = plt.subplots(len(factors), columns, figsize=size, squeeze=False)
    for axes_of_row, factor in zip(grid, factors, strict=True):
        own = axes_of_row[: len(rates)]
        for axes in own[1:]:
            axes.sharey(own[0])  # before drawing: later, the limits would be those of the first panel alone
            axes.tick_params(which="both", labelleft=False)
        for axes, rate in zip(own, rates, strict=True):
            for group in (group for group in tuned.groups if (group.factor, group.peak_lr) == (factor, rate)):
                curve(axes, group, value)
        of_row = [group for group in tuned.groups if group.factor == factor]
        seeds = max(len(group.curves) for group in of_row)
        window = of_row[0].context_tokens
        own[0].set_ylabel(f"×{factor:g}, window {window}\n{seeds} seed{'s' * (seeds > 1)}")
    for axes, rate in zip(grid[0], rates, strict=False):
        mantissa, _, exponent = f"{rate:.0e}".partition("e")
        axes.set_title(rf"peak rate ${mantissa}\times 10^{{{int(exponent)}}}$")
    for axes in grid[-1, : len(rates)]:
        axes.set_xlabel("steps")
    return figure, grid


def curve(axes: Axes, group: Group, value: Callable[[Evaluation, int], float]) -> None:
    """What is drawn of a group's evaluations by step: the mean over seeds, with their range shaded."""
    values = np.array([[value(one, group.context_tokens) for one in group.at(step)] for step in group.steps])
    above = 2.5 if group.method == "none" else 2  # its crosses stay visible on PI's dots
    axes.plot(group.steps, values.mean(1), label=LABELS[group.method], zorder=above, **style(group.method))
    if values.shape[1] > 1:
        color = style(group.method)["color"]
        axes.fill_between(group.steps, values.min(1), values.max(1), color=color, alpha=0.2, lw=0)
    steps_axis(axes, group.steps)


def steps_axis(axes: Axes, steps: list[int]) -> None:
    """Steps on a logarithmic axis that also has 0; of many, every second one is named, counted from the last."""
    first = next(step for step in steps if step)
    axes.set_xscale("symlog", linthresh=first, linscale=0.5)
    named = {0, *steps[:: -2 if len(steps) > 4 else -1]}
    axes.set_xticks(steps, [str(step) if step in named else "" for step in steps])
    axes.xaxis.set_minor_locator(NullLocator())
