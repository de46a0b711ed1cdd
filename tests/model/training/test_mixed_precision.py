"""One process without FSDP against FSDP: the same numbers, in float32 and in bfloat16, and float32 gradients."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from transformers import LlamaConfig, LlamaForCausalLM

from pi_model.distributed.process_group import process_group
from pi_model.training import sharding
from pi_model.training.config import CHECKPOINTING, Checkpointing
from pi_model.training.loop import adamw, optimizer_step
from pi_model.training.loss import CausalLoss
from pi_model.training.mixed_precision import compute_in
from pi_model.training.sharding import local, sharded_model
from tests.model.plans import run_config, small_llama

STEPS = 3
WINDOW = 32


@pytest.fixture
def device() -> Iterator[torch.device]:
    with process_group("cpu") as device:
        yield device


def by_fsdp(device: torch.device, dtype: torch.dtype) -> Callable[[nn.Module], object]:
    """What shards modules where there are several processes, here with one."""
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    return partial(fully_shard, mesh=init_device_mesh(device.type, (1,)), mp_policy=policy)


def made(device: torch.device, llama: LlamaConfig, dtype: str, way: Checkpointing = "none") -> CausalLoss:
    """A model in training with random weights, the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        weights = LlamaForCausalLM(llama).state_dict()
    return sharded_model(llama, weights.__getitem__, device, dtype=dtype, activation_checkpointing=way)


def steps(model: CausalLoss, dtype: str) -> tuple[list[tuple[float, float]], list[Tensor]]:
    """Loss and gradient norm of each step of two forward passes, and the weights after them."""
    optimizer = adamw(model, replace(run_config(window_tokens=WINDOW), dtype=dtype))
    draw = torch.Generator().manual_seed(1)
    windows = torch.randint(model.llama.config.vocab_size, (STEPS, 4, WINDOW + 1), generator=draw)
    found = [optimizer_step(model, optimizer, each, 2, 1e-3, 1.0) for each in windows]
    return found, [local(one.detach()) for one in model.parameters()]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("way", CHECKPOINTING)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_process_alone_computes_what_fsdp_does_to_the_bit(device, monkeypatch, dtype, way, tied):
    llama = small_llama(vocab_size=200, hidden_size=64, intermediate_size=96, tie_word_embeddings=tied)
    alone = made(device, llama, dtype, way)
    monkeypatch.setattr(sharding, "_sharding", by_fsdp)
    beside = made(device, llama, dtype, way)
    assert not any(isinstance(one, DTensor) for one in alone.parameters())
    assert all(isinstance(one, DTensor) for one in beside.parameters())
    (ours, weights), (theirs, others) = steps(alone, dtype), steps(beside, dtype)
    assert ours == theirs
    assert all(torch.equal(one, other) for one, other in zip(weights, others, strict=True))


def test_gradients_of_many_forward_passes_add_up_in_float32():
    """In bfloat16 256 + 1 is 256, so that all passes after the first would be lost."""
    layer = nn.Linear(1, 1, bias=False)
    compute_in(layer, torch.bfloat16)
    for size in (256.0, *[1.0] * 300):
        layer(torch.full((1, 1), size, dtype=torch.bfloat16)).sum().backward()
    (weight,) = layer.parameters()
    assert weight.dtype == weight.grad.dtype == torch.float32
    assert weight.grad.item() == 556.0


def test_weights_are_seen_in_the_dtype_and_kept_in_float32():
    model = LlamaForCausalLM(small_llama(num_hidden_layers=2))
    names = list(model.state_dict())
    compute_in(model, torch.bfloat16)
    compute_in(model, torch.bfloat16)
    first, second = (layer.mlp.up_proj for layer in model.model.layers)
    assert first.weight.dtype == torch.bfloat16
    assert type(first) is type(second)
    assert type(first).__mro__[1] is nn.Linear
    assert list(model.state_dict()) == names
    assert {one.dtype for one in model.state_dict().values()} == {torch.float32}


def test_float32_models_are_left_as_they_are():
    model = LlamaForCausalLM(small_llama(num_hidden_layers=1))
    kinds = [type(one) for one in model.modules()]
    compute_in(model, torch.float32)
    assert [type(one) for one in model.modules()] == kinds
