"""What a checkpoint is, as its config and the headers of its weight files say, and what is unusual about it.

No weight is read, and neither torch nor transformers is imported.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pi_model.errors import RunError
from pi_model.examine.findings import Identity, Oddity
from pi_model.models.families import family_of
from pi_model.models.rope_parameters import Extension
from pi_model.models.weights import HEAD, StoredWeight, stored_weights, weight_dtype

_FIRST = "model.layers.0.self_attn."


def identity(
    model: str,
    folder: Path,
    content: Mapping[str, Any],
    extension: Extension,
    *,
    tokenizer: str = "not loaded",
    bos: str | None = None,
) -> Identity:
    """Describe a checkpoint.

    Args:
        model: what the caller named.
        folder: where its files are.
        content: the content of its config.json.
        extension: how its positions are scaled.
        tokenizer: its tokenizer in words.
        bos: the token that begins every text, or None.

    Raises:
        RunError: the folder holds no whole model.
    """
    stored = {name: one for name, one in stored_weights(folder).items() if ".rotary_emb." not in name}
    try:
        vocabulary = stored["model.embed_tokens.weight"].shape[0]
        queries, keys = (stored[f"{_FIRST}{name}.weight"].shape[0] for name in ("q_proj", "k_proj"))
    except KeyError as error:
        raise RunError(f"{folder}: weight {error} is missing; fetch the model again") from None
    tied = bool(content.get("tie_word_embeddings", HEAD not in stored))
    weights = {name: one for name, one in stored.items() if not (tied and name == HEAD)}
    layers = {name.split(".")[2] for name in weights if name.startswith("model.layers.")}
    return Identity(
        model=model,
        family=family_of(content).model_type,
        parameters=sum(math.prod(one.shape) for one in weights.values()),
        dtype=weight_dtype(folder, content),
        layers=len(layers),
        heads=queries // extension.head_dim,
        kv_heads=keys // extension.head_dim,
        head_dim=extension.head_dim,
        base=extension.base,
        vocabulary=vocabulary,
        method=extension.method,
        factor=extension.factor,
        window_tokens=extension.window_tokens,
        window_from=extension.source,
        context_tokens=extension.context_tokens,
        tokenizer=tokenizer,
        bos=bos,
        oddities=tuple(Oddity(what, means) for what, means in _oddities(content, weights, extension, tied)),
    )


def _oddities(
    content: Mapping[str, Any], weights: Mapping[str, StoredWeight], extension: Extension, tied: bool
) -> list[tuple[str, str]]:
    family = family_of(content)
    slides = family.sliding == "all" or (family.sliding == "some" and content.get("use_sliding_window"))
    held = [
        (
            extension.method != "none",
            f"extended already, by {extension.method} x{extension.factor:g}",
            "a further extension must use the same method, and the factors multiply",
        ),
        (
            "--window" in extension.source,
            f"the trained window is not certain: {extension.source}",
            "all that follows is wrong if it is another; --window says it",
        ),
        (
            f"{_FIRST}q_proj.bias" in weights,
            "queries and keys have biases",
            "they give scores a part that depends on distance alone; it is scaled like all others",
        ),
        (family.qk_norm, "queries and keys go through a norm", "the coefficients |h_j| of its heads are bounded"),
        (
            slides and content.get("sliding_window") is not None,
            f"attention slides over {content.get('sliding_window')} tokens (sliding_window)",
            "layers that slide see no further, whatever the scaling",
        ),
        (tied, "the head is the embedding", "nothing changes for a longer window"),
        (
            bool(content.get("auto_map")),
            "the folder has code of its own",
            "it is not run; the model is transformers' own of this family",
        ),
        (
            extension.served_tokens is not None,
            f"it serves {extension.context_tokens} tokens, which is not its factor times its window",
            "its config says so; reach says how far its phases are known",
        ),
    ]
    return [(what, means) for true, what, means in held if true]
