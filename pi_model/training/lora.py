"""Low-rank adapters (Hu et al. 2021, arXiv:2106.09685): put into a model by peft, given first values, merged, saved.

The weight W of a target layer stays as it is, and the layer computes with W + alpha/r B A, where A is r x in and B is
out x r. The letters are the paper's.
"""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from pi_model.errors import RunError
from pi_model.models.families import CausalLM
from pi_model.training.config import Lora

_A, _B, _BASE = ".lora_A.default.weight", ".lora_B.default.weight", ".base_layer."


def peft_config(lora: Lora, base: str | None = None) -> Any:
    """The adapters as peft's own config describes them.

    Args:
        lora: the adapters.
        base: name or folder of the model that they belong to.

    Raises:
        RunError: peft is not installed.
    """
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise RunError("lora: needs a package: pip install peft") from error
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft only divides it by r, so it need not be whole
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        base_model_name_or_path=base,
        task_type="CAUSAL_LM",
    )


def add_adapters(llama: CausalLM, lora: Lora) -> None:
    """Put adapters, which have no values yet, beside the target layers, and freeze all other weights."""
    config = peft_config(lora)
    from peft import inject_adapter_in_model

    inject_adapter_in_model(config, llama, low_cpu_mem_usage=True)


def with_first_adapters(read: Callable[..., Tensor], lora: Lora, seed: int) -> Callable[..., Tensor]:
    """A reader of weights that adds the first values of adapters to a reader of the base model's weights.

    It takes the names that peft gives to weights. A is drawn uniformly from +-1/sqrt(in), as torch initialises a linear
    layer, and depends on the seed and its name alone. B is zero, so that training starts from the base model.

    Args:
        read: returns a weight of the base model by its name, or some of its rows.
        lora: the adapters.
        seed: the run's seed.
    """

    def first(name: str, *rows: slice) -> Tensor:
        layer = name.removesuffix(_A).removesuffix(_B)
        if name == layer:
            return read(name.replace(_BASE, "."), *rows)
        height, columns = read(f"{layer}.weight").shape  # the file is mapped: no value is read for its shape
        if name.endswith(_B):
            return torch.zeros(height, lora.rank)[(*rows,)]
        digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
        draw = torch.Generator().manual_seed(int.from_bytes(digest[:7]))
        return ((2 * torch.rand(lora.rank, columns, generator=draw) - 1) / math.sqrt(columns))[(*rows,)]

    return first


def plain_name(name: str) -> str:
    """What the plain model calls the weight that a weight of the adapted model is, or is added to by `merged`."""
    layer = name.removesuffix(_A).removesuffix(_B)
    return name.replace(_BASE, ".") if name == layer else f"{layer}.weight"


def is_adapter(name: str) -> bool:
    """Whether a weight of the adapted model is an adapter's, by its name."""
    return name.endswith((_A, _B))


def merged(weights: dict[str, Tensor], lora: Lora) -> dict[str, Tensor]:
    """The weights of the plain model that computes the same; those with adapters become float32.

    Args:
        weights: by peft's names, adapters included.
        lora: the adapters.
    """
    plain = {name.replace(_BASE, "."): weight for name, weight in weights.items() if not is_adapter(name)}
    for name, weight in weights.items():
        if name.endswith(_A):
            layer = name.removesuffix(_A)
            update = weights[layer + _B].float() @ weight.float()
            plain[f"{layer}.weight"] = plain[f"{layer}.weight"].float() + lora.alpha / lora.rank * update
    return plain


def save_adapters(weights: dict[str, Tensor], lora: Lora, base: str, folder: Path) -> None:
    """Write the adapters alone into a folder, in the form that ``peft.PeftModel.from_pretrained`` reads.

    peft does not record how positions are scaled. So these adapters must be put on the extended model, which
    ``pi-model extend`` writes, and not on the model before its extension.

    Args:
        weights: by peft's names; only the adapters are written.
        lora: the adapters.
        base: name or folder of the model that they belong to.
        folder: an existing folder.
    """
    peft_config(lora, base).save_pretrained(folder)
    adapters = {
        f"base_model.model.{name.replace('.default', '')}": weight.contiguous()
        for name, weight in weights.items()
        if is_adapter(name)
    }
    save_file(adapters, folder / "adapter_model.safetensors", metadata={"format": "pt"})
