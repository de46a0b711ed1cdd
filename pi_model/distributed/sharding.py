"""One process or many: the process group, and a LLaMA sharded over it by FSDP2 (``fully_shard``).

A single process takes the same path, with shards that are whole.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from pi_model.distributed.context_parallel import sharing
from pi_model.errors import UsageError
from pi_model.models.attention import attention_implementation
from pi_model.models.rope_parameters import check_frequencies
from pi_model.training.config import Lora
from pi_model.training.lora import add_adapters
from pi_model.training.loss import CausalLoss


@contextmanager
def process_group(device: str) -> Iterator[torch.device]:
    """The group that torchrun described, or one of a single process; yields this rank's device.

    Raises:
        UsageError: the device is not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device: no CUDA device is available here; use device=cpu")
    local = torch.device("cpu")
    if device == "cuda":
        local = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(local)
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"
    if "RANK" in os.environ:
        dist.init_process_group(backend)
    else:
        dist.init_process_group(backend, store=HashStore(), rank=0, world_size=1)
    try:
        yield local
    finally:
        dist.destroy_process_group()


def sharded_model(
    config: LlamaConfig,
    read: Callable[[str], Tensor],
    device: torch.device,
    *,
    lora: Lora | None = None,
    context_parallel: int = 1,
    dtype: str = "float32",
    activation_checkpointing: str = "none",
    compile_layers: bool = False,
) -> CausalLoss:
    """A LLaMA in training mode, sharded over all ranks, with float32 master weights.

    Layer after layer is filled and sharded, so that no rank ever holds more than one whole layer beside its shards.

    Args:
        config: transformers'.
        read: a weight by its name in the state dict.
        lora: adapters to put in place and train alone; the rest is frozen and kept in `dtype`.
        context_parallel: ranks that share each window.
        dtype: of the forward and backward passes; gradients are reduced in float32.
        activation_checkpointing: of `CHECKPOINTING`, see `pi_model.training.config.Config`.
        compile_layers: torch.compile each layer.

    Raises:
        RunError: the frequencies are not those of the config.
    """
    with torch.device("meta"):
        attention = attention_implementation(device.type, dtype, context_parallel)
        llama = LlamaForCausalLM._from_config(config, attn_implementation=attention, dtype=torch.float32)
        if lora is not None:
            add_adapters(llama, lora)
            for parameter in llama.parameters():
                if not parameter.requires_grad:
                    parameter.data = parameter.data.to(getattr(torch, dtype))
    llama.model.rotary_emb = LlamaRotaryEmbedding(config).to(device)
    check_frequencies(llama.model.rotary_emb, config)
    llama.train()
    if activation_checkpointing != "none":
        how: dict[str, Any] = {"use_reentrant": False}
        if activation_checkpointing == "selective":
            how["context_fn"] = partial(create_selective_checkpoint_contexts, _keep_products)
        # The name it has in newer transformers, and in older ones.
        enable = getattr(llama, "activation_checkpointing_enable", None) or llama.gradient_checkpointing_enable
        enable(how)
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    policy = MixedPrecisionPolicy(param_dtype=getattr(torch, dtype), reduce_dtype=torch.float32)
    for number, layer in enumerate(llama.model.layers):
        _fill(layer, f"model.layers.{number}.", read, device)
        if compile_layers:
            layer.compile()
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    _fill(llama.model.embed_tokens, "model.embed_tokens.", read, device)
    _fill(llama.model.norm, "model.norm.", read, device)
    if config.tie_word_embeddings:
        llama.lm_head.weight = llama.model.embed_tokens.weight
    else:
        _fill(llama.lm_head, "lm_head.", read, device)
    loss = CausalLoss(llama, sharing(context_parallel, device))
    fully_shard(loss, mesh=mesh, mp_policy=policy)
    return loss


def _keep_products(_: Any, operation: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    """Matrix products and attention, whoever computes it, are kept; what is between them is cheap."""
    name = operation.name()
    kept = name in ("aten::mm", "aten::addmm") or "attention" in name or "flash_attn" in name
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


def _fill(module: nn.Module, prefix: str, read: Callable[[str], Tensor], device: torch.device) -> None:
    module.to_empty(device=device)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(read(prefix + name))


def mean_over_ranks(value: Tensor) -> float:
    """A scalar's mean over all ranks, the same number on each."""
    total = value.detach().clone()
    dist.all_reduce(total)
    return float(total) / dist.get_world_size()
