"""Progress of long computations: the callback protocol, bars and log lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from vaelab.utils.program import as_called
from vaelab.utils.text import escape_control


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


LOG_EVERY = 10.0
"""Seconds between log lines without a terminal."""

LOG_FIRST = 3.0
"""Seconds before the first of them."""


def say(message: str) -> None:
    """Print a message to standard error, its commands as they can be typed here."""
    print(as_called(escape_control(message)), file=sys.stderr, flush=True)


def show(result: str) -> None:
    """Print a line of results to standard output, its commands as they can be typed here."""
    print(as_called(escape_control(result)))


def duration(seconds: float) -> str:
    """Format a duration.

    >>> duration(7.4), duration(95), duration(5400)
    ('7 s', '1 min 35 s', '1 h 30 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def counted(n: int, what: str) -> str:
    """Format a count with its unit.

    >>> counted(1, "epoch"), counted(1200, "step")
    ('1 epoch', '1,200 steps')
    """
    return f"{n:,} {what}" + ("" if n == 1 else "s")


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar for `total` examples; yield a function that receives the count so far."""
    with following() as progress:
        progress(what, 0, total)
        yield lambda done: progress(what, done, total)


@contextmanager
def following(console: Console | None = None) -> Iterator[ProgressCallback]:
    """Show a progress bar for several tasks in sequence; yield its `ProgressCallback`."""
    console = console or Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(compact=True),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as progress:

        def report(what: str, done: int, total: int, nats: float | None = None) -> None:
            for task in progress.tasks:
                if task.description != what:
                    progress.remove_task(task.id)
            if not progress.tasks:
                progress.add_task(what, total=total, figures="")
            figures = "" if nats is None else f"{nats:.2f} nats"
            progress.update(progress.task_ids[0], completed=done, total=total, figures=figures)

        yield report
