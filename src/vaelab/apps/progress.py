"""What a person sees while something runs: one live line on a terminal, a few lines in a log.

Everything here goes to stderr, so that stdout holds nothing but results. Colours and the live line
follow the terminal: rich respects NO_COLOR and falls silent where stderr is a file.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from vaelab.progress import ProgressCallback
from vaelab.spelling import escape_control
from vaelab.training import Row, Snapshot

LOG_EVERY = 10.0
"""Seconds between lines where there is no terminal."""


def say(message: str) -> None:
    """A message to the person at the terminal."""
    print(escape_control(message), file=sys.stderr, flush=True)


def counted(n: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "epoch"), counted(1200, "step")
    ('1 epoch', '1,200 steps')
    """
    return f"{n:,} {what}" + ("" if n == 1 else "s")


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


NAMES: tuple[str, ...] = ("loss", "rate", "distortion")
USED = {"active_units": "active", "perplexity": "codes"}
"""What says how much of the latents is in use, and how it is said in a word."""


def layers(row: Row, name: str) -> dict[str, str]:
    """The figures of each layer that are of one name, with what they are called.

    >>> layers({"rate": 5.0, "rate_layer_1": 2.0, "rate_layer_2": 3.0}, "rate")
    {'rate_layer_1': 'layer 1', 'rate_layer_2': 'layer 2'}
    """
    start = f"{name}_layer_"
    return {key: f"layer {key.removeprefix(start)}" for key in row if key.startswith(start)}


def figures(row: Row, decimals: int = 2) -> str:
    """Loss, rate and distortion in nats, those that there are.

    >>> figures({"loss": 3.0, "distortion": 3.0})
    'loss 3.00 · distortion 3.00'
    """
    return " · ".join(f"{name} {row[name]:.{decimals}f}" for name in NAMES if name in row)


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar for `total` examples; yields what is told how many are done."""
    with following() as told:
        told(what, 0, total)
        yield lambda done: told(what, done, total)


@contextmanager
def following(console: Console | None = None) -> Iterator[ProgressCallback]:
    """A bar for work in several parts, one after another; yields what is told how far it is."""
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

        def told(what: str, done: int, total: int, nats: float | None = None) -> None:
            for task in progress.tasks:
                if task.description != what:
                    progress.remove_task(task.id)
            if not progress.tasks:
                progress.add_task(what, total=total, figures="")
            figures = "" if nats is None else f"{nats:.2f} nats"
            progress.update(progress.task_ids[0], completed=done, total=total, figures=figures)

        yield told
