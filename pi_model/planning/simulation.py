"""A training step of one rank, simulated at the run's own size: its tensors have shapes and dtypes, and no values.

The step is the one that training runs: `pi_model.training.sharding` lays the model out over as many ranks as the run
has, on torch's fake process group, and `pi_model.training.loop` computes and updates. Every operation is seen on its
way, and with it every storage as it comes and goes. So 65B on 128 ranks takes a minute of one core and no GPU.

What is simulated is the default path of a GPU: attention is FlashAttention's kernel, which saves what cuDNN's does.
Layers are not compiled. Not seen are the workspaces inside kernels, the CUDA context and NCCL's buffers, and that the
allocator rounds.
"""

import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_iter

from pi_model.models.families import ModelConfig, empty_model
from pi_model.training.config import Config
from pi_model.training.loop import adamw, optimizer_step
from pi_model.training.lora import add_adapters
from pi_model.training.loss import BLOCK_TOKENS
from pi_model.training.sharding import sharded_model


@dataclass(frozen=True)
class Simulated:
    """What a step of one rank did.

    Attributes:
        peak: the most bytes that tensors had at a time.
        host_waits: how often the host asked for a value that a GPU would have had to compute first.
        largest: the numbers in the largest tensor that was made.
    """

    peak: int
    host_waits: int
    largest: int


def simulate(config: Config, llama: ModelConfig, gpus: int) -> Simulated:
    """One optimiser step of rank 0 as any but the first, in which the optimiser's moments are made.

    Args:
        config: the run; `compile` is left out, and the device is taken to be a GPU.
        llama: the config of its model.
        gpus: number of ranks.

    Raises:
        UsageError: the global batch cannot be shared evenly among so many.
    """
    accumulation = config.accumulation(gpus)
    shapes = _shapes(config, llama)
    with _ranks(gpus), _without_values(), Observed() as observed:
        model = sharded_model(
            llama,
            lambda name, *rows: torch.empty(shapes[name])[rows],
            torch.device("cpu"),
            lora=config.lora,
            context_parallel=config.context_parallel,
            dtype=config.dtype,
            activation_checkpointing=config.activation_checkpointing,
        )
        optimizer = adamw(model, config)
        windows = torch.zeros(config.micro_batch * accumulation, config.training_tokens + 1, dtype=torch.long)
        # An update by nothing makes the moments, which are there in all steps but the first.
        for weight in model.parameters():
            weight.grad = torch.zeros_like(weight) if weight.requires_grad else None
        optimizer.step()
        optimizer.zero_grad()
        observed.begin()
        optimizer_step(model, optimizer, windows, accumulation, config.peak_lr, config.clip_norm)
        return Simulated(observed.peak, observed.waits, observed.largest)


def _shapes(config: Config, llama: ModelConfig) -> dict[str, torch.Size]:
    """The shape of every weight, adapters included, by its name."""
    with torch.device("meta"):
        whole = empty_model(llama)
        if config.lora is not None:
            add_adapters(whole, config.lora)
    return {name: weight.shape for name, weight in whole.named_parameters()}


@contextmanager
def _ranks(number: int) -> Iterator[None]:
    """A process group of which this process is rank 0; collectives allocate and do not communicate."""
    dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=number)
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def _without_values() -> Iterator[None]:
    """Tensors are fake, nothing asks for their values, and attention is a GPU's."""

    def attend(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        flash = torch.ops.aten._scaled_dot_product_flash_attention
        return flash(query, key, value, 0.0, True, scale=scale)[0]

    def dropout(values: Tensor, p: float, training: bool, inplace: bool) -> Tensor:  # whose mask has a byte a number
        return torch.native_dropout(values, p, training)[0]

    def logsumexp(logits: Tensor, dim: int, keepdim: bool) -> Tensor:  # with the buffer that torch's own has inside
        most = logits.amax(dim, keepdim=True)
        return (logits - most).exp_().sum(dim, keepdim=keepdim).log_().add_(most)

    def mesh(*shape: Any) -> Any:
        with _disable_current_modes():  # a mesh looks up this rank among its values
            return init_device_mesh(*shape)

    def to_empty(module: nn.Module, device: torch.device) -> None:  # torch's own swaps tensors, which fake ones refuse
        for one in module.modules():
            for name, weight in one.named_parameters(recurse=False):
                empty = nn.Parameter(torch.empty_like(weight, device=device), weight.requires_grad)
                one.register_parameter(name, empty)

    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        patch("pi_model.training.sharding.check_frequencies"),
        patch("torch.nn.functional.dropout", dropout),
        patch("torch.Tensor.logsumexp", logsumexp),
        patch("torch.nn.Module.to_empty", to_empty),
        patch.dict(BLOCK_TOKENS, cpu=BLOCK_TOKENS["cuda"]),
        patch("pi_model.training.sharding.init_device_mesh", mesh),
        patch("pi_model.distributed.context_parallel.init_device_mesh", mesh),
        patch("pi_model.models.attention.attend", attend),
    ):
        yield


class Observed(TorchDispatchMode):
    """Counts what tensors hold and how often the host waits, while it is the innermost dispatch mode.

    Attributes:
        peak: the most bytes that tensors had at a time since `begin`.
        waits, largest: as `Simulated` has them, since `begin`.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._patches = ExitStack()
        self._sizes: dict[int, int] = {}  # of every storage, by its address in C++
        self._held = 0
        self.begin()

    def __enter__(self) -> "Observed":
        resize, seen = torch.UntypedStorage.resize_, self._sizes

        def resized(storage: torch.UntypedStorage, size: int) -> Any:  # as FSDP gathers and frees
            done = resize(storage, size)
            if storage._cdata in seen:
                self._resize(storage._cdata, size)
            return done

        def values(tensor: Tensor) -> Any:
            self.waits += 1
            return [1.0] * tensor.numel()

        self._patches.enter_context(patch("torch.UntypedStorage.resize_", resized))
        self._patches.enter_context(patch.object(FakeTensor, "tolist", values))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._patches.close()

    def begin(self) -> None:
        """Count anew; what is held stays."""
        self.peak, self.waits, self.largest = self._held, 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented  # it stands for the whole and holds a shard; what is done with that comes by itself
        if func is torch.ops.aten._local_scalar_dense.default:
            self.waits += 1
            return True if args[0].dtype == torch.bool else 1.0
        made = func(*args, **(kwargs or {}))
        for tensor in tree_iter(made):
            if isinstance(tensor, FakeTensor):
                self.largest = max(self.largest, tensor.numel())
                self._see(tensor.untyped_storage())
        return made

    def _see(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata not in self._sizes:
            weakref.finalize(storage, self._resize, storage._cdata, None)
            self._resize(storage._cdata, storage.nbytes())

    def _resize(self, address: int, size: int | None) -> None:
        self._held += (size or 0) - self._sizes.pop(address, 0)
        self.peak = max(self.peak, self._held)
        if size is not None:
            self._sizes[address] = size
