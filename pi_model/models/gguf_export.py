"""Write a model's folder as one GGUF file, for llama.cpp and the programs built on it.

Pairing convention: in a Hugging Face folder component j of a head is paired with j + d/2 (rotate-half). For LLaMA and
Mistral, llama.cpp pairs the neighbours 2j and 2j + 1. So the rows of their query and key projections are interleaved on
the way, and attention scores stay the same. For Qwen, llama.cpp pairs as folders do.
"""

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from pi_model.errors import RunError
from pi_model.files import new_file, refuse_related
from pi_model.models.config_file import read_config
from pi_model.models.families import ModelConfig, family_of, head_dim, rotary_embedding, sliding_window
from pi_model.models.gguf_import import DIVISORS, tensor_names
from pi_model.models.gguf_positions import write_positions
from pi_model.models.gguf_tokenizer import write_tokenizer
from pi_model.models.loading import check_folder, load_tokenizer, weight_files
from pi_model.models.rope_fields import RECORD_KEY
from pi_model.models.rope_parameters import Extension, check_frequencies, read_extension
from pi_model.models.sources import local_folder

if TYPE_CHECKING:
    from gguf import GGUFWriter


def export_gguf(source: str | Path, out: str | Path, *, window_tokens: int | None = None) -> Extension:
    """Write a model's weights, tokenizer and position scaling as one GGUF file.

    Linear and YaRN scaling become metadata that llama.cpp knows, NTK-aware scaling becomes a larger base, and Llama 3's
    scaling becomes a tensor with one divisor for each frequency. Weights keep the dtype they are stored in and pass
    through memory one at a time; quantising them is left to llama.cpp.

    Args:
        source: a folder, a hub name, a GGUF file or an embedded name, see `pi_model.models.loading.load_checkpoint`.
        out: the file to make; it must not exist, and is written completely or not at all.
        window_tokens: the window that the model was trained on, where its config does not say so.

    Returns:
        How the model's positions are scaled.

    Raises:
        UsageError: there is no such source, ``out`` is inside it, or it uses dynamic scaling, which llama.cpp does not
            have.
        RunError: the source is broken, GGUF has no name for its tokenizer, or the file cannot be written.
    """
    out = Path(out)
    try:
        import gguf
    except ImportError as error:
        raise RunError(f"{out}: writing GGUF needs a package: pip install gguf") from error
    if out.exists():  # which shows now rather than after the work
        raise RunError(f"{out}: already exists; choose another file or remove it")
    folder = local_folder(source)
    refuse_related(out, model=folder)
    content = read_config(folder)
    config = check_folder(folder, content, window_tokens=window_tokens)
    check_frequencies(rotary_embedding(config), config)
    extension = read_extension(content, window_tokens=window_tokens)
    tokenizer = load_tokenizer(folder, config)
    _check_llama_cpp_has(config, extension.context_tokens, folder)
    with new_file(out) as partial, closing(gguf.GGUFWriter(partial, family_of(config).gguf)) as writer:
        _add_shape(writer, config, folder.name)
        entries = _weights(folder, config)
        divisors = write_positions(
            writer, extension, getattr(config, RECORD_KEY, None), llama3=family_of(config).gguf == "llama"
        )
        if divisors is not None:
            values = torch.from_numpy(divisors)
            entries.insert(0, _Entry(DIVISORS, list(values.shape), "F32", lambda: values))
        write_tokenizer(writer, folder, tokenizer, config.vocab_size)
        for entry in entries:
            kind = gguf.GGMLQuantizationType[entry.kind]
            writer.add_tensor_info(entry.name, entry.shape, np.dtype(np.float32), entry.nbytes, kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for entry in entries:
            writer.write_tensor_data(entry.read().contiguous().view(-1).view(torch.uint8).numpy())
    return extension


def _check_llama_cpp_has(config: ModelConfig, context_tokens: int, folder: Path) -> None:
    """Raise RunError if the model does something that llama.cpp does not do for its family."""
    family = family_of(config)
    if config.hidden_act != "silu":
        raise RunError(f"{folder}: hidden_act is {config.hidden_act!r}; llama.cpp's {family.prefix} has silu only")
    if family.model_type == "qwen3" and config.attention_bias:
        raise RunError(f"{folder}: attention_bias is true; llama.cpp's Qwen3 has no biases")
    if hidden := sliding_window(config, context_tokens):
        raise RunError(
            f"{folder}: {hidden}, where llama.cpp's {family.prefix} attends to the whole context; set sliding_window "
            "to null in config.json if that is meant"
        )


@dataclass(frozen=True)
class _Entry:
    """A tensor of the file.

    Attributes:
        name: its name in GGUF.
        shape: rows first.
        kind: its type as GGML calls it: F32, F16 or BF16.
        read: returns the tensor.
    """

    name: str
    shape: list[int]
    kind: str
    read: Callable[[], Tensor]

    @property
    def nbytes(self) -> int:
        """Size of the tensor's data in the file."""
        return math.prod(self.shape) * (4 if self.kind == "F32" else 2)


def _add_shape(writer: "GGUFWriter", config: ModelConfig, name: str) -> None:
    """Write the metadata that describe the model's layers."""
    size = head_dim(config)
    writer.add_name(name)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads or config.num_attention_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _weights(folder: Path, config: ModelConfig) -> list[_Entry]:
    """The model's weights under their names in GGUF; none is read yet."""
    family = family_of(config)
    names = tensor_names(family, config.num_hidden_layers)
    kv_heads = config.num_key_value_heads or config.num_attention_heads
    interleaved_heads = {"q_proj": config.num_attention_heads, "k_proj": kv_heads} if family.gguf_interleaved else {}
    entries = []
    for path in weight_files(folder):
        file = safe_open(path, framework="pt")
        for name in file.keys():  # type: ignore[no-untyped-call]  # noqa: SIM118
            # llama.cpp uses the embedding where there is no head, and computes rotary frequencies itself.
            if (name == "lm_head.weight" and config.tie_word_embeddings) or ".rotary_emb." in name:
                continue
            part: Any = file.get_slice(name)  # type: ignore[no-untyped-call]
            shape = part.get_shape()
            # llama.cpp computes with vectors (norms and biases) in float32 only.
            kind = "F32" if len(shape) == 1 else part.get_dtype()
            if kind not in ("F32", "F16", "BF16"):
                raise RunError(f"{path}: {name} is stored as {kind}; GGUF takes float32, float16 and bfloat16")
            heads = interleaved_heads.get(name.split(".")[-2], 0)

            def read(file: Any = file, name: str = name, heads: int = heads, wide: bool = kind == "F32") -> Tensor:
                tensor: Tensor = file.get_tensor(name)
                tensor = tensor.float() if wide else tensor
                return interleaved(tensor, heads) if heads else tensor

            ours = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if ours is None:
                raise RunError(f"{path}: {name} is no weight of a {family.prefix} model")
            entries.append(_Entry(ours, shape, kind, read))
    return entries


def interleaved(weight: Tensor, heads: int) -> Tensor:
    """A projection with the rows of each head reordered: 0, d/2, 1, d/2 + 1, ... in place of 0, 1, 2, ...

    Args:
        weight: the projection's weight or bias, shape (heads d, ...).
        heads: number of heads, of the queries or of the keys.
    """
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).reshape(weight.shape)
