"""Notice requests to stop, which come as Ctrl-C or as SIGTERM from a scheduler, without acting on them at once."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# A scheduler signals torchrun and its processes, and torchrun signals them again: so soon after it, it is the same.
SAME_SECONDS = 2.0


class StopRequests:
    """The requests to stop that have come since `stop_requests` began to note them."""

    def __init__(self) -> None:
        self._first: float | None = None  # when the first signal came
        self._before: dict[int, Any] = {}

    def asked(self) -> bool:
        """Whether a signal has come."""
        return self._first is not None

    @contextmanager
    def acted_on(self) -> Iterator[None]:
        """Within the block a signal stops the program at once, as usual: for work that can be done again."""
        noting = bool(self._before)
        self.act()
        try:
            yield
        finally:
            if noting:
                self.note()

    def note(self) -> None:
        """Note the next signal instead of stopping. Only the main thread receives any."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._noted) for number in (signal.SIGINT, signal.SIGTERM)}

    def act(self) -> None:
        """Stop at the next signal, as usual."""
        while self._before:
            signal.signal(*self._before.popitem())

    def _noted(self, number: int, frame: Any) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = now
            if int(os.environ.get("RANK", 0)) == 0:
                print("stopping after this step, with a checkpoint; a second signal stops at once", file=sys.stderr)
        elif now - self._first >= SAME_SECONDS:
            self.act()
            signal.raise_signal(number)


@contextmanager
def stop_requests() -> Iterator[StopRequests]:
    """Within the block, note the first SIGINT or SIGTERM instead of stopping; a second one stops as usual.

    One that comes within two seconds of the first is the first one again, by another way.
    """
    requests = StopRequests()
    requests.note()
    try:
        yield requests
    finally:
        requests.act()
