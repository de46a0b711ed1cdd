"""Which files of a folder hold its weights, and whether they are what the config asks for: one rule for every reader.

The rule is transformers' own: model.safetensors, or without it the files that model.safetensors.index.json lists.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open

from pi_model.distributed import ranks
from pi_model.errors import RunError
from pi_theory.console import warn

if TYPE_CHECKING:
    from torch import Tensor

HEAD = "lm_head.weight"
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"

# The names that safetensors gives to number formats which hold a weight's own value.
_FORMATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_PICKLED = {".bin", ".pt", ".pth"}


@dataclass(frozen=True)
class StoredWeight:
    """Where and how a weight is stored.

    Attributes:
        path: the file that holds it.
        shape: its shape.
        kind: its number format as safetensors names it, such as "BF16".
    """

    path: Path
    shape: list[int]
    kind: str


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that hold a folder's weights, sorted by name.

    Raises:
        RunError: there are none, or one that the index lists is missing.
    """
    index = folder / INDEX
    names = [SINGLE]
    if index.is_file() and not (folder / SINGLE).is_file():
        try:
            names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{index}: not a safetensors index: {error}; fetch it again") from error
        if not names or any(Path(str(name)).name != name or Path(name).suffix != ".safetensors" for name in names):
            raise RunError(f"{index}: must name safetensors files of its own folder; fetch it again")
    for name in names:
        if not (folder / name).is_file():
            raise RunError(f"{folder / name}: weights are missing; {_instead(folder, name)}")
    return [folder / name for name in names]


def _instead(folder: Path, missing: str) -> str:
    """What to do about a missing file of weights."""
    others = sorted(path.name for path in folder.glob("*.safetensors"))
    if missing == SINGLE and others:
        return f"without {INDEX} there is no saying what {others[0]} is; fetch the index"
    if not others and any(path.suffix in _PICKLED for path in folder.glob("*")):
        return "pickled weights are not read: convert them to safetensors"
    return "fetch it again"


def copy_weights(folder: Path, target: Path, *, tied: bool) -> None:
    """Copy a folder's weights byte for byte, and nothing stale beside them. A stored head that is tied is left out.

    Args:
        folder: the model's folder, which `check_weights` has passed.
        target: where the copies go; it must exist.
        tied: the model has no head of its own but uses its embedding.

    Raises:
        RunError: as `weight_files`.
    """
    for path in weight_files(folder):
        shutil.copy2(path, target / path.name)
    if not (target / SINGLE).exists():
        shutil.copy2(folder / INDEX, target / INDEX)
    if tied and (head := stored_weights(target).get(HEAD)):
        _leave_out(HEAD, head.path)


def _leave_out(name: str, path: Path) -> None:
    """Remove a weight from a file of weights, and from the index beside it."""
    from safetensors.torch import save_file

    with safe_open(path, framework="pt") as file:
        kept, metadata = {key: file.get_tensor(key) for key in file.keys() if key != name}, file.metadata()  # noqa: SIM118
    path.unlink()  # the tensors may be views of the file
    if kept:
        save_file(kept, path, metadata=metadata)
    index = path.parent / INDEX
    if index.exists():
        content = json.loads(index.read_text(encoding="utf-8"))
        content["weight_map"].pop(name)
        index.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def stored_weights(folder: Path) -> dict[str, StoredWeight]:
    """Everything that a folder's weight files hold, by name. Only the files' headers are read.

    Raises:
        RunError: a file is missing or truncated, or two of them hold the same weight.
    """
    stored: dict[str, StoredWeight] = {}
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118
                    if name in stored:
                        raise RunError(f"{folder}: {stored[name].path.name} and {path.name} both hold {name}")
                    part = file.get_slice(name)
                    stored[name] = StoredWeight(path, part.get_shape(), part.get_dtype())
        except (SafetensorError, OSError) as error:
            raise RunError(f"{path}: truncated or not safetensors ({error}); fetch it again") from error
    return stored


def row_reader(folder: Path) -> Callable[..., "Tensor"]:
    """A function that returns a weight of a folder by its name, or those of its rows that a slice says, and reads no
    more than these; it raises RunError for a name that does not exist.

    Raises:
        RunError: as `weight_files`.
    """
    where: dict[str, Any] = {}
    for path in weight_files(folder):
        file = safe_open(path, framework="pt")
        where |= dict.fromkeys(file.keys(), file)  # type: ignore[no-untyped-call]

    def read(name: str, rows: slice | None = None) -> "Tensor":
        if name not in where:
            raise RunError(f"{folder}: weight {name} is missing; fetch the model again")
        if rows is None:
            return where[name].get_tensor(name)
        part = where[name].get_slice(name)
        first, last, _ = rows.indices(part.get_shape()[0])
        # An empty slice is refused there, but a rank of many may have no row.
        return part[first:last] if last > first else part[:1][:0]

    return read


def check_weights(folder: Path, expected: Mapping[str, list[int]], *, tied: bool) -> None:
    """Check that a folder stores the weights of a model, all of them and no others. Stale files are warned of.

    Args:
        folder: the model's folder.
        expected: the shape of each weight of the model, by its name in the state dict.
        tied: the model has no head of its own but uses its embedding. Such a head may be stored if it is the same.

    Raises:
        RunError: a weight is missing, of another shape, quantised, an adapter's, or not the model's; or the stored
            head is another than the embedding it is tied to.
    """
    # Rotary frequencies follow from the config. Old checkpoints store them, and nothing reads them.
    stored = {name: one for name, one in stored_weights(folder).items() if ".rotary_emb." not in name}
    for name, one in stored.items():
        if one.kind not in _FORMATS:
            raise RunError(_quantised(folder, f"{name} is stored as {one.kind}"))
        if ".lora_" in name or ".base_layer." in name:
            raise RunError(f"{folder}: holds adapters that are not merged ({name}); {_MERGE}")
    head = stored.get(HEAD)
    if missing := sorted(expected.keys() - stored.keys() - ({HEAD} if tied else set())):
        raise RunError(f"{folder}: {len(missing)} weights are missing, the first is {missing[0]}; fetch it again")
    if unknown := sorted(stored.keys() - expected.keys() - ({HEAD} if tied else set())):
        raise RunError(
            f"{folder}: config.json has no place for {len(unknown)} of the weights, the first is {unknown[0]}; "
            "it is another model's, or a field such as attention_bias or num_hidden_layers is wrong"
        )
    for name, shape in expected.items():
        if name in stored and stored[name].shape != shape:
            raise RunError(f"{folder}: {name} has shape {stored[name].shape}, but config.json asks for {shape}")
    if tied and head is not None and not _equal(head, HEAD, stored["model.embed_tokens.weight"]):
        raise RunError(
            f"{folder}: lm_head.weight is not the embedding that tie_word_embeddings ties it to; set "
            "tie_word_embeddings to false in config.json to use it, or remove it from the weights"
        )
    read = {one.path.name for one in stored.values()}
    stale = sorted(path.name for path in folder.glob("*.safetensors") if path.name not in read)
    if SINGLE in read and (folder / INDEX).exists():
        stale.append(INDEX)
    if stale and ranks.rank() == 0:
        warn("pi-model", f"{folder}: the weights are in {_some(sorted(read))}; not read: {_some(stale)}")


def _some(names: list[str]) -> str:
    """The first names of many."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _equal(head: StoredWeight, name: str, embedding: StoredWeight) -> bool:
    """Whether a stored head and the embedding have the same values."""
    if head.shape != embedding.shape or head.kind != embedding.kind:
        return False
    import torch

    with safe_open(head.path, framework="pt") as one, safe_open(embedding.path, framework="pt") as other:
        return torch.equal(one.get_tensor(name), other.get_tensor("model.embed_tokens.weight"))


_MERGE = "merge them into their base model first (peft: merge_and_unload, then save_pretrained)"


def refuse_adapter(folder: Path) -> None:
    """Raise RunError if a folder holds adapters: transformers would load another model than the folder's own."""
    alone = any(folder.glob("adapter_model.*")) and not (folder / "config.json").exists()
    if alone or (folder / "adapter_config.json").exists():
        raise RunError(f"{folder}: holds adapters, not a whole model; {_MERGE}")


def refuse_other_weights(folder: Path, content: Mapping[str, Any]) -> None:
    """Raise RunError if a folder's config says that its weights are quantised, of no known dtype or in other files.

    Args:
        folder: the model's folder.
        content: content of its config.json.
    """
    for key, usual in (
        ("quantization_config", "unnamed"),
        ("compression_config", "compressed"),
        ("quantization", "MLX"),
    ):
        if stated := content.get(key):
            method = stated.get("quant_method", usual) if isinstance(stated, dict) else usual
            raise RunError(_quantised(folder, f"{key} in config.json, {method}"))
    if name := content.get("transformers_weights"):
        raise RunError(
            f"{folder}: config.json has transformers_weights {name}; rename it to {SINGLE} and remove the key"
        )
    _stated_dtype(folder, content)


def _quantised(folder: Path, sign: str) -> str:
    return (
        f"{folder}: the weights are quantised ({sign}), which is not supported here; give the checkpoint that was "
        "quantised, or dequantise it and save it again"
    )


def weight_dtype(folder: Path, content: Mapping[str, Any]) -> str:
    """The number format of a model's weights: what its config states, by either name of the field, or what is stored.

    Args:
        folder: the model's folder, which is read only if the config states nothing.
        content: content of its config.json.

    Returns:
        A name of a torch dtype: "float64", "float32", "float16" or "bfloat16".

    Raises:
        RunError: the config states something else, or by its two names two different formats.
    """
    if (stated := _stated_dtype(folder, content)) is not None:
        return stated
    stored = stored_weights(folder)
    return _FORMATS.get(stored["model.embed_tokens.weight"].kind, "float32")


def _stated_dtype(folder: Path, content: Mapping[str, Any]) -> str | None:
    names = {
        key: str(content[key]).removeprefix("torch.")
        for key in ("dtype", "torch_dtype")
        if content.get(key) is not None
    }
    for key, name in names.items():
        if name not in _FORMATS.values():
            raise RunError(
                f"{folder}/config.json: {key} {content[key]!r} is unknown; use one of {', '.join(_FORMATS.values())}"
            )
    if len(set(names.values())) > 1:
        raise RunError(
            f"{folder}/config.json: dtype {names['dtype']} and torch_dtype {names['torch_dtype']} contradict each "
            "other; keep the right one"
        )
    return next(iter(names.values()), None)
