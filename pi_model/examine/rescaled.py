"""A loaded model whose positions are scaled otherwise for the length of a measurement, without loading it again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pi_model.models.families import CausalLM, model_config, rotary_embedding
from pi_model.models.rope_parameters import Extension, check_frequencies, write_extension


@contextmanager
def rescaled(model: CausalLM, content: dict[str, Any], extension: Extension) -> Iterator[CausalLM]:
    """The model with another scaling; when the block ends it is as before.

    Args:
        model: the model.
        content: the content of its config.json.
        extension: how positions are to be scaled.

    Raises:
        RunError: transformers would compute other frequencies than `pi_theory` does.
    """
    config = model_config(write_extension(content, extension))
    rotary = rotary_embedding(config).to(model.device)
    check_frequencies(rotary, config)
    before = model.config, model.model.rotary_emb
    # The layers keep the config that they were made with, which says how attention is computed.
    model.config, model.model.rotary_emb = config, rotary
    try:
        yield model
    finally:
        model.config, model.model.rotary_emb = before
