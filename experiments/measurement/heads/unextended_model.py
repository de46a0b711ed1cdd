"""A model that is not extended, with the bounds of its scores and held-out documents: what studies of heads start from.

Each function takes the study's config, of which it reads the keys that it names.
"""

from typing import Any

import numpy as np

from experiments.measurement.heads.scores import Bounds
from pi_model.data.documents import Selection, Source, load_documents, tokenizer_sha256
from pi_model.errors import UsageError
from pi_model.files import sha256_file
from pi_model.models.families import sliding_window
from pi_model.models.loading import Checkpoint, load_checkpoint, weight_files
from pi_theory.scaling import NoScaling


def unextended_model(config: dict[str, Any]) -> tuple[Checkpoint, Bounds]:
    """The checkpoint config["model"] in float32, and the bounds at its head dimension, base and window.

    The bounds are for config["factor"] and the multiples config["beyond"] of the window.

    Raises:
        UsageError: the checkpoint is extended, or layers of it do not see the whole window.
    """
    checkpoint = load_checkpoint(config["model"], dtype="float32")
    extension = checkpoint.extension
    if not isinstance(extension.scaling, NoScaling):
        raise UsageError(f"model: {config['model']} is extended; give the checkpoint that it was extended from")
    if hidden := sliding_window(checkpoint.model.config, extension.window_tokens):
        raise UsageError(f"model: {config['model']}: {hidden}; its heads do not see all distances of the window")
    return checkpoint, Bounds(
        head_dim=extension.head_dim,
        base=extension.base,
        window=extension.window_tokens,
        factor=config["factor"],
        beyond=config["beyond"],
    )


def described(checkpoint: Checkpoint, config: dict[str, Any]) -> dict[str, Any]:
    """What a record says of the model: its name, size, window and heads."""
    extension = checkpoint.extension
    return {
        "name": str(config["model"]),
        "parameters": checkpoint.model.num_parameters(),
        "window_tokens": extension.window_tokens,
        "head_dim": extension.head_dim,
        "base": extension.base,
        "layers": checkpoint.model.config.num_hidden_layers,
        "heads": checkpoint.model.config.num_attention_heads,
    }


def held_out_documents(checkpoint: Checkpoint, config: dict[str, Any]) -> tuple[list[np.ndarray], dict[str, Any]]:
    """The first config["tokens"] tokens, BOS included, of held-out documents of each corpus; and what was read.

    config["corpora"] says how many documents of each corpus, drawn from config["split"] with config["seed"].

    Returns:
        The documents, and the hashes of weights and tokenizer with {documents, sha256} of each corpus.
    """
    bos = np.array([] if checkpoint.bos_id is None else [checkpoint.bos_id], dtype=np.uint32)
    tokens = config["tokens"] - len(bos)
    cut: list[np.ndarray] = []
    read: dict[str, Any] = {
        "checkpoint": " ".join(sha256_file(path) for path in weight_files(checkpoint.folder)),
        "tokenizer": tokenizer_sha256(checkpoint.tokenizer),
    }
    for corpus, samples in config["corpora"].items():
        selection = Selection(tokens, tokens, samples, config["seed"])
        found = load_documents(Source(corpus, split=config["split"]), checkpoint.tokenizer, selection)
        cut += [np.concatenate([bos, ids]) for ids in found.tokens]
        read[corpus] = {"documents": list(found.names), "sha256": found.sha256}
    return cut, read
