"""How far a method moves the untouched model's attention tells how much loss it will cost: nothing here is fitted.

A mark is a method at one factor and window on one corpus. Horizontally, the divergence between the attention that
training made and that under the method, added up over heads, from the untouched model's queries and keys alone;
vertically, the loss over the untouched model that reads recent tokens. Open marks are windows beyond the trained one.
The rank correlation stands above with its 95% interval over documents.
"""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from experiments.records.record import Record, read
from figures.style import COLUMN, METHOD_STYLES, PAGE, model_name, panel

CLAIMS = ("attention.divergence", "attention.variation", "attention.shift")
_STUDIES = ("tiny_displacement", "smollm2_displacement")


def draw() -> Figure:
    figure, grid = plt.subplots(1, len(_STUDIES), figsize=(PAGE, 3.0))
    for axes, letter, study in zip(grid, "ab", _STUDIES, strict=True):
        record = read(study)
        _cases(axes, record)
        panel(axes, letter, f"{model_name(record['config'])}: {_correlation(record)}")
    grid[0].set_ylabel("measured loss over the untouched model (nats)")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return figure


def teaser() -> Figure:
    """The tiny model alone."""
    figure, axes = plt.subplots(figsize=(COLUMN, 2.3))
    _cases(axes, read(_STUDIES[0]))
    axes.set_ylabel("measured loss (nats)")
    figure.legend(loc="outside lower center", ncols=3, columnspacing=1)
    return figure


def _cases(axes: Axes, record: Record) -> None:
    window = record["metrics"]["model"]["window_tokens"]
    for method, (label, style) in METHOD_STYLES.items():
        for beyond in (False, True):
            cases = [
                case
                for case in record["metrics"]["cases"]
                if case["method"] == method and (case["window"] > window) == beyond
            ]
            axes.plot(
                [case["kl"] for case in cases],
                [case["above_nats"] for case in cases],
                ls="",
                marker=style["marker"],
                color=style["color"],
                mfc="none" if beyond else style["color"],
                label="_" if beyond else label,
                ms=4,
            )
    axes.set_xscale("symlog", linthresh=1)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlim(left=-0.05)
    axes.set_xlabel("divergence of attention, summed over heads (nats)")


def _correlation(record: Record) -> str:
    found = record["metrics"]["rank_correlation"]["all"]["kl"]
    low, high = found["interval"]
    return f"rank correlation {found['value']:.2f} ({low:.2f} to {high:.2f})"
