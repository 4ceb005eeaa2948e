"""Training a recipe on data, as one call: the fit, the survey of its codes, the run on disk."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from vaelab import files
from vaelab.data import Batches, Data
from vaelab.recipe import Recipe
from vaelab.run import RECIPE, Run, survey
from vaelab.training import Listener, Plan, fit


def train(
    recipe: Recipe,
    data: Data,
    plan: Plan = Plan(),
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Run:
    """Trains a recipe and returns the run.

    Args:
        recipe: what to train; its model is changed in place and ends with its best weights.
        data: the data whose specification the recipe was made for.
        plan: how to train.
        out: the folder to keep it in; without one it stays in memory.
        overwrite: whether a run that is there already may be replaced.
        listener: told of steps and epochs.

    Raises:
        ValueError: where the data is not what the recipe was made for, or `out` holds a run.
        NotFinite: where training breaks down; what was there before is untouched.
    """
    if data.spec.shape != recipe.data.shape:
        raise ValueError(
            f"the recipe was made for data of shape {recipe.data.shape}, this data has "
            f"{data.spec.shape}; build it with this data's spec"
        )
    folder = None if out is None else claim(Path(out), overwrite)
    result = fit(recipe.model, recipe.objective, data, recipe.data, plan, listener)
    codes = survey(recipe.model, Batches(data.valid.x, recipe.data))
    training = asdict(plan) | {"ending": result.ending, "best_epoch": result.best_epoch}
    run = Run(recipe, training, result.history, codes)
    if folder is not None:
        run.save(folder, result.optimizer)
    return run


def claim(folder: Path, overwrite: bool) -> Path:
    """Makes the folder a run will be kept in, before anything is trained.

    Raises:
        ValueError: where it holds another run, or something that is not one.
        OSError: where it cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder for the run")
    if (folder / RECIPE).exists() and not overwrite:
        raise ValueError(f"{folder} holds a run already; name another, or pass --overwrite")
    folder.mkdir(parents=True, exist_ok=True)
    # A disk that is full or read-only is better met now than after an hour of training.
    probe = folder / ".probe"
    files.write(probe, "")
    probe.unlink()
    return folder
