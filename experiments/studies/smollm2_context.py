"""What SmolLM2-135M gains from more context: the loss of the same last tokens when it sees fewer or more before them.

Perplexity by window compares other tokens at each window. Here every context ends with the same tokens, so that
differences are paired text by text, and what lies beyond the old window either lowers the loss or does not. Passages
that are copied from near tell whether a model copies at all, and those copied from far whether it does so from beyond
its old window. The scored tokens are the last 256 of each text, so small gains need more texts than there are here.
"""

import shutil
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from experiments.measurement.compared_models import (
    UNTRAINED,
    compared_model,
    comparison_folder,
    tokenizer_and_window,
    weights,
)
from experiments.measurement.kept import Measured, kept
from experiments.measurement.long_texts import long_texts, repeated, stretch
from experiments.measurement.pinned_inputs import smollm2_and_corpora
from experiments.records.study import Study
from pi_model.data.documents import Documents, Selection, Source, tokenizer_sha256
from pi_model.errors import UsageError
from pi_model.evaluation.perplexity import losses_by_token
from pi_model.models.loading import Checkpoint

_DECIMALS = 6  # of a text's loss: a hundredth of the smallest difference that an interval tells from zero


def run(config: dict[str, Any], *, progress: bool = True) -> dict[str, Any]:
    """The loss of each text's last tokens by model, corpus and context; an interrupted run goes on where it stopped.

    Returns:
        ``window_tokens``, that of the model as it was trained; ``models``, each an entry of config["models"] with
        ``context_tokens``, what it serves, and ``document_loss_nats[corpus][context]``, one loss for each text at every
        context up to that; ``texts[corpus]``, their names; ``measured_on``, the hashes of what was read; and
        ``resumed``, whether part of it was kept from an earlier start, which the wall time then leaves out.
    """
    if min(config["contexts"]) <= config["last_tokens"]:
        raise UsageError(f"contexts: {min(config['contexts'])} tokens leave none before {config['last_tokens']}")
    folder = comparison_folder("smollm2_context", config)
    resumed = folder.exists()
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
    out = {
        "window_tokens": window,
        "models": models,
        "texts": {corpus: list(found.names) for corpus, found in texts.items()},
        "measured_on": {
            "weights": weights(config),
            "tokenizer": tokenizer_sha256(tokenizer),
            **{corpus: found.sha256 for corpus, found in texts.items()},
        },
        "resumed": resumed,
    }
    shutil.rmtree(folder, ignore_errors=True)
    return out


def last_loss(checkpoint: Checkpoint, ids: np.ndarray, *, context: int, last_tokens: int) -> Measured:
    """The mean loss in nats of a text's last tokens, where all that is read are so many tokens, BOS included."""
    seen = ids[len(ids) - context + (checkpoint.bos_id is not None) :]
    losses = losses_by_token(checkpoint.model, seen, checkpoint.bos_id)[-last_tokens:]
    return {"loss_nats": round(float(losses.mean()), _DECIMALS)}


def _texts(config: dict[str, Any], corpus: str, tokenizer: Any, window: int) -> Documents:
    """The texts of an entry of config["corpora"], as long as the longest context."""
    settings, tokens = config["corpora"][corpus], max(config["contexts"])
    source = Source(settings["source"], split=config["split"])
    selection = Selection(tokens, tokens, config["texts"], config["seed"])
    found = long_texts(source, tokenizer, selection, joined=settings.get("joined", False))
    if "repeats" not in settings:
        return found
    last_tokens = config["last_tokens"]
    part = stretch(settings["repeats"], tokens=tokens, window=window, last_tokens=last_tokens)
    copied = (
        repeated(
            ids,
            part,
            last_tokens=last_tokens,
            passage_tokens=config["passage_tokens"],
            seed=[config["seed"], number],
        )
        for number, ids in enumerate(found.tokens)
    )
    return Documents(found.names, tuple(copied))


def inputs() -> dict[str, str]:
    """The archives that the checkpoint and the documents come from."""
    return smollm2_and_corpora(["books", "code"])


def conclusion(metrics: dict[str, Any]) -> str:
    """The mean loss of each model on the first corpus at the longest context that it serves."""
    said = []
    for model in metrics["models"]:
        losses = next(iter(model["document_loss_nats"].values()))
        context = max(losses, key=int)
        said.append(f"{model['name']} {np.mean(losses[context]):.3f} nats from {context} tokens")
    return f"on {next(iter(metrics['texts']))}: {', '.join(said)}"


STUDY = Study(
    name="smollm2_context",
    says="The loss of the same tokens is measured by how many tokens SmolLM2-135M sees before them, as trained and "
    "extended x2 by PI and YaRN, without fine-tuning",
    config={
        "model": "smollm2-135m",
        "models": UNTRAINED,
        # read up to the end of each text, the scored tokens included: a sixteenth of the window to twice the window
        "contexts": [512, 1024, 2048, 4096, 8192, 16384],
        "last_tokens": 256,  # that are scored
        "passage_tokens": 64,  # of each passage that is repeated
        "corpora": {
            "books": {"source": "books"},
            "packages": {"source": "code", "joined": True},
            "near repeats": {"source": "books", "repeats": "near"},
            "far repeats": {"source": "books", "repeats": "far"},
        },
        "texts": 8,  # of each corpus
        "split": "test",
        "seed": 0,
        "dtype": "bfloat16",
    },
    run=run,
    inputs=inputs,
    window=8192,
    lengths=("contexts", "last_tokens", "passage_tokens"),
    live=False,
    conclusion=conclusion,
    minutes=180,
    profiles={
        "gpu": {"device": "cuda"},
        # In proportion to its window a passage would have two tokens.
        "tiny": {
            "model": "tiny-llama",
            "models": [*UNTRAINED, {"name": "PI ×4", "method": "linear", "factor": 4.0}],
            "contexts": [64, 128, 256, 512, 1024],
            "last_tokens": 32,
            "passage_tokens": 16,
            "dtype": "float32",
        },
        "toy": {
            "contexts": [128, 256],
            "last_tokens": 64,
            "corpora": {"books": {"source": "books"}, "packages": {"source": "code", "joined": True}},
            "texts": 1,
        },
    },
)
