"""Programs in processes of their own, started fast: forks of a process that has imported what they need."""

import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.commands import Ending

# The server imports torch once; each fork of it is one that has not used a thread yet.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["pi_model.training.loop", "pi_model.evaluation.perplexity", "pi_model.cli.main"])


class Forked:
    """A function that runs in a process of its own, from now on.

    Args:
        function: what it runs, defined in a module; what it returns is the exit code.
        arguments: of the function.
        argv: the command line that it sees, its own name left out.
        environment: variables beside those of this process.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        argv: Sequence[object] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()
        variables = {**os.environ, **(environment or {})}
        about = (function, arguments, ["program", *map(str, argv)], variables, self._folder.name)
        self._process = FORKS.Process(target=_go, args=about)
        self._process.start()

    def ending(self) -> Ending:
        """How it ended, when it has."""
        self._process.join()
        with self._folder as folder:
            said = [(Path(folder) / name).read_text() for name in ("out", "err")]
        return Ending(self._process.exitcode, *said)


def _go(
    function: Callable[..., Any], arguments: Sequence[Any], argv: list[str], environment: dict[str, str], folder: str
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT), number)
    multiprocessing.set_start_method(None, force=True)  # the usual one, as in a process that was not forked here
    sys.argv = argv
    sys.exit(function(*arguments))


def ranks(processes: int) -> list[dict[str, str]]:
    """The environment of each of the processes of a run, as torchrun sets it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    return [group | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]


def ended(pid: str) -> bool:
    """Whether a process ends within ten seconds, be it that nobody has asked for its exit code yet."""
    for _ in range(100):
        found = subprocess.run(["ps", "-o", "stat=", "-p", pid], capture_output=True, text=True).stdout.strip()
        if not found or found.startswith("Z"):
            return True
        time.sleep(0.1)
    return False
