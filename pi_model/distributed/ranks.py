"""One process or many: how the ranks of a torchrun share work and join results.

Work items are dealt out whole and results are placed by index, so the outcome does not depend on the number of ranks.
"""

import os
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist

T = TypeVar("T")


def start() -> None:
    """Join the process group that torchrun described; without one, do nothing."""
    if "RANK" in os.environ and not dist.is_initialized():
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def stop() -> None:
    """Leave the process group, if any."""
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def wait_for_all() -> None:
    if dist.is_initialized():
        dist.barrier()


def rank_zero_first(load: Callable[[], T]) -> T:
    """Calls `load` on rank 0 and then on the others, which read from the disk what rank 0 fetched or made."""
    if rank() != 0:
        wait_for_all()
    loaded = load()
    if rank() == 0:
        wait_for_all()
    return loaded


def join(values: np.ndarray) -> np.ndarray:
    """The elementwise maximum over ranks: results that are >= 0 win over the -1 of a rank that has not got them."""
    if not dist.is_initialized():
        return np.array(values)
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    joined = torch.tensor(np.asarray(values), device=device)
    dist.all_reduce(joined, op=dist.ReduceOp.MAX)
    return joined.cpu().numpy()
