"""Draws perplexity by window, of a model before and after its extension."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter, NullLocator

from figures.style import COLUMN, METHOD_STYLES


def draw(
    windows: Sequence[int], before: Sequence[float], after: Sequence[float], *, method: str, trained: int
) -> Figure:
    """Draws two curves of perplexity over the window, and a line at the trained window.

    Args:
        windows: window lengths in tokens.
        before: perplexity of the original model at each window.
        after: perplexity of the extended model at each window.
        method: the scaling method of the extension, a key of `METHOD_STYLES`.
        trained: the window of the original model, in tokens.
    """
    figure, axes = plt.subplots(figsize=(COLUMN * 1.4, 2.6))
    (_, none), (name, style) = METHOD_STYLES["none"], METHOD_STYLES[method]
    axes.plot(windows, before, label="before", **none)
    axes.plot(windows, after, label=f"after, {name}", **style)
    axes.axvline(trained, color="0.5", lw=0.6, ls="--", label="trained window")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(windows, [str(window) for window in windows])
    axes.xaxis.set_minor_locator(NullLocator())
    for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(1.5, 0.7)))
    axes.set_xlabel("window (tokens)")
    axes.set_ylabel("perplexity")
    axes.legend()
    return figure
