"""The families of models that are supported: one table of what differs, and what else depends on the family.

They share LLaMA's skeleton. A layer is RMSNorm, rotated attention over grouped keys, RMSNorm, and a gated MLP; its
linear layers and weights have the same names in all of them. What differs:

======== ==================== ================ ================ =========================
family   biases               q and k normed   size of a head   sliding attention
======== ==================== ================ ================ =========================
LLaMA    where config says    no               any              no
Mistral  none                 no               any              all layers, or none
Qwen2    q, k and v, always   no               hidden / heads   the layers config says
Qwen3    where config says    yes              any              the layers config says
======== ==================== ================ ================ =========================

Models, configs and rotary embeddings are transformers' own classes. Each is imported when a model first needs it.
"""

import importlib
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pi_model.errors import RunError, UsageError

if TYPE_CHECKING:
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        MistralConfig,
        MistralForCausalLM,
        Qwen2Config,
        Qwen2ForCausalLM,
        Qwen3Config,
        Qwen3ForCausalLM,
    )

    ModelConfig = LlamaConfig | MistralConfig | Qwen2Config | Qwen3Config
    CausalLM = LlamaForCausalLM | MistralForCausalLM | Qwen2ForCausalLM | Qwen3ForCausalLM
else:
    ModelConfig = CausalLM = Any  # transformers is imported when a model first needs it


@dataclass(frozen=True)
class Family:
    """What sets a family of models apart.

    Attributes:
        model_type: its name in config.json, which is that of transformers' module, too.
        prefix: how the names of its classes in transformers begin.
        gguf: the architecture of its GGUF files.
        gguf_interleaved: whether llama.cpp pairs neighbouring components of a head, so that the rows of the query and
            key projections have another order in GGUF than in a folder.
        qk_norm: whether queries and keys go through a norm before they are rotated.
        biased: the linear layers of a layer that always have a bias.
        optional_biases: fields of the config, each with the linear layers that have a bias if it is true.
        sliding: "none"; or "all" or "some", the layers that slide where the config has a sliding window.
    """

    model_type: str
    prefix: str
    gguf: str
    gguf_interleaved: bool = False
    qk_norm: bool = False
    biased: tuple[str, ...] = ()
    optional_biases: tuple[tuple[str, tuple[str, ...]], ...] = ()
    sliding: str = "some"

    @property
    def config_class(self) -> Any:
        """transformers' config."""
        return self._class("configuration", "Config")

    @property
    def model_class(self) -> Any:
        """transformers' model with a language-modelling head."""
        return self._class("modeling", "ForCausalLM")

    @property
    def rotary_class(self) -> Any:
        """transformers' rotary embedding, which is made from a config."""
        return self._class("modeling", "RotaryEmbedding")

    def _class(self, module: str, name: str) -> Any:
        where = importlib.import_module(f"transformers.models.{self.model_type}.{module}_{self.model_type}")
        return getattr(where, self.prefix + name)


_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_MLP = ("gate_proj", "up_proj", "down_proj")

FAMILIES = {
    family.model_type: family
    for family in (
        Family(
            "llama",
            "Llama",
            gguf="llama",
            gguf_interleaved=True,
            optional_biases=(("attention_bias", _ATTENTION), ("mlp_bias", _MLP)),
            sliding="none",
        ),
        Family("mistral", "Mistral", gguf="llama", gguf_interleaved=True, sliding="all"),
        Family("qwen2", "Qwen2", gguf="qwen2", biased=_ATTENTION[:3]),
        Family("qwen3", "Qwen3", gguf="qwen3", qk_norm=True, optional_biases=(("attention_bias", _ATTENTION),)),
    )
}


def family_of(content: Mapping[str, Any] | ModelConfig) -> Family:
    """The family of a model.

    Args:
        content: the content of its config.json, or its config as transformers has it.

    Raises:
        RunError: it is none of those that are supported.
    """
    kind = content.get("model_type") if isinstance(content, Mapping) else content.model_type
    if not isinstance(kind, str) or kind not in FAMILIES:
        named = f"model_type is {kind!r}" if kind is not None else "names no model_type"
        raise RunError(f"{named}; supported are {', '.join(FAMILIES)}")
    return FAMILIES[kind]


def refuse_other_heads(content: Mapping[str, Any]) -> None:
    """Raise RunError if a config names a model class that does not predict the next token, such as a classifier."""
    named = content.get("architectures") or []
    # The first LLaMA folders spell it LLaMAForCausalLM, and custom code has names of its own.
    if not isinstance(named, list) or not all(str(name).endswith(("ForCausalLM", "LMHeadModel")) for name in named):
        raise RunError(f"config.json: architectures is {named!r}, not a model that predicts the next token (CausalLM)")


def model_config(content: Mapping[str, Any]) -> ModelConfig:
    """The content of a config.json, which stays as it is, as transformers' config of its family.

    Raises:
        RunError: the family is not supported, or a field has a value that no model of the family can have.
    """
    family = family_of(content)
    layers = content.get("num_hidden_layers")
    if isinstance(layers, int) and layers > _MOST_LAYERS:  # they would all be made, to find that the weights are fewer
        raise RunError(f"config.json: num_hidden_layers is {layers}; at most {_MOST_LAYERS} are read")
    try:
        # A copy, because from_dict writes into the settings of RoPE.
        config = family.config_class.from_dict(deepcopy(dict(content)))
    except ZeroDivisionError as error:
        raise RunError("config.json: num_attention_heads is 0") from error
    except _refused() as error:
        raise RunError(f"config.json: {_reason(error)}") from error
    _check_sizes(config)
    _check_heads(content, config)
    _check_layer_types(family, content, config)
    return config


_MOST_LAYERS = 1000


def _refused() -> tuple[type[Exception], ...]:
    """What transformers raises at values of a config."""
    from huggingface_hub.errors import StrictDataclassError

    return (StrictDataclassError, TypeError, ValueError, KeyError, AttributeError, AssertionError)


def _reason(error: Exception) -> str:
    # What comes before says in which of their functions it was found.
    return " ".join(str(error).split()).rpartition("Error: ")[2]


def _check_sizes(config: ModelConfig) -> None:
    """Raise RunError unless a model of these sizes could exist."""
    from transformers.activations import ACT2FN  # imports torch

    for key in ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"):
        if getattr(config, key) < 1:
            raise RunError(f"config.json: {key} is {getattr(config, key)}, but must be a positive whole number")
    if config.hidden_act not in ACT2FN:
        raise RunError(f"config.json: transformers knows no hidden_act {config.hidden_act!r}; LLaMA's is 'silu'")


def _check_heads(content: Mapping[str, Any], config: ModelConfig) -> None:
    """Raise RunError unless heads have a whole, even size and share keys evenly."""
    heads, groups = config.num_attention_heads, config.num_key_value_heads or config.num_attention_heads
    if heads < 1 or groups < 1 or heads % groups:
        raise RunError(f"config.json: {heads} attention heads cannot share {groups} key-value heads evenly")
    # Where no size of a head is given, some families take the whole part of the quotient for it.
    whole, rest = divmod(config.hidden_size, heads)
    if content.get("head_dim") is None and head_dim(config) == whole and rest:
        raise RunError(f"config.json: hidden_size {config.hidden_size} does not divide into {heads} heads")
    if head_dim(config) < 2 or head_dim(config) % 2:
        raise RunError(f"config.json: a head has {head_dim(config)} components; RoPE turns pairs, so it must be even")


def _check_layer_types(family: Family, content: Mapping[str, Any], config: ModelConfig) -> None:
    """Raise RunError where a config's list of layers says what a model of its family cannot do."""
    listed = content.get("layer_types")
    if listed is None or family.sliding == "none":
        return
    if family.sliding == "all":
        raise RunError(f"config.json: {family.prefix} has one kind of attention in all layers; remove layer_types")
    unknown = [kind for kind in listed if kind not in ("full_attention", "sliding_attention")]
    if unknown:
        raise RunError(f"config.json: layer_types has {unknown[0]!r}; use full_attention or sliding_attention")
    if len(listed) != config.num_hidden_layers:
        raise RunError(f"config.json: layer_types lists {len(listed)} layers, but there are {config.num_hidden_layers}")
    if "sliding_attention" in listed and config.sliding_window is None:
        raise RunError(
            "config.json: layer_types has sliding_attention, but there is no sliding window; remove layer_types, or "
            "set use_sliding_window to true and give sliding_window"
        )


def head_dim(config: ModelConfig) -> int:
    """d, the size of a head; hidden size over heads, unless the config says otherwise."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def rotary_embedding(config: ModelConfig) -> Any:
    """A new rotary embedding of a config's family, with the frequencies that its models will have."""
    return family_of(config).rotary_class(config)


def empty_model(config: ModelConfig, *, attn_implementation: str = "sdpa", **how: Any) -> CausalLM:
    """A model of a config's family on torch's current device, with whatever weights it is made with.

    Args:
        config: the model's config.
        attn_implementation: how attention is computed, whatever the config says.
        how: dtype, as transformers takes it.

    Raises:
        RunError: a field of the config has a value that transformers makes no model of.
    """
    try:
        return family_of(config).model_class._from_config(config, attn_implementation=attn_implementation, **how)
    except _refused() as error:
        raise RunError(f"config.json: transformers makes no model of it: {_reason(error)}") from error


@dataclass(frozen=True)
class SlidingWindow:
    """Attention that does not see the whole context.

    Attributes:
        tokens: W; a token attends to itself and the W - 1 before it.
        layers: in how many layers.
        of: how many layers there are.
    """

    tokens: int
    layers: int
    of: int

    def __str__(self) -> str:
        where = "all layers" if self.layers == self.of else f"{self.layers} of {self.of} layers"
        return f"in {where} a token attends to the last {self.tokens} tokens alone (sliding_window)"


def sliding_window(config: ModelConfig, context_tokens: float) -> SlidingWindow | None:
    """The sliding window that hides a part of a context from a model, or None where every token sees all before it.

    Args:
        config: the model's config.
        context_tokens: length of the context; infinity for any.
    """
    family = family_of(config)
    tokens: int | None = None if family.sliding == "none" else config.sliding_window
    if tokens is None or tokens >= context_tokens:
        return None
    layers = config.num_hidden_layers
    slides = layers if family.sliding == "all" else list(config.layer_types or ()).count("sliding_attention")
    return SlidingWindow(tokens, slides, layers) if slides else None


def refuse_unseen_context(config: ModelConfig, context_tokens: int) -> None:
    """Raise UsageError if no layer of a model would see the whole of a context that it is to be extended to.

    Args:
        config: the model's config.
        context_tokens: length of the extended context.
    """
    hidden = sliding_window(config, context_tokens)
    if hidden is not None and hidden.layers == hidden.of:
        raise UsageError(
            f"context: {hidden}, so a context of {context_tokens} would not be seen; with sliding_window null in "
            "config.json attention is full, which the model has to be trained for"
        )
