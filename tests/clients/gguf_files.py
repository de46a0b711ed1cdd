"""GGUF files for tests: of small random models, and with anything in them changed."""

from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter

from pi_model.models.extension import extend_checkpoint
from pi_model.models.gguf_export import export_gguf
from pi_model.models.loading import load_checkpoint, random_model
from pi_theory.scaling import scaling_by_name

WINDOW = 64
FAMILIES = ("llama", "mistral", "qwen2", "qwen3")
VOCABULARY = 300


def make_folder(folder: Path, tokenizer: Any, model_type: str = "llama", **config: Any) -> Path:
    """A small random model, with heads of another size than hidden size over heads where the family can have them."""
    if model_type != "qwen2":
        config = {"head_dim": 24} | config
    config = {"vocab_size": VOCABULARY, "hidden_size": 64, "max_position_embeddings": WINDOW} | config
    random_model(model_type, **config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_file(file: Path, tokenizer: Any, method: str = "none", model_type: str = "llama", **config: Any) -> Path:
    """The GGUF file of such a model, extended four times by a method. The folders are beside it."""
    folder = make_folder(file.with_suffix(".base"), tokenizer, model_type, **config)
    if method != "none":
        extend_checkpoint(folder, scaling_by_name(method, 4.0), file.with_suffix(""))
        folder = file.with_suffix("")
    export_gguf(folder, file)
    return file


def rewrite(file: Path, out: Path, says: dict[str, Any], tensors: dict[str, Any] | None = None) -> Path:
    """A GGUF file with some metadata and tensors replaced, or left out where None is given.

    Args:
        file: the original.
        out: the new file.
        says: metadata. A value keeps the type it had in the file, unless it is of another in Python.
        tensors: arrays, or functions of what was there; those that were not float32 stay as they are otherwise.
    """
    reader = GGUFReader(file)
    fields = {name: (field.contents(), field.types) for name, field in reader.fields.items() if "GGUF." not in name}
    for name, value in says.items():
        # An int in Python is the type that lengths have in GGUF.
        kind = GGUFValueType.UINT32 if type(value) is int else GGUFValueType.get_type("" if value is None else value)
        old, kinds = fields.get(name, (None, [kind]))
        fields[name] = (value, kinds if type(value) is type(old) else [kind])
    writer = GGUFWriter(out, fields.pop("general.architecture")[0])
    for name, (value, kinds) in fields.items():
        if value is not None:
            writer.add_key_value(name, value, kinds[0], kinds[-1] if len(kinds) > 1 else None)
    changed = dict(tensors or {})
    for tensor in reader.tensors:
        new = changed.pop(tensor.name, tensor.data)
        new = new(np.array(tensor.data)) if callable(new) else new
        if new is tensor.data and tensor.tensor_type != GGMLQuantizationType.F32:
            writer.add_tensor(tensor.name, new, raw_dtype=tensor.tensor_type)
        elif new is not None:
            writer.add_tensor(tensor.name, np.ascontiguousarray(new))
    for name, new in changed.items():
        writer.add_tensor(name, np.ascontiguousarray(new, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return out


def config_of(file: Path) -> dict[str, Any]:
    """The content of the config.json that a file becomes."""
    return load_checkpoint(file).model.config.to_dict()


def llama3_divisors(
    factor: float, low: float, high: float, window: int, base: float = 500000.0, head_dim: int = 24
) -> np.ndarray:
    """By what Llama 3's scaling divides frequencies, from its published form."""
    theta = base ** -(np.arange(0, head_dim, 2) / head_dim)
    kept = np.clip((window * theta / (2 * np.pi) - low) / (high - low), 0, 1)
    return (1 / (kept + (1 - kept) / factor)).astype(np.float32)
