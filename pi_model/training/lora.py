"""Low-rank adapters (Hu et al. 2021, arXiv:2106.09685) by peft: their place in the model, first values and merging.

A target layer's weight W stays as it is and W + alpha/r B A is used, A: r x in, B: out x r. Shape letters as there.
"""

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import LlamaForCausalLM

from pi_model.errors import RunError
from pi_model.training.config import Lora

_A, _B, _BASE = ".lora_A.default.weight", ".lora_B.default.weight", ".base_layer.weight"


def peft_config(lora: Lora, base: str | None = None) -> Any:
    """peft's own config of the adapters.

    Args:
        base: name or folder of the model they belong to.

    Raises:
        RunError: peft is not installed.
    """
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise RunError("lora: needs a package: pip install peft") from error
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft divides it by r, whole or not
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        base_model_name_or_path=base,
        task_type="CAUSAL_LM",
    )


def add_adapters(llama: LlamaForCausalLM, lora: Lora) -> None:
    """Put adapters without values beside the target layers, and freeze everything else."""
    config = peft_config(lora)
    from peft import inject_adapter_in_model

    inject_adapter_in_model(config, llama, low_cpu_mem_usage=True)


def with_first_adapters(read: Callable[[str], Tensor], lora: Lora, seed: int) -> Callable[[str], Tensor]:
    """A reader of the base model's weights that also knows those of new adapters, by the names peft gives.

    A is uniform in +-1/sqrt(in), as torch makes a linear layer, from the seed and its name alone; B is zero, so that
    training starts from the base model.
    """

    def first(name: str) -> Tensor:
        layer = name.removesuffix(_A).removesuffix(_B)
        if name == layer:
            return read(name.replace(_BASE, ".weight"))
        rows, columns = read(f"{layer}.weight").shape
        if name.endswith(_B):
            return torch.zeros(rows, lora.rank)
        digest = hashlib.sha256(f"{seed} {name}".encode()).digest()
        draw = torch.Generator().manual_seed(int.from_bytes(digest[:7]))
        return (2 * torch.rand(lora.rank, columns, generator=draw) - 1) / math.sqrt(columns)

    return first


def merged(weights: dict[str, Tensor], lora: Lora) -> dict[str, Tensor]:
    """The weights of the plain model that computes the same, in float32 where adapters are added."""
    plain = {name.replace(_BASE, ".weight"): weight for name, weight in weights.items() if not name.endswith((_A, _B))}
    for name, weight in weights.items():
        if name.endswith(_A):
            layer = name.removesuffix(_A)
            update = weights[layer + _B].float() @ weight.float()
            plain[f"{layer}.weight"] = plain[f"{layer}.weight"].float() + lora.alpha / lora.rank * update
    return plain


def save_adapters(weights: dict[str, Tensor], lora: Lora, base: str, folder: Path) -> None:
    """Write the adapters alone into a folder, as ``peft.PeftModel.from_pretrained`` reads them.

    They belong on the base model with this run's extension of positions, which peft does not record: on the folder that
    ``pi-model extend`` writes, not on the unextended model.
    """
    peft_config(lora, base).save_pretrained(folder)
    adapters = {
        f"base_model.model.{name.replace('.default', '')}": weight.contiguous()
        for name, weight in weights.items()
        if name.endswith((_A, _B))
    }
    save_file(adapters, folder / "adapter_model.safetensors", metadata={"format": "pt"})
