"""What a training has reached, kept on disk while it goes on.

    out/unfinished/   a run of its own: metrics.jsonl epoch by epoch, the best weights now and then
    out/              the run, once it is complete: the files of `unfinished`, renamed into place

A crash, a full disk or a training that breaks down costs seconds, and never the run that was
there before.
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
from vaelab.runs.latent_summary import summarize_latents
from vaelab.runs.run import EVALUATION, FILES, METRICS, UNFINISHED, WEIGHTS, Run
from vaelab.training import Listener, Plan, Row, Snapshot
from vaelab.utils import atomic_files

EVERY = 10.0
"""Seconds between two savings of the best weights."""

ROWS = 1024
"""Validation rows that an unfinished run's codes are looked at on: it must not take long."""


class Checkpointer:
    """A listener that writes down what is reached, then passes the word on.

    Args:
        folder: of the run; made where it is missing.
        recipe: what is trained.
        data: what on.
        plan: how.
        listener: told next.
        among: trainings that are kept at the same time and share its cost.

    Raises:
        OSError: where the folder cannot be written, or has no room for the weights.
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
        # A copy, as the model itself is elsewhere and half-way through when its best is saved.
        self.recipe = copy.deepcopy(recipe)
        some = data.valid.take(torch.arange(min(ROWS, len(data.valid))))
        self.valid = Batches(some.x, recipe.data, y=some.known(recipe.data))
        self.history: list[Row] = []
        self.best: Snapshot | None = None
        self.best_epoch, self.saved_at = 0, float("-inf")
        self.made = not folder.exists()
        shutil.rmtree(self.unfinished, ignore_errors=True)
        try:
            self.unfinished.mkdir(parents=True)
            # A disk that is full or read-only is better met now than after an hour of training.
            size = sum(t.nbytes for t in recipe.model.state_dict().values())
            probe = self.unfinished / "probe"
            atomic_files.write(probe, bytes(size))
            probe.unlink()
        except OSError:
            self.abandon()
            raise

    def on_step(self, step: int, steps: int, row: Row) -> None:
        """Passes it on."""
        if self.listener is not None:
            self.listener.on_step(step, steps, row)

    def on_epoch(self, row: Row, best: Snapshot | None) -> None:
        """Writes the line, and the best weights where they were not written lately."""
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
        """Writes the best so far as a run, where it was not written yet."""
        if self.best is None:
            return
        self.recipe.model.load_state_dict(self.best.weights)
        self.recipe.objective.load_state_dict(self.best.objective)
        training = self.training | {"ending": "unfinished", "best_epoch": self.best_epoch}
        codes = summarize_latents(self.recipe.model, self.valid)
        Run(self.recipe, training, self.history, codes).save(self.unfinished, self.best.optimizer)
        self.best = None

    def abandon(self) -> Path | None:
        """After a failure: leaves no trace where nothing was reached, else says where it is."""
        with suppress(OSError):  # the disk may be what failed
            self.save()
        if (self.unfinished / WEIGHTS).exists():
            return self.unfinished
        shutil.rmtree(self.unfinished, ignore_errors=True)
        if self.made and self.folder.exists() and not any(self.folder.iterdir()):
            self.folder.rmdir()
        return None

    def finish(self) -> Path:
        """Puts the complete run in the place of what was there; returns its folder."""
        # Figures of the weights that were here would now be wrong.
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
