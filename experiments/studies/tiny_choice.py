"""The method and settings that theory chooses for the tiny LLaMA and a longer window, beside the best measured ones.

The choice is made before any extended model runs: from queries and keys of the untouched model on texts no longer than
its window, of documents on which nothing is measured afterwards. The setting with the least displacement is chosen. The
losses are those of other documents. Nothing is fitted to losses; but which displacement to take was decided after 115
were compared on the documents that the choice reads (LOG.md).
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from experiments.measurement.heads.unextended_model import described, held_out_documents
from experiments.measurement.pinned_inputs import tiny_llama_heads
from experiments.measurement.predictions.position_loss import recent_losses
from experiments.measurement.predictions.scaling_settings import Setting, grid_settings
from experiments.measurement.predictions.setting_choice import (
    correlations,
    held_against_the_best,
    measured,
    other_documents,
    predicted,
    summary,
)
from experiments.measurement.predictions.signal_displacement import MEASURES
from experiments.measurement.predictions.unscaled_checkpoint import unscaled_checkpoint
from experiments.records.study import Study


def run(config: dict[str, Any]) -> dict[str, Any]:
    """Chooses for every factor and window by every measure of `signal_displaced`, and measures every setting.

    Returns:
        ``settings``: a list of {method, factor, settings}; elsewhere a setting is its place in it. ``cases``: the
        same with {window, predicted, above_nats}, of which ``predicted`` is by measure and ``above_nats`` by corpus.
        ``choices``: for every factor and window, see `held_against_the_best`; rules are the measures and each method
        with its default settings. ``choices_of_factor``: for every window, with all factors to choose from.
        ``summary`` and ``summary_of_factor``: of windows up to the trained one (``inside``) and of the others
        (``beyond``), see `summary`. ``rank_correlation``: by measure, over the cases of these windows and of all, and
        the mean among the settings that compete at a factor and window (``among``). ``model``, ``read``, the documents
        to choose by, and ``measured_on``.
    """
    checkpoint = unscaled_checkpoint(config["model"])
    extension = checkpoint.extension
    windows = sorted(config["windows"])
    lengths = {**config, "tokens": windows[-1]}
    to_read, read = held_out_documents(checkpoint, lengths)
    to_measure, measured_on = other_documents(checkpoint, read, lengths)
    corpora = list(config["corpora"])
    read_D, corpus_D = (
        np.array([corpora.index(c) for c in corpora for _ in which[c]["documents"]]) for which in (read, measured_on)
    )

    settings: list[Setting] = []
    of_factor: dict[float, list[int]] = {}
    for factor in config["factors"]:
        own = grid_settings(config["grid"], factor, extension)
        settings += [one for one in own if one not in settings]
        of_factor[factor] = [settings.index(one) for one in own]

    predicted_DSWQ = predicted(checkpoint, to_read, settings, windows, queries=config["queries"], seed=config["seed"])
    recent = [
        recent_losses(checkpoint.model, ids, extension.window_tokens, checkpoint.bos_id is not None)
        for ids in to_measure
    ]
    above_DSW = measured(checkpoint, to_measure, recent, settings, windows)

    predicted_SWQ = predicted_DSWQ.mean(axis=0)
    predicted_KSWQ = np.stack([predicted_DSWQ[read_D == k].mean(axis=0) for k in range(len(corpora))])
    drawing = {"draws": config["bootstrap"], "seed": config["seed"]}

    def cell(competing: list[int], place: int, defaults: bool) -> dict[str, Any]:
        choices = {name: min(competing, key=lambda s: predicted_SWQ[s, place, q]) for q, name in enumerate(MEASURES)}
        if defaults:
            for s in reversed(competing):
                choices[settings[s].method] = s
        return held_against_the_best(choices, above_DSW[:, :, place], competing, **drawing)

    def competing(group: Iterable[int], window: int) -> list[int]:
        """Inside the window, those that change nothing there cost nothing and are left out."""
        costless = ("none", "dynamic") if window <= extension.window_tokens else ()
        return [s for s in group if settings[s].method not in costless]

    choices = [
        {"factor": factor, "window": window, **cell(competing(group, window), place, True)}
        for factor, group in of_factor.items()
        for place, window in enumerate(windows)
    ]
    choices_of_factor = [
        {"window": window, **cell(competing(range(len(settings)), window), place, False)}
        for place, window in enumerate(windows)
    ]
    inside_W = np.array([window <= extension.window_tokens for window in windows])

    def by_range(cells: list[dict[str, Any]]) -> dict[str, Any]:
        of_range = {
            "inside": [one for one in cells if one["window"] <= extension.window_tokens],
            "beyond": [one for one in cells if one["window"] > extension.window_tokens],
        }
        return {name: summary(some) for name, some in of_range.items() if some}

    return {
        "settings": [one.as_json for one in settings],
        "cases": [
            {
                **one.as_json,
                "window": window,
                "predicted": dict(zip(MEASURES, predicted_SWQ[s, place].tolist(), strict=True)),
                "above_nats": {c: float(above_DSW[corpus_D == k, s, place].mean()) for k, c in enumerate(corpora)},
            }
            for s, one in enumerate(settings)
            for place, window in enumerate(windows)
        ],
        "choices": choices,
        "choices_of_factor": choices_of_factor,
        "summary": by_range(choices),
        "summary_of_factor": by_range(choices_of_factor),
        "rank_correlation": {
            name: correlations(
                predicted_KSWQ[..., q],
                above_DSW,
                corpus_D,
                {"all": inside_W | True, "inside": inside_W, "beyond": ~inside_W},
                [(place, competing(group, w)) for group in of_factor.values() for place, w in enumerate(windows)],
                **drawing,
            )
            for q, name in enumerate(MEASURES)
        },
        "model": described(checkpoint, config),
        "read": read,
        "measured_on": measured_on,
    }


STUDY = Study(
    name="tiny_choice",
    says="The method and settings that theory chooses for the tiny LLaMA and a longer window, beside the best measured",
    config={
        "model": "tiny-llama",
        "corpora": {"books": 4, "code": 4},  # documents to choose by, drawn from each
        "measured": {"books": 6, "code": 6},  # other documents, on which losses are measured
        "split": "test",
        "seed": 0,
        # of each setting the default comes first
        "grid": {
            "none": {},
            "linear": {},
            "ntk": {},
            "dynamic": {},
            "yarn": {"beta_fast": [32, 64, 8, 4], "beta_slow": [1, 2, 4], "temperature": [True, False]},
            "llama3": {"low_freq_factor": [1, 2], "high_freq_factor": [4, 2, 8]},
        },
        "factors": [2, 4, 8],
        "windows": [256, 512, 1024, 2048],
        "queries": 24,  # of each document and window, at which attention is compared
        "bootstrap": 1000,
    },
    run=run,
    inputs=tiny_llama_heads,
    window=256,
    lengths=("windows",),
    live=False,
    minutes=12,
    profiles={
        "toy": {
            "corpora": {"books": 1, "code": 1},
            "measured": {"books": 1, "code": 1},
            "grid": {
                "none": {},
                "linear": {},
                "dynamic": {},
                "yarn": {"beta_fast": [32], "temperature": [True, False]},
            },
            "factors": [2],
            "windows": [256, 512],
            "queries": 4,
            "bootstrap": 10,
        }
    },
)
