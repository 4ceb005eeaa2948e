"""Progress of long computations: the callback protocol, live lines on a terminal, lines in a log.

Everything goes to stderr, so that stdout holds nothing but results. Live lines follow the terminal,
where rich respects NO_COLOR; every line of a log states the time left.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
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
"""Seconds between lines of a log."""

LOG_FIRST = 3.0
"""Seconds before the first of them."""

MINUTE, HOUR = 60, 3600


def say(message: str) -> None:
    """Print a message to standard error, its commands as they can be typed here."""
    print(as_called(escape_control(message)), file=sys.stderr, flush=True)


def show(result: str) -> None:
    """Print a line of results to standard output, its commands as they can be typed here."""
    print(as_called(escape_control(result)))


def counted(n: int, what: str) -> str:
    """Format a number of things.

    >>> counted(1, "epoch"), counted(1200, "step")
    ('1 epoch', '1,200 steps')
    """
    return f"{n:,} {what}" + ("" if n == 1 else "s")


def duration(seconds: float) -> str:
    """Format a duration, to the second or the minute.

    >>> duration(42.3), duration(200), duration(7800)
    ('42 s', '3 min', '2 h 10 min')
    """
    if seconds < MINUTE:
        return f"{seconds:.0f} s"
    if seconds < HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds // HOUR:.0f} h {seconds % HOUR / MINUTE:.0f} min"


class Display:
    """A context that shows progress: live lines on a terminal, a line now and then elsewhere.

    Args:
        *columns: columns of the live lines.
        console: destination, stderr by default.
        keep: leave the live lines on the screen.
    """

    def __init__(
        self, *columns: ProgressColumn, console: Console | None = None, keep: bool = False
    ) -> None:
        console = console or Console(stderr=True)
        self.live = console.is_terminal
        self.lines = Progress(
            *columns,
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not self.live,
            transient=not keep,
            speed_estimate_period=60,
        )
        self.restart()

    def __enter__(self) -> Self:
        self.lines.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.lines.stop()

    def restart(self) -> None:
        """Measure the time left from now on."""
        self._started = time.monotonic()
        self._logged = self._started + LOG_FIRST - LOG_EVERY

    def log(self, done: float, message: Callable[[], str], every: float = 1.0) -> None:
        """Print a line with the time left, if there is no terminal and the last line is not recent.

        Args:
            done: finished share of the work, in [0, 1].
            message: returns the line.
            every: least time since the last line, as a multiple of `LOG_EVERY`.
        """
        now = time.monotonic()
        if self.live or not done or now - self._logged <= every * LOG_EVERY:
            return
        self._logged = now
        left = duration((now - self._started) * (1 - done) / done)
        say(f"{message()} · about {left} left")


class PartsDisplay(Display):
    """Display of work in several parts, one after another; a `ProgressCallback`.

    Args:
        console: destination, stderr by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            console=console,
        )
        self._part = self.lines.add_task("", figures="", visible=False)

    def __call__(self, what: str, done: int, total: int, nats: float | None = None) -> None:
        """Move the bar, or begin the one of the next part."""
        if self.lines.tasks[0].description != what:
            self.lines.reset(self._part, description=what, visible=True)
            self.restart()
        figures = "" if nats is None else f"{nats:.2f} nats"
        self.lines.update(self._part, completed=done, total=total, figures=figures)
        self.log(done / total, lambda: f"{what}: {done:,} of {total:,}")


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Display progress over `total` examples; yields a callback for the number done."""
    with PartsDisplay() as display:
        display(what, 0, total)
        yield lambda done: display(what, done, total)
