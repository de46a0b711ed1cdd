"""The longer a model was pretrained, the longer direct fine-tuning lags behind PI.

A tiny LLaMA, stopped after several numbers of tokens of one pretraining and extended from each both ways: perplexity in
the new window by fine-tuning step, and by how much it is higher after direct fine-tuning than after as many steps by
PI. Shaded is the 95% interval over texts. Below the dashed line direct fine-tuning counts as caught up.
"""

import math

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.records.record import read
from figures.plots.run_grid import curve, steps_axis
from figures.style import BLACK, PAGE, log_perplexity, panel
from figures.verdicts.adaptation import WITHIN, lead
from figures.verdicts.fine_tuning_runs import Group
from figures.verdicts.lag_rules import by_tokens, millions

EXPERIMENTS = ("lag",)

SHADES = ("0.7", "0.45", BLACK)  # the more pretraining, the darker


def draw() -> Figure:
    record = read("tiny_lag")
    corpus = next(iter(record["config"]["corpora"]))
    pairs = {tokens: pair for tokens, tuned in by_tokens(record).items() for pair in tuned.best_pairs()}
    one, *_ = next(iter(pairs.values()))
    figure, grid = plt.subplots(1, len(pairs) + 1, figsize=(PAGE, 2.3))
    for axes in grid[1:-1]:
        axes.sharey(grid[0])
        axes.tick_params(which="both", labelleft=False)
    log_perplexity(grid[0])
    for axes, letter, (tokens, pair), color in zip(grid, "abcd", pairs.items(), SHADES, strict=False):
        for group in pair:
            curve(axes, group, lambda one, window: one.perplexity(corpus, window))
        panel(axes, letter, f"{millions(tokens)} tokens")
        _lead(grid[-1], *pair, corpus, label=f"{millions(tokens)} tokens", color=color)
    grid[0].set_ylabel(f"perplexity, {corpus}, {one.context_tokens} tokens")
    panel(grid[-1], "abcd"[len(pairs)], "direct above PI (%)")
    grid[-1].axhline(100 * (WITHIN - 1), color="0.5", lw=0.6, ls="--")
    steps_axis(grid[-1], one.steps)
    for axes in grid:
        axes.set_xlabel("fine-tuning steps")
    (ways, way_names), (models, model_names) = (axes.get_legend_handles_labels() for axes in (grid[0], grid[-1]))
    named = ([*ways, *models], [*way_names, *model_names])
    figure.legend(*named, loc="outside lower center", ncols=len(ways) + len(models))
    return figure


def _lead(axes: Axes, pi: Group, direct: Group, corpus: str, *, label: str, color: str) -> None:
    leads = lead(pi, direct, corpus)
    steps = [step for step, _ in leads]
    mean, low, high = (
        [100 * math.expm1(nats) for nats in ends]
        for ends in zip(*((change.mean, change.low, change.high) for _, change in leads), strict=True)
    )
    axes.plot(steps, mean, color=color, marker=".", label=label)
    axes.fill_between(steps, low, high, color=color, alpha=0.2, lw=0)
