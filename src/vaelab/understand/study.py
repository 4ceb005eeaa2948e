r"""The study: four models with the same networks, seed and budget on the same data, at two sizes.

    ae                   D                    a point for a code
    kl-only              R                    says nothing of x
    reconstruction-only  D                    a stochastic encoder that nothing holds together
    vae                  D + R                the evidence lower bound

at latent 2, which can be drawn, and at a wider latent, which decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vaelab.data import Data
from vaelab.recipes import ae, kl_only, reconstruction_only, vae
from vaelab.recipes.design import Design
from vaelab.recipes.registry import Recipe
from vaelab.runs.run import Run
from vaelab.runs.train import check_run_dir, train
from vaelab.training import Plan, Row, Snapshot
from vaelab.utils.options import option
from vaelab.utils.signals import at_once

MODELS: dict[str, Callable[..., Recipe]] = {
    "ae": ae,
    "kl-only": kl_only,
    "reconstruction-only": reconstruction_only,
    "vae": vae,
}
"""The four models in the order of the argument."""

FLAT = 2
"""The latent size of the maps."""

STEPS, FEWEST = 1_300, 8
"""Steps that settle the argument on a small data set, and passes a large one gets at least."""

HELD = 20
"""Validation and test rows that a 95% quantile needs."""

BATCH, WIDTH = 128, 400
"""Examples in a step, and units of the hidden layers."""


class Watcher(Protocol):
    """Callback of a study."""

    def on_progress(self, phase: str, name: str, done: int, total: int) -> None:
        """Report some progress: `done` of `total` steps of one model (or picture) of a phase.

        Args:
            phase: "train", "measure" or "draw".
            name: name of the model, as "vae-16", or of the picture.
            done: so far.
            total: until this name is finished.
        """


class Interrupted(KeyboardInterrupt):
    """Interrupt of a study; the models trained so far are kept.

    Attributes:
        runs: by key, the last of them perhaps with the ending "interrupted".
    """

    def __init__(self, runs: dict[str, Run]) -> None:
        super().__init__()
        self.runs = runs


@dataclass(frozen=True, eq=False)
class Study:
    """Eight trained models and their common settings.

    Attributes:
        data: the training data.
        runs: by key, "ae-2" … "vae-16"; two latent sizes of each model, in the order of `MODELS`.
        wide: the larger latent size.
        seed: seed of weights, order and noise.
        epochs: passes over the training data that each was given.
        device: device of the training.
    """

    data: Data
    runs: dict[str, Run]
    wide: int
    seed: int
    epochs: int
    device: str

    @property
    def sizes(self) -> tuple[int, int]:
        """The two latent sizes, the smaller first."""
        return (FLAT, self.wide)

    def run(self, model: str, latent: int) -> Run:
        """The run of a model at a latent size."""
        return self.runs[key(model, latent)]


def key(model: str, latent: int) -> str:
    """The name of a run.

    >>> key("vae", 16)
    'vae-16'
    """
    return f"{model}-{latent}"


def num_epochs(rows: int) -> int:
    """The epochs a study gives to each model by default.

    >>> num_epochs(1437), num_epochs(55_000)
    (109, 8)
    """
    return max(FEWEST, math.ceil(STEPS / math.ceil(rows / BATCH)))


def study(
    data: Data,
    *,
    wide: int = 16,
    epochs: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    overwrite: bool = False,
    device: str = "auto",
    watcher: Watcher | None = None,
) -> Study:
    """Train the eight models.

    Args:
        data: images or vectors, labelled or not.
        wide: the larger latent size, above 2.
        epochs: passes over the training data for each model; by default they follow its size.
        seed: seed of weights, order and noise; the same for all.
        out: the folder that takes the eight runs; without one they stay in memory.
        overwrite: whether runs that are there already may be replaced.
        device: device of the training.
        watcher: callback for the training's progress.

    Raises:
        ValueError: if `wide` is not above 2, rows are too few, or `out` holds runs already.
        Interrupted: if training is interrupted; it holds the models trained so far.
    """
    if wide <= FLAT:
        raise ValueError(f"wide is {wide}; it must be above {FLAT}, the latent size of the maps")
    if any(data.spec.missing):
        raise ValueError(
            "the page compares whole examples, and rows of this data have missing cells; leave "
            f"such rows out, or fill them with vaelab impute ({option('missing', 'refuse')} lists "
            "them)"
        )
    if data.spec.dims < FLAT:
        raise ValueError(f"the data has {data.spec.dims} number an example; nothing to compress")
    held = len(data.valid.x) + len(data.test.x)
    if held < HELD:
        raise ValueError(
            f"the data has {held} held-out rows; thresholds of the figures need {HELD} or more"
        )
    epochs = epochs or num_epochs(len(data.train.x))
    plan = Plan(epochs=epochs, batch_size=BATCH, device=device, seed=seed)
    keys = [(model, latent) for latent in (FLAT, wide) for model in MODELS]
    folders = {pair: None if out is None else Path(out) / key(*pair) for pair in keys}
    for folder in folders.values():  # all eight places are looked at before any is written to
        if folder is not None:
            check_run_dir(folder, overwrite)
    runs: dict[str, Run] = {}
    for model, latent in keys:
        name = key(model, latent)
        recipe = MODELS[model](data.spec, latent, design=Design(net="mlp", width=WIDTH, seed=seed))
        told = () if watcher is None else (_Told(watcher, name),)
        folder = folders[model, latent]
        try:
            with at_once():
                runs[name] = train(
                    *(recipe, data, plan),
                    out=folder,
                    overwrite=overwrite,
                    callbacks=told,
                    progress=False,
                )
        except KeyboardInterrupt as interrupt:  # before the first epoch was complete
            raise Interrupted(runs) from interrupt
        if runs[name].training["ending"] == "interrupted":
            raise Interrupted(runs)
    return Study(data, runs, wide, seed, plan.num_epochs(len(data.train.x)), device)


@dataclass
class _Told:
    """Pass a fit's steps on to whoever watches the study."""

    watcher: Watcher
    name: str

    def on_step(self, step: int, steps: int, row: Row) -> None:
        self.watcher.on_progress("train", self.name, step, steps)

    def on_epoch(self, row: Row, best: Snapshot | None) -> None:
        pass
