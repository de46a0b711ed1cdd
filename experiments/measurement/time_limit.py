"""A time limit on what can go on later: when it is reached, the work is interrupted as by Ctrl-C."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Limit:
    """Whether a limit was reached."""

    reached: bool = False


@contextmanager
def time_limit(seconds: float | None) -> Iterator[Limit]:
    """Ends the block after so many seconds, as far as they go: training after its step, with a checkpoint; all else at
    once.

    The block is left as if it had ended well; a Ctrl-C of the user's own passes through. Only the main thread of a
    process receives signals, so the block has to be there.

    Args:
        seconds: None is no limit.
    """
    limit = Limit()
    if seconds is None:
        yield limit
        return
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("a time limit works in the main thread only")

    def reached(number: int, frame: Any) -> None:
        limit.reached = True
        signal.raise_signal(signal.SIGINT)

    # A shell starts what it runs in the background with SIGINT ignored.
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGALRM: signal.signal(signal.SIGALRM, reached),
    }
    try:
        signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
        yield limit
    except KeyboardInterrupt:
        if not limit.reached:
            raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
