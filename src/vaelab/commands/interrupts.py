"""Interrupts of a command: SIGINT and SIGTERM end it alike, and decide its exit status."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Signals received while a command ran.

    A command that keeps what it has reached ends normally all the same; its status is that of the
    signal, so that a script does not go on as if all were done.
    """

    def __init__(self) -> None:
        self.received: int | None = None

    def status(self, status: int) -> int:
        """128 + the number of the signal, 130 or 143, if there was one; else `status`."""
        return status if self.received is None else 128 + self.received

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        raise KeyboardInterrupt


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """Raise KeyboardInterrupt on SIGINT and on SIGTERM, and keep which it was.

    Signals that the parent process ignores (as `nohup` and `&` of a script do) stay ignored.
    Outside the main thread, which alone receives signals, nothing changes.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler not in (signal.SIG_IGN, None):
            signal.signal(number, interrupts._receive)
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            if handler not in (signal.SIG_IGN, None):
                signal.signal(number, handler)
