"""Callbacks of a training: functions of an epoch's figures, and listeners to steps and epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

from vaelab.training import Listener, Row, Snapshot

Callback: TypeAlias = "Callable[[Row], Any] | Listener"
"""A function of the row of an epoch, or an object with `on_step` and `on_epoch`."""


@dataclass(frozen=True)
class _Each:
    """Function that is called with the row of every epoch."""

    function: Callable[[Row], Any]

    def on_step(self, step: int, steps: int, row: Row) -> None:
        """Do nothing."""

    def on_epoch(self, row: Row, best: Snapshot | None) -> None:
        """Call the function with a copy of the row."""
        self.function(dict(row))


@dataclass(frozen=True)
class _All:
    """Several listeners, called in order."""

    listeners: tuple[Listener, ...]

    def on_step(self, step: int, steps: int, row: Row) -> None:
        """Call each."""
        for listener in self.listeners:
            listener.on_step(step, steps, row)

    def on_epoch(self, row: Row, best: Snapshot | None) -> None:
        """Call each."""
        for listener in self.listeners:
            listener.on_epoch(row, best)


def as_listener(callbacks: Iterable[Any]) -> Listener | None:
    """One listener for all callbacks; None without any.

    Raises:
        TypeError: for anything that is neither a function nor a listener.
    """
    listeners = tuple(map(_listener, callbacks))
    return _All(listeners) if listeners else None


def _listener(callback: Any) -> Listener:
    if hasattr(callback, "on_step") and hasattr(callback, "on_epoch"):
        return callback
    if callable(callback):
        return _Each(callback)
    raise TypeError(
        f"a callback is a {type(callback).__name__}; expected a function of an epoch's figures, "
        "such as lambda row: print(row['valid_loss']), or an object with on_step(step, steps, row) "
        "and on_epoch(row, best)"
    )
