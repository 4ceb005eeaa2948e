"""Progress of a study: one live line a model, and one for all with the time left."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from vaelab.understand.study import MODELS
from vaelab.utils.progress import LOG_EVERY, LOG_FIRST, duration, say

WEIGHTS = {"train": 0.7, "measure": 0.25, "draw": 0.05}
"""The usual shares of the whole time."""

RUNS = 2 * len(MODELS)


class Lines:
    """Progress callback and context of a study.

    Args:
        console: output; stderr by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeRemainingColumn(compact=True),
            console=self.console,
            disable=not self.console.is_terminal,
            speed_estimate_period=60,
        )
        self.all = self.progress.add_task("all", total=1.0)
        self.tasks: dict[str, TaskID] = {}
        self.ended: dict[str, float] = dict.fromkeys(WEIGHTS, 0.0)
        self.start = time.monotonic()
        self.due = self.start + LOG_FIRST

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

    def on_progress(self, phase: str, name: str, done: int, total: int) -> None:
        """Move the line of a model or a phase, and the one of the whole."""
        line = f"train {name}" if phase == "train" else phase
        if line not in self.tasks:
            self.tasks[line] = self.progress.add_task(line, total=total)
        self.progress.update(self.tasks[line], completed=done, total=total)
        self.ended[phase] = self._share(phase, done / total)
        whole = sum(WEIGHTS[each] * share for each, share in self.ended.items())
        self.progress.update(self.all, completed=whole)
        now = time.monotonic()
        if not self.console.is_terminal and now > self.due and whole > 0:
            self.due = now + LOG_EVERY
            left = (now - self.start) * (1 - whole) / whole
            part = f"model {self._trained} of {RUNS}, " if phase == "train" else ""
            say(f"{whole:.0%} of all, about {duration(left)} left: {part}{line} {done / total:.0%}")

    @property
    def _trained(self) -> int:
        """Number of models begun so far."""
        return sum(line.startswith("train ") for line in self.tasks)

    def _share(self, phase: str, done: float) -> float:
        if phase != "train":
            return done
        return (self._trained - 1 + done) / RUNS
