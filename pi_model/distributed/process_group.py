"""The process group that a run works in: all processes of a torchrun, or a single process by itself."""

import itertools
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore, PrefixStore
from torch.distributed.rendezvous import rendezvous

from pi_model.errors import RunError, UsageError

# How long ranks wait for one another: until all have come, then while they get ready, and in a step.
MEETING = timedelta(minutes=10)
GETTING_READY = timedelta(minutes=30)
IN_A_STEP = timedelta(minutes=5)
_SECONDS_BETWEEN_LINES = 30.0

_met: list[tuple[Any, int, int]] = []
_groups = itertools.count()


def met() -> tuple[Any, int, int] | None:
    """What `meeting` returned; None if it has not returned yet, or there is nobody to meet."""
    return _met[0] if _met else None


def meeting() -> tuple[Any, int, int] | None:
    """The store that all ranks of a torchrun share, this rank, and how many there are; None without torchrun.

    The first call returns when all ranks have made it.

    Raises:
        UsageError: the environment describes a rank of a run, but not the run; or Slurm started many single processes.
        RunError: the other ranks do not come.
    """
    if "RANK" not in os.environ:
        tasks = os.environ.get("SLURM_STEP_NUM_TASKS", os.environ.get("SLURM_NTASKS", "1"))
        if tasks.isdigit() and int(tasks) > 1:
            raise UsageError(
                f"SLURM_NTASKS: Slurm started {tasks} processes that do not know of each other; let srun start one "
                "torchrun on each node, as pi-model plan --script slurm writes it, or set SLURM_NTASKS=1"
            )
        return None
    if not _met:
        _met.append(_meet())
    return _met[0]


def _meet() -> tuple[Any, int, int]:
    given = {name: os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")}
    alone = "unset RANK to run a single process, or start the run with torchrun"
    if missing := [name for name, value in given.items() if not value]:
        raise UsageError(f"RANK: is set in the environment, but {' and '.join(missing)} not; {alone}")
    for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"):
        if not given[name].isdigit():
            raise UsageError(f"{name}: must be a whole number, is {given[name]!r} in the environment; {alone}")
    at = f"{given['MASTER_ADDR']}:{given['MASTER_PORT']}"
    try:
        with _told(f"waiting for the {given['WORLD_SIZE']} processes of this run at {at}"):
            if given["RANK"] != "0":
                _wait_for_door(given["MASTER_ADDR"], int(given["MASTER_PORT"]))
            return next(rendezvous("env://", timeout=MEETING))
    except (dist.DistError, RuntimeError, ValueError, OSError) as error:
        came = str(error).splitlines()[0]
        raise RunError(
            f"MASTER_ADDR: not all of the {given['WORLD_SIZE']} processes of this run have met at {at} within "
            f"{MEETING.total_seconds():.0f} s (RANK is {given['RANK']} in the environment): {came}; {alone}"
        ) from error


def _wait_for_door(host: str, port: int) -> None:
    """Return when somebody listens there; torch would wait as well, but write forty lines if nobody comes."""
    deadline = time.monotonic() + MEETING.total_seconds()
    while True:
        try:
            socket.create_connection((host, port), timeout=5).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@contextmanager
def _told(line: str) -> Iterator[None]:
    """Within the block, say now and then what it waits for."""
    done = threading.Event()

    def tell() -> None:
        while not done.wait(_SECONDS_BETWEEN_LINES):
            print(line, file=sys.stderr, flush=True)

    threading.Thread(target=tell, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def join(backend: str) -> None:
    """Join the group of all ranks of a torchrun, or make one of a single process.

    Raises:
        UsageError: as `meeting`.
        RunError: as `meeting`.
    """
    store, rank, world_size = meeting() or (HashStore(), 0, 1)
    store = PrefixStore(f"group {next(_groups)}", store)  # a group that has ended has left its keys in the store
    dist.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=GETTING_READY)


@contextmanager
def process_group(device: str) -> Iterator[torch.device]:
    """Join the group that torchrun described, or make one of a single process; leave it when the block ends.

    Args:
        device: "cpu" or "cuda".

    Yields:
        This rank's device.

    Raises:
        UsageError: there is no such device, or as `meeting`.
        RunError: as `meeting`.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device: no CUDA device is available here; use device=cpu")
    local = torch.device("cpu")
    if device == "cuda":
        local = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(local)
    join("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo")
    try:
        yield local
    finally:
        dist.destroy_process_group()


def wait_at_most(limit: timedelta, *patient: dist.ProcessGroup) -> None:
    """How long a rank waits for the others from now on, before it ends the run.

    Args:
        limit: the time; `IN_A_STEP` lets a rank that hangs end the run soon.
        patient: groups that keep the time that they have.
    """
    for group in list(dist.distributed_c10d._world.pg_map):
        if group not in patient:
            dist.distributed_c10d._set_pg_timeout(limit, group)
