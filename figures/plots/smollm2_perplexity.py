"""Past SmolLM2's window perplexity explodes; PI prevents that, and costs more than NTK-aware and YaRN scaling.

SmolLM2-135M extended by 2 without fine-tuning: perplexity by window on held-out documents, over the last tokens of
each window and over all of them. The dashed line is the trained window. Few documents: directions, not third digits.
"""

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.records.record import Record, read
from figures.style import COLUMN, METHOD_STYLES, PAGE, log_perplexity, panel
from figures.verdicts.method_names import NOT_TUNED

EXPERIMENTS = ("zero_shot",)


def draw() -> Figure:
    record = read("smollm2_perplexity")
    config = record["config"]
    corpora = list(config["corpora"])
    scored = {"last": f"last {config['last_tokens']} tokens", "whole": "all tokens"}
    figure, grid = plt.subplots(len(corpora), 2, figsize=(PAGE, 2.1 * len(corpora) + 0.3), sharex=True, squeeze=False)
    letters = iter("abcdefgh")
    for row, corpus in zip(grid, corpora, strict=True):
        for axes, (part, scored_tokens) in zip(row, scored.items(), strict=True):
            _curves(axes, record, corpus, part)
            panel(axes, next(letters), f"{corpus}, {scored_tokens} of each window")
        row[0].set_ylabel("perplexity")
    for axes in grid[-1]:
        _windows(axes, record)
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def teaser() -> Figure:
    """All tokens of the first corpus alone."""
    record = read("smollm2_perplexity")
    corpus = next(iter(record["config"]["corpora"]))
    figure, axes = plt.subplots(figsize=(COLUMN, 2.3))
    _curves(axes, record, corpus, "whole")
    _windows(axes, record)
    axes.set_ylabel(f"perplexity, {corpus}")
    figure.legend(loc="outside lower center", ncols=4, columnspacing=1)
    return figure


def _curves(axes: Axes, record: Record, corpus: str, part: str) -> None:
    metrics = record["metrics"]
    for method in record["config"]["methods"]:
        cases = metrics["perplexity"][method][corpus][part]
        windows, perplexities = zip(*((case["window"], case["perplexity"]) for case in cases), strict=True)
        axes.plot(windows, perplexities, label=NOT_TUNED[method], **METHOD_STYLES[method][1])
    trained = metrics.get("trained_window_tokens", 8192)  # SmolLM2's; older records do not hold it
    axes.axvline(trained, color="0.5", lw=0.6, ls="--")
    log_perplexity(axes)


def _windows(axes: Axes, record: Record) -> None:
    """The horizontal axis: powers of two."""
    axes.set_xscale("log", base=2)
    windows = [window for window in record["config"]["windows"] if window & (window - 1) == 0]
    axes.set_xticks(windows, [f"{window // 1024}k" if window >= 1024 else str(window) for window in windows])
    axes.set_xlabel("window (tokens)")
