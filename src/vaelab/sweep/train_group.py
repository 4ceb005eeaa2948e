"""Training of a group: members of one shape as one program, each saved as its own run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

from vaelab.data import Data
from vaelab.runs.checkpointer import Checkpointer
from vaelab.runs.run import Run
from vaelab.runs.train import finished, train
from vaelab.sweep.grid import Member
from vaelab.training import Fit, NotFinite, Row, Snapshot, find_device
from vaelab.training.population import fit_population
from vaelab.utils.progress import Display, counted, say


class GroupProgress(Display):
    """Display of a group of trainings; the listener of every member.

    Args:
        epochs: upper bound.
        steps: upper bound.
    """

    def __init__(self, epochs: int, steps: int) -> None:
        super().__init__(TextColumn("steps"), BarColumn(bar_width=20), MofNCompleteColumn())
        self.task = self.lines.add_task("", total=steps)
        self.epochs, self.epoch, self.losses = epochs, 0, [math.inf]

    def on_step(self, step: int, steps: int, row: Row) -> None:
        """Move the bar."""
        self.lines.update(self.task, completed=step)

    def on_epoch(self, row: Row, best: Snapshot | None) -> None:
        """In a log, add a line with the range of the last epoch's losses."""
        if row["epoch"] > self.epoch:
            least, most, place = min(self.losses), max(self.losses), f"{self.epoch}/{self.epochs}"
            self.log(
                self.epoch / self.epochs,
                lambda: f"epoch {place}: validation loss {least:.2f} to {most:.2f}",
            )
            self.epoch, self.losses = int(row["epoch"]), []
        self.losses.append(row["valid_loss"])


def train_group(team: Sequence[Member], data: Data, folder: Path, overwrite: bool) -> None:
    """Train members of one shape and save their runs; members that break down report the reason.

    Raises:
        KeyboardInterrupt: if a single member was interrupted before its first epoch was complete.
    """
    first, last = team[0], team[-1]
    epochs = first.plan.num_epochs(len(data.train))
    steps = epochs * math.ceil(len(data.train) / first.plan.batch_size)
    parameters = sum(p.numel() for p in first.recipe.model.parameters())
    names = f"{len(team)} runs as one, {first.name} to {last.name}" if last != first else first.name
    say(
        f"{names}: {parameters:,} parameters each on {find_device(first.plan.device)}, "
        f"at most {counted(epochs, 'epoch')}; Ctrl-C keeps the results so far"
    )
    with GroupProgress(epochs, steps) as display:
        if last is first:
            _alone(first, data, folder / first.name, overwrite, display)
        else:
            _as_one(team, data, folder, display)
    for member in team:
        if member.failure is not None:
            say(f"{member.name} broke down: {member.failure}")


def _alone(member: Member, data: Data, out: Path, overwrite: bool, display: GroupProgress) -> None:
    try:
        member.run = train(
            member.recipe,
            data,
            member.plan,
            out=out,
            overwrite=overwrite,
            callbacks=(display,),
            progress=False,
        )
    except NotFinite as error:
        member.failure = str(error)


def _as_one(team: Sequence[Member], data: Data, folder: Path, display: GroupProgress) -> None:
    keepers: list[Checkpointer] = []
    try:
        for m in team:
            place = folder / m.name
            keepers.append(Checkpointer(place, m.recipe, data, m.plan, display, among=len(team)))
        results = fit_population(
            [m.recipe.model for m in team],
            [m.recipe.objective for m in team],
            data,
            team[0].recipe.data,
            [m.plan for m in team],
            keepers,
        )
        order = {"together": len(team), "order_seed": team[0].plan.seed}
        for member, keeper, result in zip(team, keepers, results, strict=True):
            if isinstance(result, NotFinite):
                kept = keeper.abandon()
                reached = f" The state before that is in {kept}." if kept else ""
                member.failure = f"{result}{reached}"
            elif result.best_epoch == 0:  # interrupted before it was complete
                keeper.abandon()
            else:
                member.run = _kept(member, result, data, keeper, order)
    except BaseException:
        for keeper in keepers:
            if keeper.unfinished.exists():
                keeper.abandon()
        raise


def _kept(
    member: Member, result: Fit, data: Data, keeper: Checkpointer, order: dict[str, int]
) -> Run:
    run = finished(member.recipe, data, member.plan, result)
    run.training |= order
    run.save(keeper.unfinished, result.optimizer)
    run.path = keeper.finish()
    return run
