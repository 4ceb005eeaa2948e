"""Progress of a training: loss, rate, distortion, usage of the latents, speed and time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.text import Text

from vaelab.training import Listener, Row, Snapshot
from vaelab.training.record import NAMES, USED, figures
from vaelab.utils.progress import Display

PATIENT = 3.0
"""Lines within an epoch are rarer by this factor than those after one."""


class Speed(ProgressColumn):
    """Examples a second, from steps a second."""

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size

    def render(self, task: Task) -> Text:
        return Text(f"{(task.speed or 0) * self.batch_size:,.0f}/s", style="dim")


class TrainingDisplay(Display):
    """Display of a training; its listener.

    Args:
        epochs: upper bound.
        batch_size: examples in a step.
        console: destination, stderr by default.
    """

    def __init__(self, epochs: int, batch_size: int, console: Console | None = None) -> None:
        super().__init__(
            TextColumn("{task.fields[epoch]}"),
            BarColumn(bar_width=6),
            TextColumn("{task.fields[figures]}"),
            Speed(batch_size),
            console=console,
        )
        self.epochs, self.epoch, self.used = epochs, 1, ""
        self.task = self.lines.add_task("", total=None, epoch=f"1/{epochs}", figures="")

    def on_step(self, step: int, steps: int, row: Row) -> None:
        """Move the bar; in a log, add a line if an epoch is long."""
        place = f"{self.epoch}/{self.epochs}"
        shown = figures(row, decimals=1) + self.used  # a line of 80 columns
        self.lines.update(self.task, completed=step, total=steps, epoch=place, figures=shown)
        self.log(
            step / steps, lambda: f"epoch {place}, step {step:,} of {steps:,}: {shown}", PATIENT
        )

    def on_epoch(self, row: Row, best: Snapshot | None) -> None:
        """Note the usage of the latents; in a log, add a line of validation figures."""
        epoch = int(row["epoch"])
        self.epoch = min(epoch + 1, self.epochs)
        self.used = "".join(f" · {row[k]:.0f} {what}" for k, what in USED.items() if k in row)
        valid = {name: row[f"valid_{name}"] for name in NAMES if f"valid_{name}" in row}
        self.log(
            epoch / self.epochs,
            lambda: (
                f"epoch {epoch}/{self.epochs}: validation {figures(valid)}{self.used}"
                f" · {row['images_per_s']:,.0f}/s"
            ),
        )


@contextmanager
def progress_display(
    epochs: int, batch_size: int, progress: bool | None
) -> Iterator[tuple[Listener, ...]]:
    """Display of a training, as the listeners that it needs.

    Args:
        epochs: upper bound.
        batch_size: examples in a step.
        progress: True to show it, False to show nothing; None to show it in a terminal and in a
            notebook alone.
    """
    console = Console(stderr=True)
    if progress or (progress is None and (console.is_terminal or console.is_jupyter)):
        with TrainingDisplay(epochs, batch_size, console) as display:
            yield (display,)
    else:
        yield ()
