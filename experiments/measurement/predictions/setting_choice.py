"""Scaling methods chosen by a theory before anything is measured, and how far they come out above the best measured.

Shape suffixes: S settings, W windows, D documents, Q measures of the theory.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Integer

from experiments.measurement.predictions.attention_displacement import from_parts, loss_above
from experiments.measurement.predictions.rank_correlation import over_documents, spearman
from experiments.measurement.predictions.scaling_settings import Setting, rotated
from experiments.measurement.predictions.signal_displacement import MEASURES, signal_displaced
from pi_model.data.documents import Documents, Selection, Source, load_documents
from pi_model.errors import RunError
from pi_model.evaluation.perplexity import losses_by_token
from pi_model.models.loading import Checkpoint
from pi_theory.scaling import DynamicNTK

TIE_NATS = 0.01
"""A choice so close to the best measured setting counts as no worse."""


def other_documents(
    checkpoint: Checkpoint, taken: dict[str, Any], config: dict[str, Any]
) -> tuple[list[np.ndarray], dict[str, Any]]:
    """The first config["tokens"] tokens, BOS included, of documents that were not taken; and which were read.

    config["measured"] says how many of each corpus, drawn from config["split"] with config["seed"].

    Args:
        checkpoint: whose tokenizer is used.
        taken: by corpus, {documents, ...}: what `held_out_documents` says that it read.
        config: the settings named above.

    Raises:
        RunError: a corpus has none left.
    """
    bos = np.array([] if checkpoint.bos_id is None else [checkpoint.bos_id], dtype=np.uint32)
    tokens = config["tokens"] - len(bos)
    rng = np.random.default_rng(config["seed"])
    cut: list[np.ndarray] = []
    read: dict[str, Any] = {}
    for corpus, samples in config["measured"].items():
        found = load_documents(
            Source(corpus, split=config["split"]), checkpoint.tokenizer, Selection(tokens, tokens, None)
        )
        left = [n for n, name in enumerate(found.names) if name not in taken[corpus]["documents"]]
        if not left:
            raise RunError(f"{corpus}: all documents of {tokens} tokens are taken to choose by; give it more documents")
        drawn = sorted(rng.permutation(left)[:samples])
        kept = Documents(tuple(found.names[n] for n in drawn), tuple(found.tokens[n] for n in drawn))
        cut += [np.concatenate([bos, ids]) for ids in kept.tokens]
        read[corpus] = {"documents": list(kept.names), "sha256": kept.sha256}
    return cut, read


def predicted(
    checkpoint: Checkpoint,
    documents: Sequence[Integer[np.ndarray, " T"]],
    settings: Sequence[Setting],
    windows: Sequence[int],
    *,
    queries: int,
    seed: int,
) -> Float[np.ndarray, "D S W Q"]:
    """What every measure of the theory says of every setting at every window, document by document.

    Args:
        checkpoint: not extended.
        documents: as long as the longest window.
        settings: what is compared.
        windows: the tokens in use.
        queries: how many rows of attention are compared, of each document and window.
        seed: of their draw.
    """
    extension, rng = checkpoint.extension, np.random.default_rng(seed)
    out = np.empty((len(documents), len(settings), len(windows), len(MEASURES)))
    for of_document, ids in zip(out, documents, strict=True):
        q_NHTJ, k_NHTJ = from_parts(checkpoint.model, ids, extension.window_tokens, checkpoint.bos_id is not None)
        for place, window in enumerate(windows):
            changes = [setting.change(extension, window) for setting in settings]
            of_document[:, place] = signal_displaced(q_NHTJ, k_NHTJ, rng.integers(1, window, queries), changes)
    return out


def measured(
    checkpoint: Checkpoint,
    documents: Sequence[Integer[np.ndarray, " T"]],
    recent: Sequence[Float[np.ndarray, " t"]],
    settings: Sequence[Setting],
    windows: Sequence[int],
) -> Float[np.ndarray, "D S W"]:
    """The mean loss of each text's first so many tokens under every setting over that of the untouched model, in nats.

    Args:
        checkpoint: not extended.
        documents: as long as the longest window.
        recent: of each, the losses of the untouched model inside its window (`recent_losses`).
        settings: what is compared.
        windows: the tokens in use, rising.
    """
    out = np.empty((len(documents), len(settings), len(windows)))
    for number, setting in enumerate(settings):
        # One pass over the longest window gives the shorter ones, unless frequencies depend on the length.
        passes = windows if isinstance(setting.scaling, DynamicNTK) else windows[-1:]
        for longest in passes:
            with rotated(checkpoint.model, setting.change(checkpoint.extension, longest)) as model:
                for document, (ids, untouched) in enumerate(zip(documents, recent, strict=True)):
                    losses = losses_by_token(model, ids[:longest])
                    for place, window in enumerate(windows):
                        if window == longest or len(passes) == 1:
                            out[document, number, place] = loss_above(losses, untouched, window)
    return out


def held_against_the_best(
    choices: dict[str, int],
    above_DS: Float[np.ndarray, "D S"],
    competing: Sequence[int],
    *,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """What was chosen beside the best measured of the settings that compete.

    Args:
        choices: by rule, the setting that it chose.
        above_DS: measured losses over the untouched model.
        competing: the settings that could have been chosen.
        draws: how often documents are drawn for an interval.
        seed: of the draws.

    Returns:
        ``best``, the index of the setting with the least mean loss, and its ``best_nats``; and by rule {setting, nats,
        above_best: {value, interval}}, where every draw of documents has a best of its own.
    """
    mean_S = above_DS.mean(axis=0)
    best = min(competing, key=lambda s: mean_S[s])

    def above_best(setting: int) -> Callable[[np.ndarray], float]:
        own = competing.index(setting)

        def above(drawn: np.ndarray) -> float:
            means = above_DS[drawn][:, competing].mean(axis=0)
            return float(means[own] - means.min())

        return above

    return {
        "best": best,
        "best_nats": float(mean_S[best]),
        "rules": {
            rule: {
                "setting": setting,
                "nats": float(mean_S[setting]),
                "above_best": over_documents(above_best(setting), len(above_DS), draws=draws, seed=seed),
            }
            for rule, setting in choices.items()
        },
    }


def summary(cells: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """By rule, over cells of `held_against_the_best`: how often it chose the best, and how far above it was otherwise.

    Returns:
        ``best``, ``tied`` (within `TIE_NATS`) and ``cells`` as numbers of cells; ``mean_nats`` and ``largest_nats``
        above the best.
    """
    out = {}
    for rule in cells[0]["rules"]:
        above = np.array([cell["rules"][rule]["above_best"]["value"] for cell in cells])
        out[rule] = {
            "best": int((above == 0).sum()),
            "tied": int((above <= TIE_NATS).sum()),
            "cells": len(cells),
            "mean_nats": float(above.mean()),
            "largest_nats": float(above.max()),
        }
    return out


def correlations(
    predicted_KSW: Float[np.ndarray, "K S W"],
    above_DSW: Float[np.ndarray, "D S W"],
    corpus_D: Integer[np.ndarray, " D"],
    ranges: dict[str, Bool[np.ndarray, " W"]],
    cells: Sequence[tuple[int, Sequence[int]]],
    *,
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """Rank correlations of a measure with the loss, with intervals over documents.

    Args:
        predicted_KSW: the measure, mean over the documents of each corpus.
        above_DSW: the measured losses.
        corpus_D: the corpus that each measured document belongs to.
        ranges: by name, windows whose cases are ranked together.
        cells: windows by their place, each with settings that compete there; ``among`` is the mean over cells of the
            correlation among these.
        draws: how often documents are drawn.
        seed: of the draws.
    """

    def over(which_W: np.ndarray) -> Callable[[np.ndarray], float | None]:
        def correlation(drawn: np.ndarray) -> float | None:
            pairs = [
                (predicted_KSW[k][:, which_W].ravel(), above_DSW[mine][:, :, which_W].mean(axis=0).ravel())
                for k in range(len(predicted_KSW))
                if (mine := drawn[corpus_D[drawn] == k]).size
            ]
            return spearman(*map(np.concatenate, zip(*pairs, strict=True)))  # type: ignore[arg-type]

        return correlation

    def among(drawn: np.ndarray) -> float:
        theirs, losses = predicted_KSW.mean(axis=0), above_DSW[drawn].mean(axis=0)
        each = [spearman(theirs[which, w].tolist(), losses[which, w].tolist()) for w, which in cells]
        return float(np.mean([one for one in each if one is not None]))

    made = {name: over(which_W) for name, which_W in ranges.items() if which_W.any()}
    return {
        name: over_documents(one, len(above_DSW), draws=draws, seed=seed)
        for name, one in {**made, "among": among}.items()
    }
