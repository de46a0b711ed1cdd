"""The architectures that can be planned without their weights, and what a plan needs to know of one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from transformers import LlamaConfig

from pi_model.errors import UsageError
from pi_model.models.config_file import read_config
from pi_model.models.families import (
    ModelConfig,
    empty_model,
    family_of,
    model_config,
    refuse_unseen_context,
    sliding_window,
)
from pi_model.models.rope_parameters import Extension, read_extension, understood
from pi_model.models.sources import SHIPPED
from pi_model.notices import tell_which
from pi_model.training.config import Config
from pi_model.training.recipes import LLAMA
from pi_model.training.starting_point import check_start

# LLaMA 1 by hub name: hidden size, intermediate size, layers and heads, from Table 2 of Touvron et al. 2023
# (arXiv:2302.13971) and the published config.json files.
_LLAMA_1 = {
    LLAMA["7b"]: (4096, 11008, 32, 32),
    LLAMA["13b"]: (5120, 13824, 40, 40),
    LLAMA["33b"]: (6656, 17920, 60, 52),
    LLAMA["65b"]: (8192, 22016, 80, 64),
}


@dataclass(frozen=True)
class Shape:
    """The sizes of an architecture that the formulas of a plan need."""

    hidden: Annotated[int, "size of the hidden state of a token"]
    intermediate: Annotated[int, "size of the MLP's inner state"]
    layers: Annotated[int, "transformer layers"]
    heads: Annotated[int, "query heads in a layer"]
    queries: Annotated[int, "size of a token's queries, over all heads"]
    keys: Annotated[int, "size of a token's keys, over all key-value heads; values have the same size"]
    normed: Annotated[int, "size of a token's queries and keys where they go through a norm of their own, else 0"]
    vocabulary: Annotated[int, "tokens in the vocabulary"]
    layer_parameters: Annotated[int, "weights of one layer"]
    root_parameters: Annotated[int, "weights outside the layers: embedding, last norm and head"]

    @classmethod
    def of(cls, config: ModelConfig) -> "Shape":
        """Read the sizes off a config, and count the weights of its model on the meta device."""
        # Layers differ in their attention at most, which has no weights of its own.
        content = config.to_dict() | {"num_hidden_layers": 1}
        content.pop("layer_types", None)
        with torch.device("meta"):
            model = empty_model(model_config(content))
        layer = sum(parameter.numel() for parameter in model.model.layers.parameters())
        attention = model.model.layers[0].self_attn
        queries, keys = attention.q_proj.out_features, attention.k_proj.out_features
        return cls(
            hidden=config.hidden_size,
            intermediate=config.intermediate_size,
            layers=config.num_hidden_layers,
            heads=config.num_attention_heads,
            queries=queries,
            keys=keys,
            normed=queries + keys if family_of(config).qk_norm else 0,
            vocabulary=config.vocab_size,
            layer_parameters=layer,
            root_parameters=sum(parameter.numel() for parameter in model.parameters()) - layer,
        )


def architecture(config: Config) -> ModelConfig:
    """The architecture that a run trains. At most one local config.json is read, and never the network.

    Raises:
        UsageError: The model is neither a known one nor a folder here, has another window than the run expects, or does
            not see the whole context.
        RunError: The config.json of the folder is broken, or does not say which window the model was trained on.
    """
    made = config.architecture
    if made is None:
        check_start(present_extension(config), config)
        found = named_architecture(str(config.model), **_said(config))
        refuse_unseen_context(found, config.context_tokens)
        if hidden := sliding_window(found, config.training_tokens):
            raise UsageError(f"model: {hidden}; there are no formulas for shorter attention than the training windows")
        return found
    return made.hf_config(config.window_tokens)


def named_architecture(
    model: str, *, window_tokens: int | None = None, context_tokens: int | None = None
) -> ModelConfig:
    """The architecture of a model by its name, or of a folder by its config.json.

    Args:
        model: The hub name of a LLaMA 1, "smollm2-135m", a key of `SHIPPED`, or a folder.
        window_tokens, context_tokens: As `pi_model.models.rope_parameters.read_extension` takes them.

    Raises:
        UsageError: The model is neither a known one nor a folder here.
        RunError: The config.json of the folder is broken, or does not say which window the model was trained on.
    """
    if _is_llama_1(model):
        hidden, intermediate, layers, heads = _LLAMA_1[model]
        return LlamaConfig(
            hidden_size=hidden,
            intermediate_size=intermediate,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            vocab_size=32000,
            max_position_embeddings=2048,
        )
    if model == "smollm2-135m":
        tell_which(model, "the model from the package index")
        return LlamaConfig(
            hidden_size=576,
            intermediate_size=1536,
            num_hidden_layers=30,
            num_attention_heads=9,
            num_key_value_heads=3,
            vocab_size=49152,
            max_position_embeddings=8192,
            tie_word_embeddings=True,
        )
    content = understood(_content(model), window_tokens=window_tokens, context_tokens=context_tokens)
    return model_config(content)


def named_extension(model: str, *, window_tokens: int | None = None, context_tokens: int | None = None) -> Extension:
    """How the positions of a model are scaled; arguments and errors are those of `named_architecture`."""
    named = _is_llama_1(model) or model == "smollm2-135m"
    config = named_architecture(model) if named else _content(model)
    return read_extension(config, window_tokens=window_tokens, context_tokens=context_tokens)


def present_extension(config: Config) -> Extension:
    """How the positions of the model that a run fine-tunes are scaled before it; errors as of `named_architecture`."""
    return named_extension(str(config.model), **_said(config))


def _said(config: Config) -> dict[str, int | None]:
    return {"window_tokens": config.trained_window, "context_tokens": config.window_tokens}


def _is_llama_1(model: str) -> bool:
    """Whether a name means a LLaMA 1 on the hub; as everywhere, a folder here comes before the hub."""
    return model in _LLAMA_1 and not Path(model).is_dir()


def _content(model: str) -> dict[str, Any]:
    """The content of a folder's config.json."""
    folder = SHIPPED.get(model, Path(model))
    if model in SHIPPED:
        tell_which(model, "the model that this package ships")
    if not folder.is_dir():
        known = ", ".join(["smollm2-135m", *SHIPPED, *(f"llama-{size}" for size in LLAMA)])
        raise UsageError(f"model: {model} is no folder here; give a folder that has a config.json, or one of {known}")
    return read_config(folder)
