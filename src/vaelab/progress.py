"""Progress callbacks of long tasks."""

from __future__ import annotations

from typing import Protocol


class ProgressCallback(Protocol):
    """Progress callback of a long task, such as reading pictures or fitting a prior."""

    def __call__(self, what: str, done: int, total: int, nats: float | None = None) -> None:
        """Report progress; called repeatedly.

        Args:
            what: the counted unit, such as epochs.
            done: the count so far.
            total: the largest possible count.
            nats: the current mean of −log p(z) in nats, or None.
        """


def no_progress(what: str, done: int, total: int, nats: float | None = None) -> None:
    """Ignore progress."""
