"""Export a trained model as an ordinary folder (config.json, safetensors, tokenizer) that plain transformers loads.

Weights are gathered, converted and written one file of weights after the other, so that no host ever needs memory for
the whole model.
"""

import json
import shutil
import struct
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import torch
import torch.distributed as dist
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor

from pi_model.distributed import ranks
from pi_model.errors import RunError
from pi_model.files import new_folder
from pi_model.models.companions import copy_companions, fit_companions
from pi_model.models.loading import check_folder
from pi_model.models.weights import INDEX
from pi_model.models.written_folder import check_written
from pi_model.training.config import Config
from pi_model.training.lora import is_adapter, merged, plain_name, save_adapters
from pi_model.training.loss import CausalLoss
from pi_model.training.preparation import Preparation
from pi_model.training.training_record import training_record

_PREFIX = "llama."
_FORMATS = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def live_weights(model: CausalLoss) -> dict[str, Tensor]:
    """The model's weights by their names in its state dict, not copied; this rank's shards of them where it shares.

    A head that is tied to the embedding is left out. Adapters are separate weights; `pi_model.training.lora.merged`
    merges them into the others.
    """
    return {name.removeprefix(_PREFIX): one.detach() for name, one in model.named_parameters()}


def whole(weight: Tensor) -> Tensor:
    """A weight that all ranks have shards of, whole on each of them. To be called on every rank."""
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def whole_weights(model: CausalLoss) -> Iterator[tuple[str, Tensor]]:
    """`live_weights`, each whole on every rank's device, one after the other. To be used up on every rank."""
    return ((name, whole(weight)) for name, weight in live_weights(model).items())


def export(model: CausalLoss, preparation: Preparation, config: Config, out: Path, *, rehearsal: bool = False) -> None:
    """Write ``out/model``, in the dtype of the model that training began with, and ``out/adapter`` if there is one.

    Adapters are merged into the exported model. The file training.json beside its weights records how they were
    trained. To be called on every rank.

    Args:
        model: the model at the end of training.
        preparation: what training began with.
        config: the run.
        out: the run's folder.
        rehearsal: gather one weight of each shape alone, and write files of weights that have no content.

    Raises:
        RunError: a folder exists and is not empty, or cannot be written.
    """
    weights, first = live_weights(model), dist.get_rank() == 0
    parts: dict[str, list[str]] = {}
    for name in weights:
        parts.setdefault(plain_name(name), []).append(name)
    dtype = getattr(torch, preparation.content["dtype"])
    shapes = {plain_name(name): weight.shape for name, weight in weights.items() if not is_adapter(name)}
    outline = {name: torch.empty(shape, dtype=dtype, device="meta") for name, shape in shapes.items()}
    files = split_torch_state_dict_into_shards(outline)

    def finished(name: str) -> Tensor | None:
        """A weight of the exported model, on rank 0's CPU; the other ranks only take part in gathering it."""
        found = {part: whole(weights[part]) for part in parts[name]}
        if not first:
            return None
        found = {part: weight.cpu() for part, weight in found.items()}
        return (merged(found, config.lora) if config.lora else found)[name].to(dtype).contiguous()

    if config.lora is not None:
        adapters = {name: whole(weight) for name, weight in weights.items() if is_adapter(name)}
        if first:
            with new_folder(out / "adapter") as folder:
                on_cpu = {name: weight.cpu() for name, weight in adapters.items()}
                save_adapters(on_cpu, config.lora, str(config.model), folder)
    with new_folder(out / "model") if first else nullcontext() as partial:
        if rehearsal:
            for name in {shape: name for name, shape in shapes.items()}.values():
                finished(name)
        for file, names in files.filename_to_tensors.items():
            if rehearsal and partial:
                _save_holes({name: outline[name] for name in names}, partial / file)
            elif not rehearsal:
                made = {name: weight for name in names if (weight := finished(name)) is not None}
                if partial:
                    save_file(made, partial / file, metadata={"format": "pt"})
        if partial:
            if files.is_sharded:
                index = {"metadata": files.metadata, "weight_map": files.tensor_to_filename}
                (partial / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
            for path in partial.glob("*.safetensors"):
                path.chmod(0o644)  # safetensors writes files for their owner alone
            copy_companions(preparation.origin, partial)
            fit_companions(partial, preparation.extension.context_tokens)
            record = training_record(config, preparation.data_sha256, out) if not rehearsal else {}
            (partial / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            content = json.dumps(preparation.content, indent=2)
            (partial / "config.json").write_text(content + "\n", encoding="utf-8")
            check_written(partial, preparation.extension)
            check_folder(partial, context_tokens=preparation.extension.context_tokens)


def rehearse_export(model: CausalLoss, preparation: Preparation, config: Config, out: Path) -> None:
    """Do what `export` will do at the end, as far as it can be done without the weights, and remove it again.

    To be called on every rank.

    Raises:
        RunError: the export would fail, or there is no room for it; every rank raises the same.
    """
    folder, fault = out / ".rehearsal", None
    first = dist.get_rank() == 0
    if first:
        shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    try:
        export(model, preparation, config, folder, rehearsal=True)
        if first:
            needed = sum(path.stat().st_size for path in (folder / "model").iterdir())
            if needed > (free := shutil.disk_usage(out).free):
                fault = (
                    f"out: the trained model will need {needed / 2**30:.1f} GiB, but {out} has {free / 2**30:.1f}; "
                    "free space there, or choose another place"
                )
    except RunError as error:
        fault = str(error)
    finally:
        if first:
            shutil.rmtree(folder, ignore_errors=True)
    ranks.agree(fault)


def _save_holes(outline: dict[str, Tensor], path: Path) -> None:
    """Write a file of weights of these shapes whose values are a hole, which takes no room on a disk."""
    header, end = {}, 0
    for name, weight in outline.items():
        begin, end = end, end + weight.nbytes
        header[name] = {"dtype": _FORMATS[weight.dtype], "shape": list(weight.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
