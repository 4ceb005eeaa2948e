"""Training of a run in progress, on disk: what it takes to go on, and what was reached.

    out/training.lock             process and host that write to the folder
    out/unfinished/               a run: metrics.jsonl by epoch, best weights every few seconds
    out/unfinished/training.json  recipe, data and plan
    out/unfinished/checkpoints/   states to go on from
    out/                          the run, once complete: the files of `unfinished`, the recipe last

A crash, a full disk or a diverging training costs seconds, never the run that was there before.
"""

from __future__ import annotations

import copy
import errno
import json
import logging
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaelab.data import Batches, Data
from vaelab.recipes.registry import Recipe
from vaelab.runs import checkpoints
from vaelab.runs.files import (
    CHECKPOINTS,
    EVALUATION,
    FILES,
    METRICS,
    TRAINING,
    UNFINISHED,
    WEIGHTS,
    figures_of,
)
from vaelab.runs.history import History
from vaelab.runs.latent_summary import summarize_latents
from vaelab.runs.run import Run
from vaelab.training import Course, Listener, Plan, Row, Snapshot, State
from vaelab.utils import atomic_files
from vaelab.utils.lock import Lock
from vaelab.utils.program import as_called
from vaelab.utils.signals import Interrupted, Request
from vaelab.version import __version__

log = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between two saves of the best weights, and fewest between checkpoints after epochs."""

ROWS = 1024
"""Validation rows for the latent summary of an unfinished run, which must be quick."""

LOCK, BEFORE, DONE = "training.lock", "unfinished-before", ".unfinished-done"


class NotSaved(RuntimeError):
    """A complete run could not be saved."""


class Checkpointer:
    """Callback that saves what was reached, keeper of a fit's states, and writer of the run.

    Args:
        folder: folder of the run; created if missing.
        recipe: recipe to train.
        data: training data.
        plan: training plan.
        listener: next callback, or None.
        among: number of simultaneous trainings that share the cost of saving.
        every: seconds between two checkpoints inside of an epoch.
        resume: True to go on from the last checkpoint of the same training, if there is one.
        request: request to end, which is granted after a step.

    Raises:
        Locked: if another training writes to the folder.
        OSError: if the folder cannot be written, or has no room for the weights.
        ValueError: if the checkpoints are those of another training.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        data: Data,
        plan: Plan,
        listener: Listener | None,
        among: int = 1,
        every: float = 60.0,
        resume: bool = False,
        request: Request | None = None,
    ) -> None:
        self.folder, self.unfinished, self.among = folder, folder / UNFINISHED, among
        self.every, self.request = every, request or Request()
        self.listener, self.training = listener, asdict(plan)
        # A copy, since the model itself has moved on when its best weights are saved.
        self.recipe = copy.deepcopy(recipe)
        subset = data.valid.take(torch.arange(min(ROWS, len(data.valid))))
        self.valid = Batches(subset.x, recipe.data, y=subset.known(recipe.data))
        self.history: list[Row] = []
        self.best: Snapshot | None = None
        self.best_epoch, self.saved_at, self.kept_at = 0, float("-inf"), time.monotonic()
        self.behind = False
        self.resumed: State | None = None
        self.made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = Lock(folder / LOCK)
        try:
            self._open(resume)
        except BaseException:
            self.abandon()
            raise

    def _open(self, resume: bool) -> None:
        about = {"vaelab": __version__, "torch": str(torch.__version__)}
        about |= self.recipe.to_json() | {"training": self.training}
        shutil.rmtree(self.folder / DONE, ignore_errors=True)
        if resume and (self.unfinished / TRAINING).exists():
            begun = atomic_files.read_json(self.unfinished / TRAINING)
            check_same_training(begun, about)
            warn_of_other_versions(begun, about)
            self.resumed = checkpoints.latest(self.unfinished / CHECKPOINTS)
        elif self.unfinished.exists():  # set aside until this training is complete
            shutil.rmtree(self.folder / BEFORE, ignore_errors=True)
            self.unfinished.rename(self.folder / BEFORE)
        self.unfinished.mkdir(exist_ok=True)
        # Detect a full or read-only disk now rather than after an hour of training.
        size = sum(t.nbytes for t in self.recipe.model.state_dict().values())
        self._check_room(size)
        probe = self.unfinished / "probe"
        atomic_files.write(probe, bytes(size))
        probe.unlink()
        atomic_files.write_json(self.unfinished / TRAINING, about)
        self.history = [] if self.resumed is None else list(self.resumed.history)
        self._write_metrics()

    def _check_room(self, size: int) -> None:
        """Check that a disk has room for weights of so many bytes and all that goes with them."""
        run = 3 * size  # weights and moments
        checkpoint = 2 * run + (0 if self.training["ema"] is None else size)  # now, and at best
        kept = len(checkpoints.numbered(self.unfinished / CHECKPOINTS))
        # A run and a checkpoint are written beside those that they replace.
        needed = 2 * run + (checkpoints.KEPT + 1 - kept) * checkpoint
        free = shutil.disk_usage(self.unfinished).free
        if free < needed:
            raise OSError(
                errno.ENOSPC,
                f"a training needs {needed / 2**20:,.1f} MiB here for its run and "
                f"{checkpoints.KEPT} checkpoints, and {free / 2**20:,.1f} MiB are free",
                str(self.folder),
            )

    # Keeper of the states of a fit

    def state(self) -> State | None:
        """The state to go on from."""
        return self.resumed

    def after_step(self, course: Course) -> None:
        """Keep the state every so many seconds, and when the training is asked to end."""
        self._keep(course, self.every)

    def after_epoch(self, course: Course) -> None:
        """Keep the state unless a checkpoint is recent, and when the training is asked to end."""
        self._keep(course, min(self.every, EVERY))

    def _keep(self, course: Course, interval: float) -> None:
        asked = self.request.signal
        if asked is None and time.monotonic() - self.kept_at < interval:
            return
        place = None
        if course.ready:
            place = self._attempt(
                lambda: checkpoints.write(self.unfinished / CHECKPOINTS, course.capture()),
                "the checkpoint",
            )
        self.kept_at = time.monotonic()
        if asked is not None:
            raise Interrupted(self._farewell(asked, course.done, place), asked)

    def _farewell(self, number: int, done: int, place: Path | None) -> str:
        why = f"ended by {signal.Signals(number).name} after step {done:,}"
        last = place or next(iter(checkpoints.numbered(self.unfinished / CHECKPOINTS)), None)
        if last is None:
            return f"{why}; nothing was kept"
        how = as_called(f"vaelab train --resume {shlex.quote(str(self.folder))}")
        return f"{why}; the checkpoint is {last}. Go on with: {how}"

    # Callback of a fit

    def on_step(self, step: int, steps: int, row: Row) -> None:
        """Forward the event."""
        if self.listener is not None:
            self.listener.on_step(step, steps, row)

    def on_epoch(self, row: Row, best: Snapshot | None) -> None:
        """Write the metrics, and the best weights if they were not saved recently."""
        self.history.append(row)
        self._attempt(self._write_metrics if self.behind else self._append_metrics, "a line")
        if best is not None:
            self.best, self.best_epoch = best, int(row["epoch"])
        if time.monotonic() - self.saved_at > EVERY * self.among:
            self._attempt(self.save, "the best weights")
            self.saved_at = time.monotonic()
        if self.listener is not None:
            self.listener.on_epoch(row, best)

    def _append_metrics(self) -> None:
        self.behind = True
        line = json.dumps(figures_of(self.history[-1]))
        atomic_files.append(self.unfinished / METRICS, line + "\n")
        self.behind = False

    def _write_metrics(self) -> None:
        self.behind = True
        lines = "".join(json.dumps(figures_of(row)) + "\n" for row in self.history)
        atomic_files.write(self.unfinished / METRICS, lines)
        self.behind = False

    def _attempt(self, save: Callable[[], Any], what: str) -> Any:
        """Save something; a failure is reported, and the training goes on."""
        try:
            self.unfinished.mkdir(parents=True, exist_ok=True)
            return save()
        except OSError as error:
            log.warning(
                "%s of %s could not be saved (%s); the training goes on and will try again",
                *(what, self.folder, error.strerror or error),
            )
            return None

    def save(self) -> None:
        """Save the best weights so far as a run, unless already saved."""
        if self.best is None:
            return
        self.recipe.model.load_state_dict(self.best.weights)
        self.recipe.objective.load_state_dict(self.best.objective)
        training = self.training | {"ending": "unfinished", "best_epoch": self.best_epoch}
        codes = summarize_latents(self.recipe.model, self.valid)
        run = Run(self.recipe, training, History(self.history), codes)
        run.save(self.unfinished, self.best.optimizer)
        self.best = None

    # End of a training

    def complete(self, run: Run, optimizer: Mapping[str, Tensor]) -> None:
        """Save the complete run and put it in the place of the previous one.

        Raises:
            NotSaved: if it cannot be saved; what was kept before stays.
        """
        try:
            self.unfinished.mkdir(parents=True, exist_ok=True)
            run.save(self.unfinished, optimizer)
            run.path = self.finish()
        except OSError as error:
            raise NotSaved(
                f"the training is complete, but its run cannot be saved ({error.filename}: "
                f"{error.strerror}). Its checkpoints are in {self.unfinished / CHECKPOINTS}; make "
                f"room and go on with `vaelab train --resume {shlex.quote(str(self.folder))}`"
            ) from None

    def abandon(self) -> Path | None:
        """Clean up after a failure; return the folder of the best weights so far, or None."""
        try:
            with suppress(OSError):  # the disk may be what failed
                self.save()
            if (self.unfinished / WEIGHTS).exists():
                return self.unfinished
            if not checkpoints.numbered(self.unfinished / CHECKPOINTS):
                shutil.rmtree(self.unfinished, ignore_errors=True)
                if (self.folder / BEFORE).exists():
                    (self.folder / BEFORE).rename(self.unfinished)
            return None
        finally:
            self.lock.release()
            if self.made and self.folder.exists() and not any(self.folder.iterdir()):
                self.folder.rmdir()

    def finish(self) -> Path:
        """Replace the previous run by the complete one; return its folder."""
        # Evaluations of the previous weights are no longer valid.
        for old in self.folder.glob(f"{Path(EVALUATION).stem}*"):
            old.unlink()
        for name in FILES:
            new = self.unfinished / name
            if new.exists():
                new.replace(self.folder / name)
            else:
                (self.folder / name).unlink(missing_ok=True)
        checkpoints.flush(self.folder)
        # Renamed first: a death half way through the removal leaves no half of a training.
        self.unfinished.rename(self.folder / DONE)
        for left in (DONE, BEFORE):
            shutil.rmtree(self.folder / left, ignore_errors=True)
        self.lock.release()
        return self.folder


def check_same_training(then: Any, now: dict[str, Any]) -> None:
    """Check that a training may go on from the checkpoints of another.

    Raises:
        ValueError: names the first difference.
    """
    now = json.loads(json.dumps(now))
    pairs = [("recipe", then.get("recipe"), now["recipe"])]
    for group in ("arguments", "training", "data"):
        old, new = then.get(group) or {}, now[group]
        keys = sorted({*old, *new} - {"source", "location"})
        pairs += [(f"{group} {key}", old.get(key), new.get(key)) for key in keys]
    for name, old, new in pairs:
        if old != new:
            raise ValueError(
                f"{name} is {new!r} and was {old!r} in the training to go on with; give the same "
                "settings, or name another folder"
            )


def warn_of_other_versions(then: Any, now: dict[str, Any]) -> None:
    """Warn if a training goes on with another version than it began with."""
    for name in ("vaelab", "torch"):
        if then.get(name) != now[name]:
            log.warning(
                "the training began with %s %s and goes on with %s: figures may differ by rounding",
                *(name, then.get(name), now[name]),
            )
