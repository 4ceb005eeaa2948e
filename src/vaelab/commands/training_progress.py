"""Progress of a training: one live line on a terminal, a line every few seconds in a log.

Everything here goes to stderr, so that stdout holds nothing but results. Colours and the live line
follow the terminal: rich respects NO_COLOR and falls silent where stderr is a file.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from vaelab.training import Row, Snapshot
from vaelab.training.record import USED, figures
from vaelab.utils.progress import LOG_EVERY, LOG_FIRST, duration, say


class Speed(ProgressColumn):
    """Examples a second, from steps a second."""

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size

    def render(self, task: Task) -> Text:
        return Text(f"{(task.speed or 0) * self.batch_size:,.0f}/s", style="dim")


class Watch:
    """Progress callback and context of a training: losses, latents in use, speed, time left.

    Args:
        epochs: number of epochs at most.
        batch_size: examples in a step.
        console: output; stderr by default.
    """

    def __init__(self, epochs: int, batch_size: int, console: Console | None = None) -> None:
        self.epochs, self.batch_size = epochs, batch_size
        self.console = console or Console(stderr=True)
        self.live = self.console.is_terminal
        self.epoch, self.used = 1, ""
        self.started: tuple[int, float] | None = None
        self.due = time.monotonic() + LOG_FIRST
        self.progress = Progress(
            TextColumn("{task.fields[epoch]}"),
            BarColumn(bar_width=6),
            TextColumn("{task.fields[figures]}"),
            Speed(batch_size),
            TimeRemainingColumn(compact=True),
            console=self.console,
            disable=not self.live,
            transient=True,
        )
        self.task = self.progress.add_task("", total=None, epoch=f"1/{epochs}", figures="")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.progress.stop()

    def on_step(self, step: int, steps: int, row: Row) -> None:
        """Move the bar, or print a line now and then without a terminal."""
        values = figures(row, decimals=1) + self.used  # a line of 80 columns
        self.progress.update(
            self.task,
            completed=step,
            total=steps,
            epoch=f"{self.epoch}/{self.epochs}",
            figures=values,
        )
        now = time.monotonic()
        if self.started is None:  # the first step may compile, and says nothing of the pace
            self.started = (step, now)
            return
        if self.live or now < self.due or step <= self.started[0]:
            return
        self.due = now + LOG_EVERY
        pace = (now - self.started[1]) / (step - self.started[0])
        say(
            f"epoch {self.epoch}/{self.epochs}, {step / steps:.0%}, about "
            f"{duration(pace * (steps - step))} left: {values} · {self.batch_size / pace:,.0f}/s"
        )

    def on_epoch(self, row: Row, best: Snapshot | None) -> None:
        """Note the epoch and the latents in use."""
        self.epoch = min(int(row["epoch"]) + 1, self.epochs)
        self.used = "".join(f" · {row[k]:.0f} {what}" for k, what in USED.items() if k in row)
