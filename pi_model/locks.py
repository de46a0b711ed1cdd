"""Locks that keep a second process out of what a first one is writing, and name the first.

A lock is a file that its holder has locked by flock(2) and has written its name into. The system lets go of the lock
when the holder ends in whatever way, kill -9 included, so a lock file that is left behind locks nothing. On NFS, Linux
passes the lock to the server (NFSv4, or v3 with lockd), so that it holds between hosts; when a host dies, the server
lets go after its grace period. On a mount with ``nolock`` or ``local_lock=all`` it holds between the processes of one
host. A file system without any locks is used without.
"""

import errno
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from pi_model.errors import RunError

NAME = ".lock"  # of the lock file of a whole folder, inside it

_SECONDS_BETWEEN_TRIES = 0.5
_SECONDS_BETWEEN_LINES = 60.0
_WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Within the block, no other process can be within such a block for the same lock file.

    Args:
        path: the lock file. Its folder is made where it is missing. At the end the file is removed, and so is a folder
            that was locked as a whole, if it was made here and nothing is in it.
        what: what is locked, for the message.

    Raises:
        RunError: another process holds the lock; the message says which, on what host, and since when.
        OSError: the file cannot be made.
    """
    made = path.name == NAME and not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in _WITHOUT_LOCKS:
                    file.seek(0)
                    raise RunError(f"{what}: in use by {_named(file.read())}; wait until it ends, or end it") from error
            if not _is(path, file.fileno()):
                continue  # The holder before us has ended and removed the file since we opened it.
            with suppress(OSError):  # Even on a full disk the lock holds; it only has no name.
                file.truncate(0)
                holder = {"process": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat()}
                file.write(json.dumps(holder))
                file.flush()
            try:
                yield
            finally:
                path.unlink(missing_ok=True)
                with suppress(OSError):
                    if made:
                        path.parent.rmdir()
            return


@contextmanager
def waited_for(path: Path, what: str) -> Iterator[None]:
    """`locked`, which waits for as long as another process holds the lock, and says so once a minute.

    Args:
        path: the lock file.
        what: what the other process makes, for the message.

    Raises:
        OSError: the file cannot be made.
    """
    with ExitStack() as stack:
        begun, told = time.monotonic(), -_SECONDS_BETWEEN_LINES
        while True:
            try:
                stack.enter_context(locked(path, what))
                break
            except RunError as error:
                waited = time.monotonic() - begun
                if waited - told >= _SECONDS_BETWEEN_LINES:
                    holder = str(error).removeprefix(f"{what}: ").partition(";")[0]
                    print(f"waiting for {what}, {holder} ({waited:.0f} s)", file=sys.stderr, flush=True)
                    told = waited
                time.sleep(_SECONDS_BETWEEN_TRIES)
        yield


def _is(path: Path, descriptor: int) -> bool:
    """Whether an open file is the one that has this path now."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _named(content: str) -> str:
    """Who holds a lock, by what is in its file."""
    try:
        holder = json.loads(content)
        since = datetime.fromisoformat(holder["since"]).astimezone(UTC)
        return f"process {holder['process']} on {holder['host']} since {since:%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, KeyError, TypeError):
        return "another process"
