"""The loss of the same last tokens of each text, by how much of it a model sees before them.

Perplexity by window compares other tokens at each window. Here every context ends with the same tokens, so that
differences are paired text by text, and what lies beyond the old window either lowers the loss or does not. Passages
that are copied from near tell whether a model copies at all, and those copied from far whether it does so from beyond
its old window.
"""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments.measurement.compared_models import compared_model, tokenizer_and_window, weights
from experiments.measurement.excerpts import excerpts
from experiments.measurement.kept import Measured, kept
from experiments.measurement.long_texts import repeated, stretch
from pi_model.data.documents import Documents, Source, tokenizer_sha256
from pi_model.errors import UsageError
from pi_model.evaluation.perplexity import losses_by_token
from pi_model.models.loading import Checkpoint

_DECIMALS = 6  # of a text's loss: a hundredth of the smallest difference that an interval tells from zero

# What a config's ``corpora`` may be: the source of each, and whether its texts end with passages that stand before.
TEXTS: dict[str, dict[str, Any]] = {
    "books": {"source": "books"},
    "packages": {"source": "code", "joined": True},
    "near repeats": {"source": "books", "repeats": "near"},
    "far repeats": {"source": "books", "repeats": "far"},
}


def context_losses(config: dict[str, Any], folder: Path, *, progress: bool = True) -> Measured:
    """The loss of each text's last tokens by model, corpus and context; what the folder has is not measured again.

    Args:
        config: ``model`` and ``models``, see `compared_model`; ``contexts`` in tokens, rising; ``last_tokens``, how
            many are scored; ``passage_tokens``, of each passage that is repeated; ``corpora`` as `TEXTS`; ``texts`` of
            each, ``split``, ``seed``, ``dtype`` and, if not the CPU, ``device``.
        folder: where each loss is kept.
        progress: whether to show a bar.

    Returns:
        ``window_tokens``, that of the model as it was trained; ``models``, each an entry of config["models"] with
        ``context_tokens``, what it serves, and ``document_loss_nats[corpus][context]``, one loss for each text at every
        context up to that; ``texts[corpus]``, what each was cut from; and ``measured_on``, the hashes of what was read.
    """
    if min(config["contexts"]) <= config["last_tokens"]:
        raise UsageError(f"contexts: {min(config['contexts'])} tokens leave none before {config['last_tokens']}")
    tokenizer, window = tokenizer_and_window(config)
    texts = {corpus: _texts(config, corpus, tokenizer, window) for corpus in config["corpora"]}
    models = []
    for number, one in enumerate(config["models"]):
        with compared_model(config, one, tokenizer) as checkpoint:
            served = checkpoint.extension.context_tokens
            losses: dict[str, dict[str, list[float]]] = {}
            hidden = None if progress else True  # None shows the bar on a terminal only
            for corpus, found in tqdm(texts.items(), desc=one["name"], unit="corpus", leave=False, disable=hidden):
                for context in config["contexts"]:
                    if context > served:
                        continue
                    here = folder / f"model-{number}" / corpus / str(context)
                    losses.setdefault(corpus, {})[str(context)] = [
                        kept(
                            here / f"{text}.json",
                            partial(last_loss, checkpoint, ids, context=context, last_tokens=config["last_tokens"]),
                        )["loss_nats"]
                        for text, ids in enumerate(found.tokens)
                    ]
        models.append({**one, "context_tokens": served, "document_loss_nats": losses})
    return {
        "window_tokens": window,
        "models": models,
        "texts": {corpus: list(found.names) for corpus, found in texts.items()},
        "measured_on": {
            "weights": weights(config),
            "tokenizer": tokenizer_sha256(tokenizer),
            **{corpus: found.sha256 for corpus, found in texts.items()},
        },
    }


def last_loss(checkpoint: Checkpoint, ids: np.ndarray, *, context: int, last_tokens: int) -> Measured:
    """The mean loss in nats of a text's last tokens, where all that is read are so many tokens, BOS included."""
    seen = ids[len(ids) - context + (checkpoint.bos_id is not None) :]
    losses = losses_by_token(checkpoint.model, seen, checkpoint.bos_id)[-last_tokens:]
    return {"loss_nats": round(float(losses.mean()), _DECIMALS)}


def _texts(config: dict[str, Any], corpus: str, tokenizer: Any, window: int) -> Documents:
    """The texts of an entry of config["corpora"], as long as the longest context."""
    settings, tokens = config["corpora"][corpus], max(config["contexts"])
    source = Source(settings["source"], split=config["split"])
    joined = settings.get("joined", False)
    found = excerpts(source, tokenizer, tokens, config["texts"], config["seed"], joined=joined)
    if "repeats" not in settings:
        return found
    last_tokens = config["last_tokens"]
    part = stretch(settings["repeats"], tokens=tokens, window=window, last_tokens=last_tokens)
    copied = [
        repeated(
            ids,
            part,
            last_tokens=last_tokens,
            passage_tokens=config["passage_tokens"],
            seed=[config["seed"], number],
        )
        for number, ids in enumerate(found.tokens)
    ]
    return Documents(found.names, copied)


def conclusion(metrics: dict[str, Any]) -> str:
    """The mean loss of each model on the first corpus at the longest context that it serves."""
    said = []
    for model in metrics["models"]:
        losses = next(iter(model["document_loss_nats"].values()))
        context = max(losses, key=int)
        said.append(f"{model['name']} {np.mean(losses[context]):.3f} nats from {context} tokens")
    return f"on {next(iter(metrics['texts']))}: {', '.join(said)}"
