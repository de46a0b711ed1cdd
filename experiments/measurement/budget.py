"""How long a study may still run, and how it stops in time.

The runner gives a study a budget as a moment at which it has to have ended. Work that can go on later runs inside
`Budget.stops`, which interrupts it as Ctrl-C would: training ends after its step, with a checkpoint, and everything
else ends at once.
"""

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass
class Stop:
    """Whether the time was over before the work inside `Budget.stops` had ended."""

    reached: bool = False


@dataclass(frozen=True)
class Budget:
    """The time that is left, measured against the clock, so that a process can hand it to those it starts.

    Attributes:
        deadline: when the time is over, in seconds since the epoch; infinity is no limit.
    """

    deadline: float = math.inf

    @classmethod
    def of_minutes(cls, minutes: float | None) -> "Budget":
        """So many minutes from now; None is no limit."""
        return cls() if minutes is None else cls(time.time() + 60 * minutes)

    def left_seconds(self) -> float:
        """Seconds until the time is over: infinity without a limit, negative afterwards."""
        return self.deadline - time.time()

    @contextmanager
    def stops(self, *, reserve_seconds: float = 0.0) -> Iterator[Stop]:
        """Interrupts the block when the time, less a reserve, is over, and leaves it as if it had ended well.

        A Ctrl-C of the user's own passes through. Only the main thread of a process receives signals, so the block has
        to run there.

        Args:
            reserve_seconds: for what cannot be interrupted, such as a training step and its checkpoint.

        Raises:
            RuntimeError: there is a limit, and this is not the main thread.
        """
        stop = Stop()
        if math.isinf(self.deadline):
            yield stop
            return
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("a time limit works in the main thread only")

        def over(number: int, frame: Any) -> None:
            stop.reached = True
            signal.raise_signal(signal.SIGINT)

        # A shell starts what it runs in the background with SIGINT ignored.
        before = {
            signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
            signal.SIGALRM: signal.signal(signal.SIGALRM, over),
        }
        try:
            signal.setitimer(signal.ITIMER_REAL, max(self.left_seconds() - reserve_seconds, 1e-3))
            yield stop
        except KeyboardInterrupt:
            if not stop.reached:
                raise
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                signal.signal(number, handler)


UNLIMITED = Budget()
