"""The process group that a training run works in: all processes of a torchrun, or a single process by itself."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import HashStore

from pi_model.errors import UsageError


@contextmanager
def process_group(device: str) -> Iterator[torch.device]:
    """Join the group that torchrun described, or make one of a single process; leave it when the block ends.

    Args:
        device: "cpu" or "cuda".

    Yields:
        This rank's device.

    Raises:
        UsageError: there is no such device.
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


def mean_over_ranks(value: Tensor) -> float:
    """The mean of a scalar over all ranks; every rank gets the same number."""
    total = value.detach().clone()
    dist.all_reduce(total)
    return float(total) / dist.get_world_size()
