"""Folders that are understood completely without transformers, so that changing a line of their config takes no time.

A folder is plain if each field of its config is one of those that are known here, with a value that every version of
transformers reads alike, and its tokenizer and its other files are as simple. Any other is left to transformers, which
knows more and takes seconds to import. Tests hold that what is plain here is to transformers what it is here.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pi_model.errors import RunError
from pi_model.models.companions import read_json
from pi_model.models.families import family_of
from pi_model.models.rope_fields import RECORD_KEY

_LAYER = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
_SIZES = (*_LAYER, "vocab_size", "num_hidden_layers")
_NUMBERS = ("rms_norm_eps", "initializer_range", "attention_dropout")
_TEXTS = ("transformers_version", "_name_or_path", "_model_name_or_path")
_MOST_LAYERS = 1000
# What classifiers and encoders have, with the values that say that a model is neither.
_USUAL: dict[str, Any] = {
    "hidden_act": "silu",
    "is_encoder_decoder": False,
    "output_attentions": False,
    "output_hidden_states": False,
    "return_dict": True,
    "chunk_size_feed_forward": 0,
    "problem_type": None,
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    "label2id": {"LABEL_0": 0, "LABEL_1": 1},
    "use_sliding_window": False,
    "pretraining_tp": 1,
}
# The model's positions, its number format and its class, which `read_config` and `read_extension` have checked.
_CHECKED = {"model_type", "architectures", "dtype", "torch_dtype", RECORD_KEY}
_CHECKED |= {"rope_parameters", "rope_scaling", "rope_theta"}
_TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id")
_TOKENIZERS = {"TokenizersBackend", "PreTrainedTokenizerFast", "LlamaTokenizerFast", "Qwen2TokenizerFast"}


def is_plain(folder: Path, content: Mapping[str, Any]) -> bool:
    """Whether a folder is understood completely without transformers.

    Args:
        folder: the model's folder.
        content: the content of its config.json, which `pi_model.models.config_file.read_config` has checked.
    """
    try:
        return _plain_config(content) and _plain_generation(folder, content) and _plain_tokenizer(folder, content)
    except RunError:  # a file is no JSON, which transformers' own reader names
        return False


def weight_shapes(content: Mapping[str, Any]) -> dict[str, list[int]]:
    """The shape of every weight of a plain model by its name in transformers' state dict, a tied head included."""
    family, hidden, inner = family_of(content), content["hidden_size"], content["intermediate_size"]
    size = _head_dim(content)
    queries, keys = size * content["num_attention_heads"], size * content["num_key_value_heads"]
    attention = {
        "q_proj": [queries, hidden],
        "k_proj": [keys, hidden],
        "v_proj": [keys, hidden],
        "o_proj": [hidden, queries],
    }
    mlp = {"gate_proj": [inner, hidden], "up_proj": [inner, hidden], "down_proj": [hidden, inner]}
    biased = {
        *family.biased,
        *(name for field, names in family.optional_biases if content.get(field) for name in names),
    }
    layer = {"input_layernorm.weight": [hidden], "post_attention_layernorm.weight": [hidden]}
    for room, matrices in (("self_attn", attention), ("mlp", mlp)):
        for name, shape in matrices.items():
            layer[f"{room}.{name}.weight"] = shape
            if name in biased:
                layer[f"{room}.{name}.bias"] = shape[:1]
    if family.qk_norm:
        layer |= {"self_attn.q_norm.weight": [size], "self_attn.k_norm.weight": [size]}
    tokens = [content["vocab_size"], hidden]
    outside = {"model.embed_tokens.weight": tokens, "model.norm.weight": [hidden], "lm_head.weight": tokens}
    layers = range(content["num_hidden_layers"])
    return outside | {f"model.layers.{n}.{name}": shape for n in layers for name, shape in layer.items()}


def _head_dim(content: Mapping[str, Any]) -> int:
    return content.get("head_dim") or content["hidden_size"] // content["num_attention_heads"]


def _plain_config(content: Mapping[str, Any]) -> bool:
    """Whether a config has all fields that its family has no common default for, and none that are not known here."""
    family = family_of(content)
    if not all(_count(content.get(key)) for key in _SIZES):
        return False
    heads, groups, hidden = (content[key] for key in ("num_attention_heads", "num_key_value_heads", "hidden_size"))
    known: dict[str, Callable[[Any], bool]] = dict.fromkeys((*_SIZES, "head_dim", "max_position_embeddings"), _count)
    known |= dict.fromkeys(_CHECKED, lambda _: True)
    known |= dict.fromkeys(_TOKENS, lambda value: _tokens(value, content["vocab_size"]))
    known |= dict.fromkeys(_NUMBERS, lambda value: type(value) is float and value >= 0)
    known |= dict.fromkeys(_TEXTS, lambda value: isinstance(value, str))
    flags = ("tie_word_embeddings", "use_cache", *(field for field, _ in family.optional_biases))
    known |= dict.fromkeys(flags, lambda value: type(value) is bool)
    needed = {"tie_word_embeddings"}
    if family.sliding == "some":
        known |= {"sliding_window": lambda value: value is None or _count(value), "max_window_layers": _count}
        known["layer_types"] = lambda value: value == ["full_attention"] * content["num_hidden_layers"]
    elif family.sliding == "all":
        known["sliding_window"] = lambda value: value is None
        needed |= {"sliding_window"}  # without it a token attends to 4096
    if family.model_type == "qwen3":
        needed |= {"head_dim"}  # without it 128, whatever the other sizes
    return (
        needed <= content.keys()
        and all(known[key](value) if key in known else _usual(key, value) for key, value in content.items())
        and content["num_hidden_layers"] <= _MOST_LAYERS
        and heads % groups == hidden % heads == _head_dim(content) % 2 == 0
        and (family.model_type != "qwen2" or _head_dim(content) == hidden // heads)
    )


def _count(value: Any) -> bool:
    return type(value) is int and value >= 1


def _usual(key: str, value: Any) -> bool:
    """Whether a field has the one value of it that is known here, of the same type: True is no 1."""
    return key in _USUAL and value == _USUAL[key] and type(value) is type(_USUAL[key])


def _tokens(value: Any, vocabulary: int) -> bool:
    """Whether a value is a token id of a vocabulary, several of them, or None."""
    listed = value if isinstance(value, list) else [] if value is None else [value]
    return all(type(one) is int and 0 <= one < vocabulary for one in listed)


def _plain_generation(folder: Path, content: Mapping[str, Any]) -> bool:
    """Whether a folder's generation_config.json says nothing but which tokens begin and end a text, and how long."""
    stated = read_json(folder / "generation_config.json")
    known = {*_TOKENS, *_USUAL, "transformers_version", "_from_model_config", "max_length", "use_cache"}
    return (
        stated.keys() <= known
        and all(_tokens(stated.get(key), content["vocab_size"]) for key in _TOKENS)
        and all(_usual(key, value) for key, value in stated.items() if key in _USUAL)
    )


def _plain_tokenizer(folder: Path, content: Mapping[str, Any]) -> bool:
    """Whether a tokenizer is all in its tokenizer.json, and all its tokens have an embedding."""
    stated = read_json(folder / "tokenizer_config.json")
    added = stated.get("added_tokens_decoder") or {}
    read_json(folder / "special_tokens_map.json")
    if stated.get("tokenizer_class") not in _TOKENIZERS or "auto_map" in stated or not isinstance(added, dict):
        return False
    if not (folder / "tokenizer.json").is_file() or (folder / "added_tokens.json").exists():
        return False
    from tokenizers import Tokenizer

    try:
        highest = max(Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab().values())
        return max([highest, *map(int, added)]) < content["vocab_size"]
    except Exception:  # the tokenizers package raises the bare class; transformers' reader says what is wrong
        return False
