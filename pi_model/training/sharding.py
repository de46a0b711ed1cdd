"""A model for training, sharded over all ranks by FSDP2 (``fully_shard``).

A single process has nothing to share and takes the model as it is. FSDP would copy every weight and gradient of every
layer all the same, and a GPU's host would take longer to launch those copies than a small model takes to compute.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts

from pi_model.distributed.context_parallel import sharing
from pi_model.models.attention import CAUSAL, CONTEXT_PARALLEL
from pi_model.models.families import ModelConfig, empty_model, rotary_embedding, sliding_window
from pi_model.models.rope_parameters import check_frequencies
from pi_model.training.config import Lora
from pi_model.training.lora import add_adapters
from pi_model.training.loss import CausalLoss
from pi_model.training.mixed_precision import compute_in


def sharded_model(
    config: ModelConfig,
    read: Callable[..., Tensor],
    device: torch.device,
    *,
    lora: Lora | None = None,
    context_parallel: int = 1,
    dtype: str = "float32",
    activation_checkpointing: str = "none",
    compile_layers: bool = False,
) -> CausalLoss:
    """A model in training mode, sharded over all ranks, with float32 master weights.

    One layer after the other is sharded and then filled, so no rank ever reads or holds more than its own rows.

    Args:
        config: the model's config, as transformers has it.
        read: returns a weight by its name in the state dict; with a slice, which a rank gives that has a part of the
            weight, it returns these rows.
        device: this rank's device.
        lora: adapters to add and to train alone; all other weights are frozen and kept in `dtype`.
        context_parallel: number of ranks that share each window.
        dtype: of the forward and backward passes; gradients are reduced and added up in float32.
        activation_checkpointing: what layers keep for the backward pass, see `pi_model.training.config.Config`.
        compile_layers: compile each layer with torch.compile.

    Raises:
        RunError: the frequencies are not those of the config.
    """
    # Layers with a sliding window need masks, which transformers makes for sdpa.
    alone = "sdpa" if sliding_window(config, math.inf) else CAUSAL
    attention = CONTEXT_PARALLEL if context_parallel > 1 else alone
    with torch.device("meta"):
        llama = empty_model(config, attn_implementation=attention, dtype=torch.float32)
        if lora is not None:
            add_adapters(llama, lora)
            for parameter in llama.parameters():
                if not parameter.requires_grad:
                    parameter.data = parameter.data.to(getattr(torch, dtype))
    llama.model.rotary_emb = rotary_embedding(config).to(device)
    check_frequencies(llama.model.rotary_emb, config)
    llama.train()
    if activation_checkpointing != "none":
        how: dict[str, Any] = {"use_reentrant": False}
        if activation_checkpointing == "selective":
            how["context_fn"] = partial(create_selective_checkpoint_contexts, _keep_products)
        # Newer versions of transformers have renamed this method.
        enable = getattr(llama, "activation_checkpointing_enable", None) or llama.gradient_checkpointing_enable
        enable(how)
    shard = _sharding(device, getattr(torch, dtype))
    for number, layer in enumerate(llama.model.layers):
        if compile_layers:
            layer.compile()
        shard(layer)
        _fill(layer, f"model.layers.{number}.", read, device)
    if config.tie_word_embeddings:
        llama.lm_head.weight = llama.model.embed_tokens.weight
    loss = CausalLoss(llama, sharing(context_parallel, device))
    shard(loss)
    _fill(llama.model.embed_tokens, "model.embed_tokens.", read, device)
    _fill(llama.model.norm, "model.norm.", read, device)
    if config.tie_word_embeddings:  # again, because allocating may have made another parameter of the embedding
        llama.lm_head.weight = next(llama.model.embed_tokens.parameters())
    else:
        _fill(llama.lm_head, "lm_head.", read, device)
    return loss


def local(tensor: Tensor) -> Tensor:
    """This rank's shard of a weight or gradient; a single process has the whole."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _sharding(device: torch.device, dtype: torch.dtype) -> Callable[[nn.Module], object]:
    """What shards a module, once those inside it are sharded, and lets it compute in `dtype`."""
    if dist.get_world_size() == 1:
        return partial(compute_in, dtype=dtype)
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    return partial(fully_shard, mesh=mesh, mp_policy=policy)


def _keep_products(_: Any, operation: Any, *args: Any, **kwargs: Any) -> CheckpointPolicy:
    """Keep the results of matrix products and of attention, by whichever kernel; recompute the cheap rest."""
    name = operation.name()
    kept = name in ("aten::mm", "aten::addmm") or "attention" in name or "flash_attn" in name
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


def _fill(module: nn.Module, prefix: str, read: Callable[..., Tensor], device: torch.device) -> None:
    """Allocate this rank's share of a module on a device and copy its weights into it."""
    module.to_empty(device=device)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            local(parameter).copy_(read(prefix + name, *_rows(parameter)))


def _rows(parameter: Tensor) -> tuple[slice, ...]:
    """Which rows of a weight this rank has; nothing for all of them."""
    if not isinstance(parameter, DTensor) or parameter.to_local().shape == parameter.shape:
        return ()
    shape, offset = compute_local_shape_and_global_offset(parameter.shape, parameter.device_mesh, parameter.placements)
    return (slice(offset[0], offset[0] + shape[0]),)
