"""The look all figures share: sizes for a two-column page, colours that also differ in grey, embedded fonts."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter

from figures.verdicts.method_names import METHODS

COLUMN = 3.35  # inches: one column
PAGE = 6.9  # inches: both columns

# Okabe and Ito's palette, ordered so that luminance differs too; line styles and markers tell the rest apart.
BLACK, ORANGE, BLUE, GREEN, RED, PURPLE = "#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00", "#CC79A7"

METHOD_STYLES: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("none (extrapolation)", {"color": RED, "ls": "-", "marker": "x"}),
    "linear": (METHODS["linear"], {"color": BLUE, "ls": "-", "marker": "o"}),
    "ntk": (METHODS["ntk"], {"color": ORANGE, "ls": "--", "marker": "s"}),
    "dynamic": (METHODS["dynamic"], {"color": PURPLE, "ls": ":", "marker": "D"}),
    "yarn": (METHODS["yarn"], {"color": GREEN, "ls": "-.", "marker": "^"}),
    "llama3": (METHODS["llama3"], {"color": BLACK, "ls": (0, (1, 1)), "marker": "v"}),
}

_SETTINGS: Any = {
    "font.family": "serif",
    "font.serif": ["STIXGeneral"],
    "mathtext.fontset": "stix",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.0,
    "lines.markersize": 3,
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,  # TrueType, so that text in the PDF stays text
    "savefig.dpi": 300,
}


# how the studies' own models are called
MODELS = {"tiny-llama": "tiny LLaMA", "smollm2-135m": "SmolLM2-135M"}


def model_name(config: dict[str, Any]) -> str:
    """What the model of a record is called, from the study's config; one of the reader's own by its folder's name."""
    model = str(config["model"])
    return MODELS.get(model, Path(model).name)


@contextmanager
def shared_style() -> Iterator[None]:
    """The look of every figure, while the context lasts."""
    with plt.rc_context(_SETTINGS):
        yield


def panel(axes: Axes, letter: str, title: str) -> None:
    """A panel's letter and title, flush left."""
    axes.set_title(f"({letter}) {title}", loc="left")


def log_perplexity(axes: Axes) -> None:
    """A logarithmic vertical axis with its ticks named in full, as in 60, also between the powers of ten."""
    axes.set_yscale("log")
    for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(2, 0.5)))
