"""Progress of a study: a live line a model, and one for all with the time left."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn

from vaelab.understand.study import MODELS
from vaelab.utils.progress import Display

WEIGHTS = {"train": 0.7, "measure": 0.25, "draw": 0.05}
"""The usual shares of the whole time."""

RUNS = 2 * len(MODELS)


class StudyDisplay(Display):
    """Display of a study; its watcher.

    Args:
        console: destination, stderr by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f}%"),
            console=console,
            keep=True,
        )
        self.all = self.lines.add_task("all", total=1.0)
        self.tasks: dict[str, TaskID] = {}
        self.shares: dict[str, float] = dict.fromkeys(WEIGHTS, 0.0)

    def on_progress(self, phase: str, name: str, done: int, total: int) -> None:
        """Move the line of a model or a phase, and the one of the whole."""
        line = f"train {name}" if phase == "train" else phase
        if line not in self.tasks:
            self.tasks[line] = self.lines.add_task(line, total=total)
        self.lines.update(self.tasks[line], completed=done, total=total)
        self.shares[phase] = self._share(phase, done / total)
        whole = sum(WEIGHTS[each] * share for each, share in self.shares.items())
        self.lines.update(self.all, completed=whole)
        model = f"model {self._trained} of {RUNS}, " if phase == "train" else ""
        self.log(whole, lambda: f"{model}{line}: {done / total:.0%} · all: {whole:.0%}")

    def _share(self, phase: str, done: float) -> float:
        if phase != "train":
            return done
        return (self._trained - 1 + done) / RUNS

    @property
    def _trained(self) -> int:
        """Number of models begun so far."""
        return sum(line.startswith("train ") for line in self.tasks)
