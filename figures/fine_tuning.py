"""What the figures of fine-tuning share: PI and direct runs as curves over steps, one panel a factor and rate."""

from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from experiments.record import Record
from figures.style import METHOD_STYLES, PAGE

LABELS = {"none": "direct fine-tuning", "linear": "PI"}


def style(method: str) -> dict[str, Any]:
    return METHOD_STYLES[method][1]


def grid_of_runs(
    record: Record, value: Callable[[dict[str, Any], int], float], *, scale: str = "linear", extra_columns: int = 0
) -> tuple[Figure, np.ndarray]:
    """A row a factor, a column a learning rate; in each panel the mean over seeds, and their range shaded.

    Args:
        record: of `tiny_sweep`.
        value: of an entry of a curve and the extended window, what is drawn.
        scale: of the vertical axes, which a row shares.
        extra_columns: empty panels on the right of each row.
    """
    runs, window = record["metrics"]["runs"], record["metrics"]["model"]["window_tokens"]
    factors = sorted({run["factor"] for run in runs})
    rates = sorted({run["peak_lr"] for run in runs})
    columns = len(rates) + extra_columns
    size = (PAGE, 1.35 * len(factors) + 0.5)
    figure, grid = plt.subplots(len(factors), columns, figsize=size, sharex=False, squeeze=False)
    for axes_of_row, factor in zip(grid, factors, strict=True):
        own = axes_of_row[: len(rates)]
        for axes, rate in zip(own, rates, strict=True):
            axes.set_yscale(scale)
            for method, label in LABELS.items():
                curves = [
                    run["curve"]
                    for run in runs
                    if (run["method"], run["factor"], run["peak_lr"]) == (method, factor, rate)
                ]
                steps = [entry["step"] for entry in curves[0]]
                values = np.array([[value(entry, factor * window) for entry in curve] for curve in curves])
                axes.plot(steps, values.mean(0), label=label, **style(method))
                if len(curves) > 1:
                    axes.fill_between(
                        steps, values.min(0), values.max(0), color=style(method)["color"], alpha=0.2, lw=0
                    )
            steps_axis(axes, steps)
            axes.sharey(own[0])
            axes.tick_params(which="both", labelleft=axes is own[0])
        own[0].set_ylabel(f"×{factor}, window {factor * window}")
    for axes, rate in zip(grid[0], rates, strict=False):
        mantissa, _, exponent = f"{rate:.0e}".partition("e")
        axes.set_title(rf"peak rate ${mantissa}\times 10^{{{int(exponent)}}}$")
    for axes in grid[-1, : len(rates)]:
        axes.set_xlabel("steps")
    return figure, grid


def steps_axis(axes: Axes, steps: list[int]) -> None:
    """Steps on a logarithmic axis that also has 0; of many, every second one is named, counted from the last."""
    first = next(step for step in steps if step)
    axes.set_xscale("symlog", linthresh=first, linscale=0.5)
    named = {0, *steps[:: -2 if len(steps) > 4 else -1]}
    axes.set_xticks(steps, [str(step) if step in named else "" for step in steps])
    axes.xaxis.set_minor_locator(NullLocator())
