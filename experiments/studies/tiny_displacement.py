"""How far each scaling method moves the attention of the tiny LLaMA, beside the loss that it costs.

The displacement is computed from queries and keys of the unextended model, on texts no longer than its window; the loss
is that of the extended model over the unextended one that reads only the last half to whole window. Nothing is fitted.
"""

from typing import Any

import numpy as np

from experiments.measurement.extended_model import extended_model
from experiments.measurement.heads.unextended_model import described, held_out_documents
from experiments.measurement.pinned_inputs import tiny_llama_heads
from experiments.measurement.predictions.attention_displacement import displaced, from_parts, loss_above
from experiments.measurement.predictions.position_loss import recent_losses
from experiments.measurement.predictions.rank_correlation import over_documents, spearman
from experiments.measurement.predictions.unscaled_checkpoint import unscaled_checkpoint
from experiments.records.study import Study
from pi_model.evaluation.perplexity import losses_by_token
from pi_model.models.loading import load_checkpoint
from pi_theory.displacement import change
from pi_theory.scaling import scaling_by_name


def run(config: dict[str, Any]) -> dict[str, Any]:
    """The displacement and the loss of every method, factor and window, document by document.

    Returns:
        ``cases``: a list of {method, factor, window, corpus, kl, tv, above_nats}, means over a corpus's documents.
        ``rank_correlation``: of KL and of TV with the loss, over all cases in which the method changes anything
        (``all``), over those of them whose window is at most the trained one (``inside``) and over the others
        (``beyond``), with intervals over documents. ``model``, ``measured_on``.
    """
    checkpoint = unscaled_checkpoint(config["model"])
    extension, bos = checkpoint.extension, checkpoint.bos_id is not None
    windows = sorted(config["windows"])
    documents, measured_on = held_out_documents(checkpoint, {**config, "tokens": windows[-1]})
    scalings: list[tuple[str, float]] = [("none", 1)] * ("none" in config["methods"])
    scalings += [(m, f) for m in config["methods"] for f in config["factors"] if m != "none"]
    cases = [(method, factor, window) for method, factor in scalings for window in windows]
    moved_DC = _displacements(checkpoint, documents, scalings, windows, config)
    untouched = [recent_losses(checkpoint.model, ids, extension.window_tokens, bos) for ids in documents]
    above_DC = np.empty(moved_DC.shape[:2])
    for number, (method, factor) in enumerate(scalings):
        with extended_model(config["model"], method, factor) as folder:
            model = load_checkpoint(folder, dtype="float32").model
            for document, ids in enumerate(documents):
                # Dynamic NTK's frequencies depend on the length, so that each length is a pass of its own.
                passes = {
                    end: losses_by_token(model, ids[:end]) for end in (windows if method == "dynamic" else windows[-1:])
                }
                for place, window in enumerate(windows):
                    losses = passes.get(window, passes[windows[-1]])
                    above_DC[document, number * len(windows) + place] = loss_above(losses, untouched[document], window)
    corpora = [corpus for corpus, samples in config["corpora"].items() for _ in range(samples)]
    of_corpus = {corpus: np.array([c == corpus for c in corpora]) for corpus in config["corpora"]}
    # Where a method changes nothing, displacement and loss are 0 by construction and prove nothing.
    changed_C = moved_DC[:, :, 0].max(axis=0) > 0
    inside_C = np.array([window <= extension.window_tokens for _, _, window in cases])
    ranges = {"all": changed_C, "inside": changed_C & inside_C, "beyond": changed_C & ~inside_C}

    def correlation(chosen: np.ndarray, measure: int, which_C: np.ndarray) -> float | None:
        """Over the cases of every corpus, with means over those of the chosen documents that belong to it."""
        predicted, measured = [], []
        for own in of_corpus.values():
            if (mine := chosen[own[chosen]]).size:
                predicted += moved_DC[mine][:, which_C, measure].mean(axis=0).tolist()
                measured += above_DC[mine][:, which_C].mean(axis=0).tolist()
        return spearman(predicted, measured)

    return {
        "cases": [
            {"method": method, "factor": factor, "window": window, "corpus": corpus}
            | dict(zip(("kl", "tv"), moved_DC[own, c].mean(axis=0).tolist(), strict=True))
            | {"above_nats": float(above_DC[own, c].mean())}
            for corpus, own in of_corpus.items()
            for c, (method, factor, window) in enumerate(cases)
        ],
        "rank_correlation": {
            name: {
                of: over_documents(
                    lambda chosen, m=m, w=which_C: correlation(chosen, m, w),  # type: ignore[misc]
                    len(documents),
                    draws=config["bootstrap"],
                    seed=config["seed"],
                )
                for m, of in enumerate(("kl", "tv"))
            }
            for name, which_C in ranges.items()
            if which_C.any()
        },
        "model": described(checkpoint, config),
        "measured_on": measured_on,
    }


def _displacements(
    checkpoint: Any,
    documents: list[np.ndarray],
    scalings: list[tuple[str, float]],
    windows: list[int],
    config: dict[str, Any],
) -> np.ndarray:
    """KL and TV of every document, scaling and window, shape (documents, scalings x windows, 2)."""
    extension = checkpoint.extension
    rng = np.random.default_rng(config["seed"])
    out = np.empty((len(documents), len(scalings), len(windows), 2))
    for document, ids in enumerate(documents):
        q_NHTJ, k_NHTJ = from_parts(checkpoint.model, ids, extension.window_tokens, checkpoint.bos_id is not None)
        for place, window in enumerate(windows):
            changes = [
                change(
                    scaling_by_name(method, factor),
                    head_dim=extension.head_dim,
                    base=extension.base,
                    window=extension.window_tokens,
                    context=window,
                )
                for method, factor in scalings
            ]
            out[document, :, place] = displaced(q_NHTJ, k_NHTJ, rng.integers(1, window, config["queries"]), changes)
    return out.reshape(len(documents), -1, 2)


STUDY = Study(
    name="tiny_displacement",
    says="How far each scaling method moves the attention of the tiny LLaMA, beside the loss that it costs",
    config={
        "model": "tiny-llama",
        "corpora": {"books": 4, "code": 4},  # documents drawn from each
        "split": "test",
        "seed": 0,
        "methods": ["none", "linear", "ntk", "dynamic", "yarn", "llama3"],
        "factors": [2, 4, 8],
        "windows": [64, 128, 256, 384, 512, 768, 1024, 2048],
        "queries": 32,  # of each document and window, at which attention is compared
        "bootstrap": 1000,
    },
    run=run,
    inputs=tiny_llama_heads,
    window=256,
    lengths=("windows",),
    live=False,
    minutes=4,
    profiles={
        "toy": {
            "corpora": {"books": 1, "code": 1},
            "factors": [2],
            "windows": [128, 256, 512],
            "queries": 4,
            "bootstrap": 10,
        }
    },
)
