"""The processes of a torchrun, called ranks: how they share work, join their results and fail together.

Every function also works in a single process that nobody started with torchrun, which is then rank 0 of 1. Work items
are dealt out whole and results are placed by index, so the outcome does not depend on the number of ranks.
"""

import itertools
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pi_model.errors import RunError, UsageError

T = TypeVar("T")

_SECONDS_BETWEEN_LOOKS = 0.1
_SECONDS_BETWEEN_LINES = 60.0
_SECONDS_FOR_RANK_ZERO = 2.0
_turns = itertools.count()
_before_joining: list[Callable[[], None]] = []


def _group() -> Any:
    """torch.distributed if this process belongs to a group, else None. Who has not imported torch belongs to none."""
    dist = sys.modules.get("torch.distributed")
    return dist if dist is not None and dist.is_initialized() else None


def start() -> None:
    """Join the process group that torchrun described; without torchrun, do nothing.

    Raises:
        UsageError: as `pi_model.distributed.process_group.meeting`.
        RunError: as there.
    """
    if "RANK" in os.environ and not _group():
        import torch

        from pi_model.distributed.process_group import join

        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
        join("nccl" if torch.cuda.is_available() else "gloo")


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


def called() -> str:
    """What this process is called in messages."""
    return f"rank {rank()} on {socket.gethostname()}"


def wait_for_all() -> None:
    """Return when every rank has come here."""
    if dist := _group():
        dist.barrier()


def rank_zero_first(load: Callable[[], T], what: str = "rank 0") -> T:
    """Call a function on rank 0, then on the first rank of each other node, then on all others.

    What the function fetches, converts or tokenises is so written to the disk once, or once on each node where nodes
    have disks of their own, and the other ranks read it there. They look whether it is their turn and have no limit.

    Args:
        load: the function.
        what: what the others wait for, for the line that says so each minute.

    Returns:
        Each rank's own result.

    Raises:
        UsageError: the function raised one on a rank before this one; or on this one.
        RunError: the function raised something else there.
    """
    if world_size() == 1:
        return load()
    store, turn = _store(), next(_turns)
    node = os.environ.get("GROUP_RANK", socket.gethostname())
    leads = rank() == 0 or os.environ.get("LOCAL_RANK", "0") == "0"
    if rank() == 0:
        store.set(f"turn {turn} node of rank 0", node)
    else:
        _wait_for(store, f"turn {turn} of rank 0", what)
        if not leads and store.get(f"turn {turn} node of rank 0").decode() != node:
            _wait_for(store, f"turn {turn} on node {node}", what)
    key = f"turn {turn} " + ("of rank 0" if rank() == 0 else f"on node {node}")
    try:
        loaded = load()
    except BaseException as error:
        if leads:
            store.set(key, json.dumps([isinstance(error, UsageError), str(error) or repr(error)]))
        raise
    if leads:
        store.set(key, json.dumps(None))
    return loaded


def _there(store: Any, key: str) -> bool:
    """Whether a key is in the store.

    Raises:
        RunError: the store is gone with the process that had it.
    """
    try:
        return bool(store.check([key]))
    except RuntimeError as error:
        raise RunError(f"{called()}: the process that ranks meet at has ended") from error


def rank_zero_alone(work: Callable[[], T], what: str) -> T:
    """Call a function on rank 0 while the others look, without a limit, whether it has ended.

    Args:
        work: the function; it returns JSON values.
        what: what the others wait for, for the line that says so each minute.

    Returns:
        What it returned, on every rank.

    Raises:
        UsageError: the function raised one, on every rank.
        RunError: it raised something else, on the other ranks.
    """
    if world_size() == 1:
        return work()
    store, turn = _store(), next(_turns)
    key = f"turn {turn} of rank 0"
    if rank() != 0:
        _wait_for(store, key, what)
        made = json.loads(store.get(f"{key} made"))
        wait_for_all()
        return made
    try:
        made = work()
        store.set(f"{key} made", json.dumps(made))
    except BaseException as error:
        store.set(key, json.dumps([isinstance(error, UsageError), str(error) or repr(error)]))
        raise
    store.set(key, json.dumps(None))
    wait_for_all()  # or the store could be gone with this process before the others have looked
    return made


def _store() -> Any:
    from torch.distributed.distributed_c10d import _get_default_store

    return _get_default_store()


def _wait_for(store: Any, key: str, what: str) -> None:
    """Return when a key is in the store; raise what it says, if that is an error."""
    begun, told = time.monotonic(), 0.0
    while not _there(store, key):
        time.sleep(_SECONDS_BETWEEN_LOOKS)
        waited = time.monotonic() - begun
        if waited - told >= _SECONDS_BETWEEN_LINES:
            print(f"{called()}: waiting for {what} ({waited:.0f} s)", file=sys.stderr, flush=True)
            told = waited
    if (fault := json.loads(store.get(key))) is not None:
        wrong_usage, message = fault
        raise (UsageError if wrong_usage else RunError)(message)


def agree(fault: str | None) -> None:
    """Raise RunError on every rank if one has found a fault. To be called on every rank.

    Args:
        fault: what this rank has found; None for nothing. Of several, that of the lowest rank is raised everywhere.
    """
    if (first := next((one for one in everyone(fault) if one is not None), None)) is not None:
        raise RunError(first)


def everyone(value: T) -> list[T]:
    """What every rank has here, by rank. To be called on every rank."""
    dist = _group()
    if dist is None or dist.get_world_size() == 1:
        return [value]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, value)
    return found


def compare(**parts: str) -> None:
    """Refuse to go on where ranks do not have the same. To be called on every rank.

    Args:
        parts: what each rank has, as a hash or in words, by what it is.

    Raises:
        RunError: a rank has something else than most; every rank raises the same, which names the rank.
    """
    found = everyone((called(), parts))
    for what in parts:
        values = [own[what] for _, own in found]
        most = max(values, key=values.count)
        if odd := [name for name, own in found if own[what] != most]:
            more = f" and {len(odd) - 4} more" if len(odd) > 4 else ""
            raise RunError(
                f"{what}: {', '.join(odd[:4])}{more} of {len(found)} ranks read something else than the others; give "
                "all nodes the same files, caches and package"
            )


def speaker(error: BaseException) -> str | None:
    """Whether this process is the one to say why a run ends, and by what name; None if another one says it.

    Rank 0 says it, without a name, where it fails as well; else the first rank that fails.

    Args:
        error: why it ends; torchrun shows it as well.
    """
    from pi_model.distributed.process_group import met

    if (together := met()) is None:
        return ""
    store, own, world_size = together
    deadline = time.monotonic() + _SECONDS_FOR_RANK_ZERO
    try:
        if own == 0:
            store.set("rank 0 fails", "")
        while own != 0 and not store.check(["rank 0 fails"]) and time.monotonic() < deadline:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        speaks = (own == 0 or not store.check(["rank 0 fails"])) and store.add("speakers", 1) == 1
        ended = store.add("ended", 1)
        # The store may end with rank 0, and the others are still to look.
        while own == 0 and ended < world_size and time.monotonic() < deadline:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            ended = store.add("ended", 0)
    except RuntimeError:  # The store went with rank 0, which has said why.
        return "" if own == 0 else None
    if not speaks:
        return None
    if file := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        # torchrun shows what is in this file beside its own account of which process ended first.
        line = " ".join(str(error).split())
        about = {"message": line, "extraInfo": {"py_callstack": line, "timestamp": str(int(time.time()))}}
        with suppress(OSError):
            Path(file).write_text(json.dumps({"message": about}), encoding="utf-8")
    return "" if own == 0 else f"rank {own} on {socket.gethostname()}: "


@contextmanager
def before_joining(help_others: Callable[[], None]) -> Iterator[None]:
    """Within the block, `join` first calls a function, in which this rank helps those that are not done yet."""
    _before_joining.append(help_others)
    try:
        yield
    finally:
        _before_joining.remove(help_others)


def join(values: np.ndarray) -> np.ndarray:
    """The elementwise maximum of an array over all ranks.

    Results are never negative, so a result wins over the -1 of a rank that does not have it.
    """
    if not (dist := _group()):
        return np.array(values)
    import torch

    for help_others in _before_joining:
        help_others()
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    joined = torch.tensor(np.asarray(values), device=device)
    dist.all_reduce(joined, op=dist.ReduceOp.MAX)
    return np.asarray(joined.cpu().numpy())
