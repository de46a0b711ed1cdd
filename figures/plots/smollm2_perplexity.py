"""Perplexity of SmolLM2-135M against the window: extrapolation fails past the trained one, scaling does not."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from experiments.records.record import read
from figures.style import METHOD_STYLES, PAGE, panel

EXPERIMENTS = ("zero_shot",)


def draw() -> Figure:
    record = read("smollm2_perplexity")
    config, perplexity = record["config"], record["metrics"]["perplexity"]
    trained = record["metrics"].get("trained_window_tokens", 8192)  # SmolLM2's; older records do not hold it
    corpora = list(config["corpora"])
    scored = {"last": f"last {config['last_tokens']} tokens", "whole": "all tokens"}
    figure, grid = plt.subplots(len(corpora), 2, figsize=(PAGE, 2.1 * len(corpora) + 0.3), sharex=True, squeeze=False)
    letters = iter("abcdefgh")
    for row, corpus in zip(grid, corpora, strict=True):
        for axes, (part, scored_tokens) in zip(row, scored.items(), strict=True):
            for method in config["methods"]:
                label, style = METHOD_STYLES[method]
                cases = perplexity[method][corpus][part]
                label = "as trained" if method == "none" else label
                axes.semilogy([c["window"] for c in cases], [c["perplexity"] for c in cases], label=label, **style)
            axes.axvline(trained, color="0.5", lw=0.6, ls="--")
            for formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
                formatter(LogFormatter(labelOnlyBase=False, minor_thresholds=(1.2, 0.5)))
            panel(axes, next(letters), f"{corpus}, {scored_tokens} of each window")
        row[0].set_ylabel("perplexity")
    for axes in grid[-1]:
        axes.set_xscale("log", base=2)
        windows = [window for window in config["windows"] if window & (window - 1) == 0]
        axes.set_xticks(windows, [f"{window // 1024}k" if window >= 1024 else str(window) for window in windows])
        axes.set_xlabel("window (tokens)")
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure
