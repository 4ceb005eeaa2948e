"""Signals that ask a long computation to end at its next safe point."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM)

_AT_ONCE: ContextVar[bool] = ContextVar("_AT_ONCE", default=False)


class Interrupted(KeyboardInterrupt):
    """A computation ended early at a safe point; the message says where it is and how to go on.

    Attributes:
        signal: number of the signal, SIGINT unless another one asked for it.
    """

    def __init__(self, message: str, signal: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.signal = signal


class Request:
    """A request to end.

    Attributes:
        signal: number of the signal that asked, or None.
    """

    signal: int | None = None


@contextmanager
def at_once() -> Iterator[None]:
    """Leave signals to the caller: within the body, `deferred` changes nothing.

    A study of several trainings reports what all of them have reached, and ends a training by
    KeyboardInterrupt with its results so far rather than with a checkpoint.
    """
    token = _AT_ONCE.set(True)
    try:
        yield
    finally:
        _AT_ONCE.reset(token)


@contextmanager
def deferred() -> Iterator[Request]:
    """Inside, SIGINT and SIGTERM are noted for the caller to act on; a second one acts at once.

    Only the main thread receives signals; elsewhere, and within `at_once`, nothing changes.
    """
    request = Request()
    if _AT_ONCE.get() or threading.current_thread() is not threading.main_thread():
        yield request
        return

    def note(number: int, frame: FrameType | None) -> None:
        if request.signal is not None:
            restore()
            raise Interrupted("interrupted twice", number)
        request.signal = number

    before: dict[Any, Any] = {number: signal.getsignal(number) for number in ENDING}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    # A process that was started to ignore a signal, as in the background of a shell, goes on so.
    for number in ENDING:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, note)
    try:
        yield request
    finally:
        restore()
