"""What a checkpoint is, as its files say, and what is unusual about it. No weight is read."""

import math
from typing import Any

from transformers import PreTrainedTokenizerBase

from pi_model.examine.findings import Identity, Oddity
from pi_model.models.families import ModelConfig, family_of, sliding_window
from pi_model.models.loading import first_token
from pi_model.models.rope_parameters import Extension
from pi_model.planning import Shape


def identity(
    model: str,
    content: dict[str, Any],
    config: ModelConfig,
    extension: Extension,
    tokenizer: PreTrainedTokenizerBase,
    dtype: str,
) -> Identity:
    """Describe a checkpoint.

    Args:
        model: what the caller named.
        content: the content of its config.json.
        config: the same as transformers has it.
        extension: how its positions are scaled.
        tokenizer: its tokenizer.
        dtype: number format of its weights.
    """
    shape = Shape.of(config)
    bos = first_token(tokenizer)
    return Identity(
        model=model,
        family=family_of(config).model_type,
        parameters=shape.layers * shape.layer_parameters + shape.root_parameters,
        dtype=dtype,
        layers=shape.layers,
        heads=shape.heads,
        kv_heads=shape.keys // extension.head_dim,
        head_dim=extension.head_dim,
        base=extension.base,
        vocabulary=shape.vocabulary,
        method=extension.method,
        factor=extension.factor,
        window_tokens=extension.window_tokens,
        window_from=extension.source,
        context_tokens=extension.context_tokens,
        tokenizer=f"{type(tokenizer).__name__}, {len(tokenizer)} tokens",
        bos=None if bos is None else str(tokenizer.convert_ids_to_tokens(bos)),
        oddities=tuple(_oddities(content, config, extension, bos)),
    )


def _oddities(content: dict[str, Any], config: ModelConfig, extension: Extension, bos: int | None) -> list[Oddity]:
    family = family_of(config)
    found = []
    if extension.method != "none":
        found.append(
            Oddity(
                f"extended already, by {extension.method} x{extension.factor:g}",
                "a further extension must use the same method, and the factors multiply",
            )
        )
    if "--window" in extension.source:
        found.append(
            Oddity(
                f"the trained window is not certain: {extension.source}",
                "all that follows is wrong if it is another; --window says it",
            )
        )
    biased = [
        *family.biased,
        *(name for key, names in family.optional_biases if getattr(config, key) for name in names),
    ]
    if any(name in biased for name in ("q_proj", "k_proj")):
        found.append(
            Oddity(
                "queries and keys have biases",
                "they give scores a part that depends on distance alone; it is scaled like all others",
            )
        )
    if family.qk_norm:
        found.append(Oddity("queries and keys go through a norm", "the coefficients |h_j| of its heads are bounded"))
    if hidden := sliding_window(config, math.inf):
        found.append(
            Oddity(str(hidden), "these layers see no further, whatever the scaling; only layers with full attention do")
        )
    if config.tie_word_embeddings:
        found.append(Oddity("the head is the embedding", "nothing changes for a longer window"))
    if content.get("auto_map"):
        found.append(
            Oddity("the folder has code of its own", "it is not run; the model is transformers' own of this family")
        )
    if bos is None:
        found.append(Oddity("texts begin with no BOS token", "the first token of a text is not scored"))
    if abs(extension.context_tokens / extension.window_tokens - extension.factor) > 1e-6 and extension.factor > 1:
        found.append(
            Oddity(
                f"it serves {extension.context_tokens} tokens, which is not its factor times its window",
                "the config says so, as for Llama 3.1; reach says how far its phases are known",
            )
        )
    return found
