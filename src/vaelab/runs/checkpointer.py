"""Checkpoints of a training run in progress.

    out/unfinished/   a run: metrics.jsonl epoch by epoch, the best weights every few seconds
    out/              the run, once complete: the files of `unfinished`, renamed into place

A crash, a full disk or a diverging training costs seconds, and never the run that was there before.
"""

from __future__ import annotations

import copy
import json
import shutil
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import torch

from vaelab.data import Batches, Data
from vaelab.recipes.registry import Recipe
from vaelab.runs.files import EVALUATION, FILES, METRICS, UNFINISHED, WEIGHTS
from vaelab.runs.history import History
from vaelab.runs.latent_summary import summarize_latents
from vaelab.runs.run import Run
from vaelab.training import Listener, Plan, Row, Snapshot
from vaelab.utils import atomic_files

EVERY = 10.0
"""Seconds between two checkpoints of the best weights."""

ROWS = 1024
"""Validation rows for the latent summary of an unfinished run, which must be quick."""


class Checkpointer:
    """Callback that saves checkpoints and forwards events to another callback.

    Args:
        folder: folder of the run; created if missing.
        recipe: recipe to train.
        data: training data.
        plan: training plan.
        listener: next callback, or None.
        among: number of simultaneous trainings that share the cost of checkpoints.

    Raises:
        OSError: if the folder cannot be written, or has no room for the weights.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        data: Data,
        plan: Plan,
        listener: Listener | None,
        among: int = 1,
    ) -> None:
        self.folder, self.unfinished, self.among = folder, folder / UNFINISHED, among
        self.listener, self.training = listener, asdict(plan)
        # A copy, since the model itself has moved on when its best weights are saved.
        self.recipe = copy.deepcopy(recipe)
        subset = data.valid.take(torch.arange(min(ROWS, len(data.valid))))
        self.valid = Batches(subset.x, recipe.data, y=subset.known(recipe.data))
        self.history: list[Row] = []
        self.best: Snapshot | None = None
        self.best_epoch, self.saved_at = 0, float("-inf")
        self.made = not folder.exists()
        shutil.rmtree(self.unfinished, ignore_errors=True)
        try:
            self.unfinished.mkdir(parents=True)
            # Detect a full or read-only disk now rather than after an hour of training.
            size = sum(t.nbytes for t in recipe.model.state_dict().values())
            probe = self.unfinished / "probe"
            atomic_files.write(probe, bytes(size))
            probe.unlink()
        except OSError:
            self.abandon()
            raise

    def on_step(self, step: int, steps: int, row: Row) -> None:
        """Forward the event."""
        if self.listener is not None:
            self.listener.on_step(step, steps, row)

    def on_epoch(self, row: Row, best: Snapshot | None) -> None:
        """Write the metrics, and the best weights if they were not saved recently."""
        self.history.append(row)
        atomic_files.append(self.unfinished / METRICS, json.dumps(row) + "\n")
        if best is not None:
            self.best, self.best_epoch = best, int(row["epoch"])
        if time.monotonic() - self.saved_at > EVERY * self.among:
            self.save()
            self.saved_at = time.monotonic()
        if self.listener is not None:
            self.listener.on_epoch(row, best)

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

    def abandon(self) -> Path | None:
        """Clean up after a failure; return the folder of the last checkpoint, or None."""
        with suppress(OSError):  # the disk may be what failed
            self.save()
        if (self.unfinished / WEIGHTS).exists():
            return self.unfinished
        shutil.rmtree(self.unfinished, ignore_errors=True)
        if self.made and self.folder.exists() and not any(self.folder.iterdir()):
            self.folder.rmdir()
        return None

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
        shutil.rmtree(self.unfinished)
        return self.folder
