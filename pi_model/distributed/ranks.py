"""The processes of a torchrun, called ranks: how they share work and join their results.

Every function also works in a single process that nobody started with torchrun, which is then rank 0 of 1. Work items
are dealt out whole and results are placed by index, so the outcome does not depend on the number of ranks.
"""

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

T = TypeVar("T")


def _group() -> Any:
    """torch.distributed if this process belongs to a group, else None. Who has not imported torch belongs to none."""
    dist = sys.modules.get("torch.distributed")
    return dist if dist is not None and dist.is_initialized() else None


def start() -> None:
    """Join the process group that torchrun described; without torchrun, do nothing."""
    if "RANK" in os.environ and not _group():
        import torch

        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        torch.distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")


def stop() -> None:
    """Leave the process group, if there is one."""
    if dist := _group():
        dist.destroy_process_group()


def rank() -> int:
    """The number of this process among all, from 0."""
    return dist.get_rank() if (dist := _group()) else 0


def world_size() -> int:
    """The number of processes."""
    return dist.get_world_size() if (dist := _group()) else 1


def wait_for_all() -> None:
    """Return when every rank has come here."""
    if dist := _group():
        dist.barrier()


def rank_zero_first(load: Callable[[], T]) -> T:
    """Call a function on rank 0, then on the others, and return each rank's own result.

    What the function fetches, converts or tokenises is so written to the disk once, and the other ranks read it there.
    """
    if rank() != 0:
        wait_for_all()
    loaded = load()
    if rank() == 0:
        wait_for_all()
    return loaded


def join(values: np.ndarray) -> np.ndarray:
    """The elementwise maximum of an array over all ranks.

    Results are never negative, so a result wins over the -1 of a rank that does not have it.
    """
    if not (dist := _group()):
        return np.array(values)
    import torch

    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    joined = torch.tensor(np.asarray(values), device=device)
    dist.all_reduce(joined, op=dist.ReduceOp.MAX)
    return np.asarray(joined.cpu().numpy())
