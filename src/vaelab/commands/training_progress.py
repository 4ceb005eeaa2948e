"""What a person sees while something runs: one live line on a terminal, a few lines in a log.

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
from vaelab.training.record import NAMES, USED, figures
from vaelab.utils.progress import LOG_EVERY, say


class Speed(ProgressColumn):
    """Examples a second, from steps a second."""

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size

    def render(self, task: Task) -> Text:
        return Text(f"{(task.speed or 0) * self.batch_size:,.0f}/s", style="dim")


class Watch:
    """A training's listener and context: loss, rate, distortion, what is in use, speed, time left.

    Args:
        epochs: how many there will be at most.
        batch_size: examples in a step.
        console: where to; stderr by default.
    """

    def __init__(self, epochs: int, batch_size: int, console: Console | None = None) -> None:
        self.epochs = epochs
        self.console = console or Console(stderr=True)
        self.live = self.console.is_terminal
        self.epoch, self.used, self.said_at = 1, "", time.monotonic()
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
        """Moves the bar."""
        self.progress.update(
            self.task,
            completed=step,
            total=steps,
            epoch=f"{self.epoch}/{self.epochs}",
            figures=figures(row, decimals=1) + self.used,  # a line of 80 columns
        )

    def on_epoch(self, row: Row, best: Snapshot | None) -> None:
        """Notes what is in use; where there is no terminal, a line now and then."""
        epoch = int(row["epoch"])
        self.epoch = min(epoch + 1, self.epochs)
        self.used = "".join(f" · {row[k]:.0f} {what}" for k, what in USED.items() if k in row)
        due = time.monotonic() - self.said_at > LOG_EVERY
        if not self.live and due:
            self.said_at = time.monotonic()
            valid = {name: row[f"valid_{name}"] for name in NAMES if f"valid_{name}" in row}
            say(
                f"epoch {epoch}/{self.epochs}: validation {figures(valid)}{self.used}"
                f" · {row['images_per_s']:,.0f}/s"
            )
