"""Write a LLaMA folder as one GGUF file, for llama.cpp and the programs built on it.

Pairing convention: in a Hugging Face folder component j of a head is paired with j + d/2 (rotate-half); for a LLaMA,
llama.cpp pairs the neighbours 2j and 2j + 1. So the rows of the query and key projections are interleaved on the way,
and attention scores stay the same.
"""

import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from pi_model.errors import RunError, UsageError
from pi_model.models.loading import check_folder, first_token, load_tokenizer, local_folder, read_config, weight_files
from pi_model.models.rope_parameters import Extension, check_frequencies, read_extension
from pi_theory.scaling import DynamicNTK, LinearPI, Llama3, NoScaling, NTKAware, Yarn

if TYPE_CHECKING:
    from gguf import GGUFWriter

# The pattern by which Llama 3's tokenizer splits text before it merges bytes.
_LLAMA3_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


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
        UsageError: there is no such source, or it uses dynamic scaling, which llama.cpp does not have.
        RunError: the source is broken, GGUF has no name for its tokenizer, or the file cannot be written.
    """
    out = Path(out)
    try:
        import gguf
    except ImportError as error:
        raise RunError(f"{out}: writing GGUF needs a package: pip install gguf") from error
    if out.exists():
        raise RunError(f"{out}: already exists; choose another file or remove it")
    folder = local_folder(source)
    config = check_folder(folder, window_tokens=window_tokens)
    check_frequencies(LlamaRotaryEmbedding(config), config)
    extension = read_extension(read_config(folder), window_tokens=window_tokens)
    if config.hidden_act != "silu":
        raise RunError(f"{folder}: hidden_act is {config.hidden_act!r}; llama.cpp's LLaMA has silu only")
    partial = out.with_name(f".{out.name}.{os.getpid()}")
    writer = gguf.GGUFWriter(partial, "llama")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _add_shape(writer, config, folder.name)
        entries = _add_scaling(writer, extension) + _weights(folder, config)
        _add_tokenizer(writer, folder, config)
        for entry in entries:
            kind = gguf.GGMLQuantizationType[entry.kind]
            writer.add_tensor_info(entry.name, entry.shape, np.dtype(np.float32), entry.nbytes, kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for entry in entries:
            writer.write_tensor_data(entry.read().contiguous().view(-1).view(torch.uint8).numpy())
        writer.close()
        os.replace(partial, out)
    except OSError as error:
        raise RunError(f"{out}: not written: {error.strerror or error}") from error
    finally:
        writer.close()
        partial.unlink(missing_ok=True)
    return extension


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


def _add_shape(writer: "GGUFWriter", config: LlamaConfig, name: str) -> None:
    """Write the metadata that describe the model's layers."""
    head_dim = config.head_dim or config.hidden_size // config.num_attention_heads
    writer.add_name(name)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads or config.num_attention_heads)
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def _add_scaling(writer: "GGUFWriter", extension: Extension) -> list[_Entry]:
    """Write the metadata that describe positions, and return the tensor of divisors if the scaling needs one."""
    from gguf import RopeScalingType

    scaling = extension.scaling
    writer.add_context_length(extension.context_tokens)
    base = extension.base
    match scaling:
        case LinearPI(factor=factor):
            writer.add_rope_scaling_type(RopeScalingType.LINEAR)
            writer.add_rope_scaling_factor(factor)
        case NTKAware() if extension.head_dim > 2:
            base = float(extension.frequencies()[1] ** (-extension.head_dim / 2))
        case Yarn(factor=factor):
            if not scaling.truncate:
                raise UsageError("method: llama.cpp rounds YaRN's ramp outward; this checkpoint's has truncate=false")
            writer.add_rope_scaling_type(RopeScalingType.YARN)
            writer.add_rope_scaling_factor(factor)
            writer.add_rope_scaling_orig_ctx_len(extension.original_tokens)
            writer.add_rope_scaling_yarn_beta_fast(scaling.beta_fast)
            writer.add_rope_scaling_yarn_beta_slow(scaling.beta_slow)
        case DynamicNTK():
            raise UsageError("method: llama.cpp has no dynamic NTK scaling; extend by linear, ntk, yarn or llama3")
    writer.add_rope_freq_base(base)
    if not isinstance(scaling, Llama3):
        return []
    unscaled = replace(extension, scaling=NoScaling()).frequencies()
    divisors = torch.from_numpy(unscaled / extension.frequencies()).float()
    return [_Entry("rope_freqs.weight", list(divisors.shape), "F32", lambda: divisors)]


def _weights(folder: Path, config: LlamaConfig) -> list[_Entry]:
    """The model's weights under their names in GGUF; none is read yet."""
    from gguf import MODEL_ARCH, get_tensor_name_map

    names = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    kv_heads = config.num_key_value_heads or config.num_attention_heads
    entries = []
    for path in weight_files(folder):
        file = safe_open(path, framework="pt")
        for name in file.keys():  # type: ignore[no-untyped-call]  # noqa: SIM118
            if name == "lm_head.weight" and config.tie_word_embeddings:
                continue
            part: Any = file.get_slice(name)  # type: ignore[no-untyped-call]
            shape = part.get_shape()
            # llama.cpp computes with vectors (norms and biases) in float32 only.
            kind = "F32" if len(shape) == 1 else part.get_dtype()
            if kind not in ("F32", "F16", "BF16"):
                raise RunError(f"{path}: {name} is stored as {kind}; GGUF takes float32, float16 and bfloat16")
            heads = {"q_proj": config.num_attention_heads, "k_proj": kv_heads}.get(name.split(".")[-2], 0)

            def read(file: Any = file, name: str = name, heads: int = heads, wide: bool = kind == "F32") -> Tensor:
                tensor: Tensor = file.get_tensor(name)
                tensor = tensor.float() if wide else tensor
                return interleaved(tensor, heads) if heads else tensor

            ours = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if ours is None:
                raise RunError(f"{path}: {name} is no weight of a LLaMA")
            entries.append(_Entry(ours, shape, kind, read))
    return entries


def interleaved(weight: Tensor, heads: int) -> Tensor:
    """A projection with the rows of each head reordered: 0, d/2, 1, d/2 + 1, ... in place of 0, 1, 2, ...

    Args:
        weight: the projection's weight or bias, shape (heads d, ...).
        heads: number of heads, of the queries or of the keys.
    """
    return weight.unflatten(0, (heads, 2, -1)).transpose(1, 2).reshape(weight.shape)


def _add_tokenizer(writer: "GGUFWriter", folder: Path, config: LlamaConfig) -> None:
    """Write the folder's tokenizer: its tokens, merges or scores, special tokens and chat template."""
    from gguf import TokenType

    path = folder / "tokenizer.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        model, added = content["model"], content["added_tokens"]
        vocabulary, merges = model["vocab"], model["merges"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: holds no byte-pair tokenizer that can be read: {error}") from error
    if not merges:
        raise RunError(f"{path}: the tokenizer has no merges, and llama.cpp does not load such a one")
    tokenizer = load_tokenizer(folder, config)
    pairs = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in merges]
    tokens = [f"[PAD{number}]" for number in range(config.vocab_size)]
    kinds = [TokenType.UNUSED] * config.vocab_size
    for token, number in vocabulary.items():
        tokens[number], kinds[number] = token, TokenType.NORMAL
    for entry in added:
        tokens[entry["id"]] = entry["content"]
        kinds[entry["id"]] = TokenType.CONTROL if entry["special"] else TokenType.USER_DEFINED
    if model.get("byte_fallback"):
        # SentencePiece, as in LLaMA 1 and 2: its scores say which merge comes first, and only their order counts.
        for number in range(256):
            kinds[vocabulary[f"<0x{number:02X}>"]] = TokenType.BYTE
        if unknown := model.get("unk_token"):
            kinds[vocabulary[unknown]] = TokenType.UNKNOWN
        rank: dict[str, int] = {}
        for number, pair in enumerate(pairs):
            rank.setdefault("".join(pair), number)
        writer.add_tokenizer_model("llama")
        writer.add_token_scores([-float(rank.get(token, len(pairs))) for token in tokens])
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(_split_name(content, path))
        writer.add_token_merges([" ".join(pair) for pair in pairs])
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_add_bos_token(first_token(tokenizer) is not None)
    for add, number in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, tokenizer.eos_token_id),
        (writer.add_unk_token_id, tokenizer.unk_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if number is not None:
            add(number)
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def _split_name(content: dict[str, Any], path: Path) -> str:
    """llama.cpp's name for the way in which a byte-level tokenizer splits text before it merges bytes."""
    split = content.get("pre_tokenizer") or {}
    parts = split.get("pretokenizers", [split])
    if parts[-1].get("type") == "ByteLevel" and not parts[-1].get("add_prefix_space"):
        match parts[:-1]:
            case [] if parts[-1].get("use_regex", True):
                return "gpt-2"
            case [{"type": "Digits", "individual_digits": True}] if parts[-1].get("use_regex", True):
                return "smollm"
            case [{"type": "Split", "pattern": {"Regex": pattern}}] if pattern == _LLAMA3_PATTERN:
                return "llama-bpe"
    raise RunError(f"{path}: GGUF has no name that is known here for a tokenizer which splits text by {split}")
