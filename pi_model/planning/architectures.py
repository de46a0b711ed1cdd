"""The architectures that can be planned without their weights, and what a plan needs to know of one.

The sizes of a known model are read without torch and transformers, so that its plan is there at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pi_model.errors import UsageError
from pi_model.models.config_file import read_config
from pi_model.models.families import ModelConfig, family_of, model_config, refuse_unseen_context, sliding_window
from pi_model.models.rope_parameters import Extension, read_extension, understood
from pi_model.models.sources import SHIPPED
from pi_model.notices import tell_which
from pi_model.planning.known_models import KNOWN, known_model, known_names
from pi_model.training.config import Architecture, Config
from pi_model.training.starting_point import check_start


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
    def of(cls, config: Mapping[str, Any] | ModelConfig) -> "Shape":
        """Read the sizes off a config, and count the weights of its model.

        Args:
            config: transformers' config, or the content of a config.json that says all of these sizes.
        """

        def said(name: str) -> Any:
            return config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)

        family = family_of(config)
        hidden, inner, heads = said("hidden_size"), said("intermediate_size"), said("num_attention_heads")
        size = said("head_dim") or hidden // heads
        queries, keys = heads * size, (said("num_key_value_heads") or heads) * size
        # What each linear layer takes and gives.
        linear = {
            "q_proj": (hidden, queries),
            "k_proj": (hidden, keys),
            "v_proj": (hidden, keys),
            "o_proj": (queries, hidden),
            "gate_proj": (hidden, inner),
            "up_proj": (hidden, inner),
            "down_proj": (inner, hidden),
        }
        biased = {*family.biased, *(name for key, names in family.optional_biases if said(key) for name in names)}
        matrices = sum(takes * gives for takes, gives in linear.values())
        biases = sum(linear[name][1] for name in biased)
        norms = 2 * hidden + (2 * size if family.qk_norm else 0)
        return cls(
            hidden=hidden,
            intermediate=inner,
            layers=said("num_hidden_layers"),
            heads=heads,
            queries=queries,
            keys=keys,
            normed=queries + keys if family.qk_norm else 0,
            vocabulary=said("vocab_size"),
            layer_parameters=matrices + biases + norms,
            root_parameters=(1 if said("tie_word_embeddings") else 2) * said("vocab_size") * hidden + hidden,
        )

    @classmethod
    def of_run(cls, config: Config) -> "Shape":
        """The sizes of the model that a run trains; arguments and errors are those of `architecture`."""
        if config.architecture is not None:
            return cls.of(_new(config.architecture))
        model = str(config.model)
        if known_model(model) is None and model not in SHIPPED:
            return cls.of(architecture(config))
        check_start(present_extension(config), config)
        return cls.of(_content(model))  # no attention slides in these


def architecture(config: Config) -> ModelConfig:
    """The architecture that a run trains. At most one local file is read, and never the network.

    Raises:
        UsageError: The model is neither a known one nor here, has another window than the run expects, or does not see
            the whole context.
        RunError: The config.json or the GGUF file is broken, or does not say which window the model was trained on.
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
    """The architecture of a model by its name, of a folder by its config.json, or of a GGUF file by its metadata.

    Args:
        model: A name that `known_model` knows, "tiny-llama", a folder or a GGUF file.
        window_tokens, context_tokens: As `pi_model.models.rope_parameters.read_extension` takes them.

    Raises:
        UsageError: The model is neither a known one nor here.
        RunError: The config.json or the GGUF file is broken, or does not say which window the model was trained on.
    """
    return model_config(understood(_content(model), window_tokens=window_tokens, context_tokens=context_tokens))


def named_extension(model: str, *, window_tokens: int | None = None, context_tokens: int | None = None) -> Extension:
    """How the positions of a model are scaled; arguments and errors are those of `named_architecture`."""
    return read_extension(_content(model), window_tokens=window_tokens, context_tokens=context_tokens)


def present_extension(config: Config) -> Extension:
    """How the positions of the model that a run fine-tunes are scaled before it; errors as of `named_architecture`."""
    return named_extension(str(config.model), **_said(config))


def _said(config: Config) -> dict[str, int | None]:
    return {"window_tokens": config.trained_window, "context_tokens": config.window_tokens}


def _new(made: Architecture) -> dict[str, Any]:
    """The content of the config.json that a new LLaMA will have, as far as its sizes go."""
    return {
        "model_type": "llama",
        "hidden_size": made.hidden,
        "intermediate_size": made.intermediate,
        "num_hidden_layers": made.layers,
        "num_attention_heads": made.heads,
        "num_key_value_heads": made.kv_heads,
        "vocab_size": made.vocabulary,
        "tie_word_embeddings": True,
    }


def _content(model: str) -> dict[str, Any]:
    """The content of a model's config.json."""
    if (known := known_model(model)) is not None:
        tell_which(model, f"the published {known.model}")
        return known.content
    if model in SHIPPED:
        tell_which(model, "the model that this package ships")
    place = SHIPPED.get(model, Path(model))
    if place.is_file() and place.suffix == ".gguf":
        from pi_model.models.gguf_import import gguf_config  # imports torch

        return gguf_config(place)
    if not place.is_dir():
        near = get_close_matches(model.lower(), KNOWN, n=1)
        raise UsageError(
            f"model: {model} is not here and not known by name{f' (did you mean {near[0]}?)' if near else ''}; give a "
            f"folder that has a config.json, a GGUF file, or one of {known_names()}"
        )
    return read_config(place)
