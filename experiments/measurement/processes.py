"""Calls that run side by side, each in a process with one thread."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from tqdm import tqdm

from pi_model.files import cache_dir

_GIB_A_PROCESS = 2


def processes_here() -> int:
    """How many of the tiny LLaMA's runs this machine has cores and memory for."""
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return max(1, min(os.cpu_count() or 1, int(memory_gib / _GIB_A_PROCESS)))


def in_processes(calls: Sequence[tuple[Any, ...]], processes: int, *, preload: str, progress: bool) -> list[Any]:
    """Results of the calls ``(function, *arguments)``, in their order.

    Args:
        calls: what to call; with more than one process, functions and arguments are pickled.
        processes: how many run at a time; 1 is this process.
        preload: the module that the functions come from, imported once for all processes.
        progress: whether to show a bar.
    """
    bar = tqdm(total=len(calls), unit="run", leave=False, disable=None if progress else True)
    if processes == 1:
        with bar:
            return [_call(bar, function, *arguments) for function, *arguments in calls]
    # Forks of a process that has imported torch and used none of its threads: after that a fork may hang.
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([preload])
    # The server may be older than this process's choice of cache.
    prepare = partial(_prepare_worker, str(cache_dir()))
    with bar, ProcessPoolExecutor(processes, mp_context=server, initializer=prepare) as pool:
        futures = [pool.submit(*call) for call in calls]
        try:
            for future in as_completed(futures):
                future.result()
                bar.update()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _call(bar: tqdm, function: Callable[..., Any], *arguments: Any) -> Any:
    result = function(*arguments)
    bar.update()
    return result


def _prepare_worker(cache: str) -> None:
    os.environ["PI_MODEL_CACHE"] = cache
    torch.set_num_threads(1)
    # A killed study takes its workers with it.
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
