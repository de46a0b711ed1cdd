"""Read a GGUF file into an ordinary Hugging Face folder, so that everything after it has one kind of input.

Every tensor of the model is found in the file or the file is refused, and nothing in the file is left unread.
"""

import copy
import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pi_model.errors import RunError
from pi_model.files import new_folder
from pi_model.models.families import FAMILIES, Family, ModelConfig, empty_model, model_config
from pi_model.models.gguf_positions import read_positions, take_number
from pi_model.models.gguf_tokenizer import read_tokenizer
from pi_model.models.rope_fields import RECORD_KEY

if TYPE_CHECKING:
    from gguf import TensorNameMap

# Metadata that change nothing in what is computed here, or that are checked by what they imply.
_NO_MATTER = ("vocab_size", "expert_used_count", "tensor_data_layout", "pooling_type")
DIVISORS = "rope_freqs.weight"


def convert_gguf(file: Path, folder: Path, *, split: str | None = None) -> None:
    """Turn a GGUF file into an ordinary folder: quantised weights keep their values and are stored as float32.

    Weights pass through memory one at a time.

    Args:
        file: the GGUF file.
        folder: the folder to make; another process may be making the same.
        split: llama.cpp's name for how the tokenizer splits text, if what the file says is to be overruled.

    Raises:
        RunError: the file is broken, or no whole model of a family that is supported, or says something about the
            model that cannot be honoured; or the package that reads it is missing.
    """
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise RunError(f"{file}: reading GGUF needs a package: pip install gguf") from error
    try:
        reader = GGUFReader(file)
        if reader.byte_order != "I":
            raise RunError("of the other byte order (big-endian); convert the model to GGUF again")
        said = {name: field.contents() for name, field in reader.fields.items()}
        family = _family(said)
        tensors = {tensor.name: tensor for tensor in reader.tensors}
        content = _config(family, said, tensors)
        config = model_config(copy.deepcopy(content))  # transformers adds to what it is given
        weights = _weights(family, config, tensors)
        with new_folder(folder, shared=True) as partial:
            tokens = read_tokenizer(said, partial, split=split)
            if tokens != config.vocab_size:
                raise RunError(f"it has {tokens} tokens, but {config.vocab_size} embeddings")
            _write_safetensors(partial / "model.safetensors", weights)
            for name, what in {"config.json": content, "generation_config.json": _special_ids(said, tokens)}.items():
                (partial / name).write_text(json.dumps(what, indent=2) + "\n", encoding="utf-8")
    except RunError as error:
        raise RunError(f"{file}: {error}") from error
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, OSError) as error:
        raise RunError(f"{file}: not a readable GGUF file: {(str(error) or 'cut short').splitlines()[0]}") from error


def gguf_config(file: Path) -> dict[str, Any]:
    """What the config.json of a GGUF file's folder would say; no weights are read.

    Raises:
        RunError: the file is broken, or no whole model of a family that is supported; or the package that reads it is
            missing.
    """
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise RunError(f"{file}: reading GGUF needs a package: pip install gguf") from error
    try:
        reader = GGUFReader(file)
        said = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("tokenizer.")}
        return _config(_family(said), said, {tensor.name: tensor for tensor in reader.tensors})
    except RunError as error:
        raise RunError(f"{file}: {error}") from error
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, OverflowError, OSError) as error:
        raise RunError(f"{file}: not a readable GGUF file: {(str(error) or 'cut short').splitlines()[0]}") from error


def _family(said: dict[str, Any]) -> Family:
    """The family of the model in a file that says this.

    Raises:
        RunError: the file holds something other than a whole model, or a model of another architecture.
    """
    if said.get("split.count", 1) not in (0, 1):
        raise RunError(
            f"one of {said['split.count']} parts of a model; join them with llama.cpp's llama-gguf-split --merge"
        )
    if (kind := said.get("general.type", "model")) != "model":
        raise RunError(f"holds no model but one of its parts ({kind}); give the model's own file")
    architecture = said.get("general.architecture")
    for family in FAMILIES.values():
        if family.gguf == architecture:
            return family
    known = ", ".join(sorted({family.gguf for family in FAMILIES.values()}))
    raise RunError(f"its architecture is {architecture!r}; supported are {known}")


def _config(family: Family, said: dict[str, Any], tensors: dict[str, Any]) -> dict[str, Any]:
    """The content of config.json.

    Raises:
        RunError: something is missing, or cannot be said in a config of this family.
    """
    own = {
        name.removeprefix(f"{family.gguf}."): value
        for name, value in said.items()
        if name.startswith(f"{family.gguf}.")
    }
    if own.pop("expert_count", 0):
        raise RunError("a mixture of experts; models with one MLP a layer are supported")
    hidden, heads = _count(own, "embedding_length"), _count(own, "attention.head_count")
    head_dim = _count(own, "attention.key_length", hidden // heads)
    for name in ("attention.value_length", "rope.dimension_count"):
        if (size := _count(own, name, head_dim)) != head_dim:
            raise RunError(f"{name} is {size}; with heads of size {head_dim} only that is supported")
    if "token_embd.weight" not in tensors:
        raise RunError("token_embd.weight is missing; the file holds no whole model")
    layers = _count(own, "block_count")
    if layers != (found := len({name.split(".")[1] for name in tensors if name.startswith("blk.")})):
        raise RunError(f"tensors of layers are missing, or too many: block_count is {layers}, but there are {found}")
    content: dict[str, Any] = {
        "architectures": [family.prefix + "ForCausalLM"],
        "model_type": family.model_type,
        "vocab_size": int(tensors["token_embd.weight"].shape[-1]),
        "hidden_size": hidden,
        "intermediate_size": _count(own, "feed_forward_length"),
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": _count(own, "attention.head_count_kv", heads),
        "head_dim": head_dim,
        "hidden_act": "silu",
        "rms_norm_eps": take_number(own, "attention.layer_norm_rms_epsilon", None),
        "tie_word_embeddings": "output.weight" not in tensors,
        "dtype": "float32",
        "torch_dtype": "float32",
    }
    # Qwen2's config has no such field.
    if family.model_type == "qwen2" and hidden != content.pop("head_dim") * heads:
        raise RunError(f"{heads} heads of size {head_dim} do not fill {hidden} components, as Qwen2's must")
    for field, projections in family.optional_biases:
        names = [_GGUF_LAYERS[layer] for layer in projections]
        content[field] = any(name.endswith(".bias") and name.split(".")[-2] in names for name in tensors)
    divisors = tensors[DIVISORS].data.astype(np.float64) if DIVISORS in tensors else None
    content |= read_positions(own, said.get(RECORD_KEY), divisors, head_dim)
    window = take_number(own, "attention.sliding_window", 0)
    if 0 < window < content["max_position_embeddings"]:
        raise RunError(f"attention.sliding_window is {window:g}; only attention to the whole context is supported")
    scale = take_number(own, "attention.scale", 0.0)
    if scale and not math.isclose(scale, head_dim**-0.5, rel_tol=1e-5):
        raise RunError(f"attention.scale is {scale:g}; only {head_dim**-0.5:g} is supported")
    if not own.pop("attention.causal", True):
        raise RunError("attention is not causal; the model does not continue a text")
    for name, value in own.items():
        if value and name not in _NO_MATTER:
            raise RunError(f"says {name} {value}, which is not known here; convert the model to GGUF without it")
    return content | _special_ids(said, content["vocab_size"])


_GGUF_LAYERS = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "down_proj": "ffn_down",
}


def _special_ids(said: dict[str, Any], vocabulary: int) -> dict[str, int]:
    """The numbers of special tokens; as in llama.cpp, one that no token has says that there is none."""
    theirs = {"bos": "bos", "eos": "eos", "pad": "padding"}
    found = {f"{ours}_token_id": said.get(f"tokenizer.ggml.{name}_token_id") for ours, name in theirs.items()}
    return {name: number for name, number in found.items() if type(number) is int and 0 <= number < vocabulary}


def _count(own: dict[str, Any], name: str, default: int | None = None) -> int:
    """Take out a whole number above 0, or a list of such, one for each layer, that are all the same."""
    value = own.pop(name, default)
    if isinstance(value, list) and len(set(value)) == 1:
        value = value[0]
    if isinstance(value, list):
        raise RunError(f"{name} differs from layer to layer; layers that are all alike are supported")
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise RunError(f"{name} is {'missing' if value is None else value}; it must be a whole number above 0")
    return value


@dataclass(frozen=True)
class _Weight:
    """A weight of the folder: its shape, and what reads it from the file as float32."""

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


def _weights(family: Family, config: ModelConfig, tensors: dict[str, Any]) -> dict[str, _Weight]:
    """The weights by their names in a folder; none is read yet.

    Raises:
        RunError: a tensor is missing, has another shape, or belongs to no weight of such a model.
    """
    names = tensor_names(family, config.num_hidden_layers)
    with torch.device("meta"):
        expected = {name: tuple(weight.shape) for name, weight in empty_model(config).state_dict().items()}
    if config.tie_word_embeddings:
        del expected["lm_head.weight"]
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads or config.num_attention_heads}
    kinds = {name.split(".", 2)[-1] for name in tensors}
    # llama.cpp computes rotary frequencies itself, too.
    unread = {name: tensor for name, tensor in tensors.items() if ".attn_rot_embd" not in name and name != DIVISORS}
    weights: dict[str, _Weight] = {}
    missing = []
    for ours, shape in expected.items():
        theirs = str(names.get_name(ours, try_suffixes=(".weight", ".bias")))
        layer, suffix = ours.split(".")[-2:]
        if theirs in unread:
            weights[ours] = _stored(unread.pop(theirs), shape, heads.get(layer, 0) if family.gguf_interleaved else 0)
        elif suffix == "bias" and layer not in family.biased and theirs.split(".", 2)[-1] not in kinds:
            # No layer has this bias, but has another one, and transformers has all of them or none.
            weights[ours] = _zeros(shape)
        else:
            missing.append(theirs)
    if missing:
        raise RunError(f"{len(missing)} tensors are missing, the first is {missing[0]}; fetch the file again")
    if unread:
        raise RunError(f"{next(iter(unread))} is no tensor of {family.prefix}, and {len(unread)} such would be ignored")
    return weights


def tensor_names(family: Family, layers: int) -> "TensorNameMap":
    """The gguf package's map from the names of weights in a folder to those in GGUF, for a family."""
    from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, get_tensor_name_map

    architecture = next(one for one in MODEL_ARCH if MODEL_ARCH_NAMES[one] == family.gguf)
    return get_tensor_name_map(architecture, layers)


def _zeros(shape: tuple[int, ...]) -> _Weight:
    return _Weight(shape, lambda: np.zeros(shape, np.float32))


def _stored(tensor: Any, shape: tuple[int, ...], heads: int) -> _Weight:
    """A tensor of the file, with the rows of so many heads reordered.

    Raises:
        RunError: it has another shape.
    """
    stored = tuple(tensor.shape.tolist()[::-1])
    if stored != shape:
        raise RunError(f"{tensor.name} has shape {list(stored)}, but the file's metadata ask for {list(shape)}")

    def read() -> np.ndarray:
        from gguf import dequantize

        try:
            values = np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32).reshape(shape)
        except NotImplementedError as error:
            raise RunError(f"{tensor.name} is stored as {tensor.tensor_type.name}, which is not read here") from error
        return halves(values, heads) if heads else values

    return _Weight(shape, read)


def halves(weight: np.ndarray, heads: int) -> np.ndarray:
    """A projection with the rows of each head reordered: 0, 2, 4, ..., then 1, 3, ... in place of 0, 1, 2, ...

    This undoes what `pi_model.models.gguf_export.interleaved` does.

    Args:
        weight: the projection's weight or bias, shape (heads d, ...).
        heads: number of heads, of the queries or of the keys.
    """
    return weight.reshape(heads, -1, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def _write_safetensors(path: Path, weights: dict[str, _Weight]) -> None:
    """Write float32 weights as safetensors, one at a time; safetensors' own function takes all of them at once."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, weight in sorted(weights.items()):
        end = start + 4 * math.prod(weight.shape)
        header[name] = {"dtype": "F32", "shape": list(weight.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, weight in sorted(weights.items()):
            np.ascontiguousarray(weight.read(), dtype="<f4").tofile(file)
