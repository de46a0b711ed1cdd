"""Pictures of measurements: perplexity by window, passkeys by distance, and what models differ by.

This imports matplotlib, which takes a while: only what draws imports this.
"""

import io
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from pi_model.evaluation.comparison import Compared
from pi_model.evaluation.passkey import SUCCESS, PasskeyResult
from pi_model.evaluation.perplexity import WindowResult

# Okabe and Ito's colours, which differ for all kinds of sight (jfly.uni-koeln.de/color, 2008), and markers as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = "os^Dv*P"
WIDTH, HEIGHT = 6.4, 3.2  # of a panel, in inches
LOGARITHMIC = 5.0  # from this ratio of perplexities on their axis is logarithmic


def perplexity_plot(
    models: Sequence[str], results: Sequence[Sequence[WindowResult]], rows: Sequence[Compared], title: str
) -> Figure:
    """Perplexity by window; for several models a second panel with their differences to the first.

    Args:
        models: what they are called.
        results: of each, by window.
        rows: their differences to the first; none for a single model.
        title: what was read.
    """
    figure, panels = _panels(1 + bool(rows), title)
    for number, (model, of_model) in enumerate(zip(models, results, strict=True)):
        windows, values = [one.window for one in of_model], [one.perplexity for one in of_model]
        panels[0].plot(windows, values, label=model, **_style(number))
    panels[0].set_ylabel("perplexity")
    values = [one.perplexity for of_model in results for one in of_model]
    if max(values) > LOGARITHMIC * min(values):
        panels[0].set_yscale("log")
        panels[0].yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panels[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panels[0].yaxis.set_minor_locator(NullLocator())
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    for axes in panels:
        _windows(axes, sorted({one.window for one in results[0]}))
    if rows:
        _differences(panels[1], models, rows)
    return figure


def _differences(axes: Axes, models: Sequence[str], rows: Sequence[Compared]) -> None:
    axes.axhline(0, color="0.5", lw=0.8)
    for number, model in enumerate(models[1:], 1):
        own = [row for row in rows if row.model == model and row.difference]
        if not own:
            continue
        found = [row.difference for row in own if row.difference]
        reach = [one.interval[1] - one.mean if one.interval else 0.0 for one in found]
        axes.errorbar([row.window for row in own], [one.mean for one in found], reach, capsize=3, **_style(number))
    axes.set_ylabel(f"minus {models[0]}\n({rows[0].unit}, 95% interval)")


def passkey_plot(results: dict[str, PasskeyResult], title: str) -> Figure:
    """The share of passkeys found by distance, a line for each model, and the share from which a distance counts."""
    figure, (axes,) = _panels(1, title)
    for number, (model, result) in enumerate(results.items()):
        shares = list(result.accuracy.values())
        axes.plot(list(result.accuracy), shares, label=f"{model}, k_max {result.k_max}", **_style(number))
    axes.axhline(SUCCESS, color="0.5", lw=0.8, ls="--")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("distance k of the number from the end of the prompt (tokens)")
    axes.set_ylabel("share found")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return figure


def picture(figure: Figure, kind: str) -> bytes:
    """A figure as the content of a file, where ``kind`` is svg or png."""
    with io.BytesIO() as file:
        figure.savefig(file, format=kind, dpi=200)
        return file.getvalue()


def _panels(number: int, title: str) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, HEIGHT * number), layout="constrained")
    panels = figure.subplots(number, 1, squeeze=False)[:, 0].tolist()
    figure.suptitle(title, fontsize=9, wrap=True)
    return figure, panels


def _windows(axes: Axes, windows: Sequence[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(windows, [str(window) for window in windows])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("window (tokens)")


def _style(number: int) -> dict[str, Any]:
    """Of a line: later ones have smaller markers, so that lines that fall together can all be seen."""
    size = max(4.0, 9.0 - 1.5 * number)
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "markersize": size}
