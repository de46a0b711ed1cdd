"""Notice requests to stop, which come as Ctrl-C or as SIGTERM from a scheduler, without acting on them at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Within the block, note the first SIGINT or SIGTERM instead of stopping; a second one stops as usual.

    Only the main thread receives signals; in any other thread no request is ever noted.

    Yields:
        A function that tells whether a signal has come.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def note(number: int, frame: Any) -> None:
        asked.set()
        restore()
        if int(os.environ.get("RANK", 0)) == 0:
            print("stopping after this step, with a checkpoint; a second signal stops at once", file=sys.stderr)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked.is_set
    finally:
        restore()
