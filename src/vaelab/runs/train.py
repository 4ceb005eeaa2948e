"""Training of a recipe on data in one call: fit, latent summary, run on disk."""

from __future__ import annotations

import reprlib
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from vaelab.data import Batches, Data, DataSpec
from vaelab.recipes.registry import Recipe
from vaelab.runs import checkpoints
from vaelab.runs.checkpointer import Checkpointer, check_same_training
from vaelab.runs.files import CHECKPOINTS, RECIPE, TRAINING, UNFINISHED, read_plan
from vaelab.runs.latent_summary import summarize_latents
from vaelab.runs.run import Run, load
from vaelab.training import Fit, Keeper, Length, Listener, NotFinite, Plan, fit
from vaelab.utils.signals import deferred


def train(
    recipe: Recipe,
    data: Data,
    plan: Plan = Plan(),
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
    resume: bool = False,
    checkpoint_every: float = 60.0,
) -> Run:
    """Train a recipe and return the run.

    Checkpoints are kept in `out/unfinished`, itself a run, which replaces the content of `out` only
    when it is complete. However a training was ended, `resume=True` goes on from the last
    checkpoint, to the run that it would have come to without a break, bit for bit on the same
    machine. In memory, Ctrl-C ends the training with the results so far.

    >>> from vaelab import Plan, load_data, recipes
    >>> data = load_data("digits")
    >>> run = train(recipes.vae(data.spec, latent=2), data, Plan(epochs=1))
    >>> run.sample(3).shape[0]
    3

    Args:
        recipe: recipe to train; it is built again, and left unchanged.
        data: data whose specification the recipe was made for.
        plan: training plan.
        out: folder of the run; without one it stays in memory.
        overwrite: True to replace an existing run.
        listener: callback for steps and epochs.
        resume: True to go on with the same training in `out`, if one was begun there; one that is
            complete is read.
        checkpoint_every: seconds between two checkpoints inside of an epoch.

    Raises:
        TypeError: for data that were not loaded.
        ValueError: if the data does not match the recipe, `out` holds a run or another training, or
            another process writes to it.
        NotFinite: if training breaks down; existing files are untouched.
        NotSaved: if the complete run could not be saved.
        Interrupted: if SIGINT or SIGTERM ended a training with a folder, after a checkpoint.
        KeyboardInterrupt: if it was interrupted before the first epoch was complete.
    """
    if not isinstance(data, Data):
        raise TypeError(
            f"data is a {type(data).__name__}; it must be a Data, as vaelab.load_data(…) returns"
        )
    check_data_matches(recipe.data, data.spec)
    recipe = recipe.fresh()
    if out is None:
        return _fitted(recipe, data, plan, listener)[0]
    folder = Path(out)
    check_run_dir(folder, overwrite, resume)
    if resume and (folder / RECIPE).exists() and not (folder / UNFINISHED / TRAINING).exists():
        return _complete(folder, recipe, plan)
    with deferred() as request:
        keeper = Checkpointer(
            *(folder, recipe, data, plan, listener),
            every=checkpoint_every,
            resume=resume,
            request=request,
        )
        try:
            run, optimizer = _fitted(recipe, data, plan, keeper, keeper)
            keeper.complete(run, optimizer)
        except BaseException as error:
            kept = keeper.abandon()
            if isinstance(error, NotFinite) and kept:
                raise NotFinite(f"{error} The state before that is in {kept}.") from None
            raise
    return run


def _complete(folder: Path, recipe: Recipe, plan: Plan) -> Run:
    """The run of a training that is complete."""
    run = load(folder)
    then = run.recipe.to_json() | {"training": asdict(read_plan(run.training))}
    check_same_training(then, recipe.to_json() | {"training": asdict(plan)})
    return run


def check_data_matches(made_for: DataSpec, given: DataSpec) -> None:
    """Check that data match the data a recipe was made for, in kind and scale.

    Raises:
        ValueError: names the first difference.
    """
    names = ["shape", "levels", "offset", "scale"]
    # A density treats counts as plain numbers, without column kinds.
    names += ["columns"] if made_for.columns else []
    names += {"none": [], "labels": ["classes"], "vectors": ["vectors"]}[made_for.condition]
    for name in names:
        then, now = getattr(made_for, name), getattr(given, name)
        if then != now:
            raise ValueError(
                f"the recipe was made for data whose {name} is {reprlib.repr(then)}, this data's "
                f"is {reprlib.repr(now)}; build it with this data's spec"
            )


def _fitted(
    recipe: Recipe,
    data: Data,
    plan: Plan,
    listener: Listener | None,
    keeper: Keeper | None = None,
) -> tuple[Run, dict[str, Tensor]]:
    result = fit(recipe.model, recipe.objective, data, recipe.data, plan, listener, keeper)
    if result.best_epoch == 0:
        raise KeyboardInterrupt
    return finished(recipe, data, plan, result), result.optimizer


def finished(recipe: Recipe, data: Data, plan: Plan, result: Fit) -> Run:
    """Run of a fitted recipe: with its training settings and latent summary."""
    codes = summarize_latents(
        recipe.model, Batches(data.valid.x, recipe.data, y=data.valid.known(recipe.data))
    )
    training = asdict(plan) | {"ending": result.ending, "best_epoch": result.best_epoch}
    return Run(recipe, training, result.history, codes)


def few_steps(run: Run) -> Length | None:
    """Length of a training of few steps; None if it had enough, or more brought no improvement."""
    batch_size = run.training.get("batch_size", Plan.batch_size)
    length = Length.of(len(run.history), run.data.sizes[0], batch_size)
    return length if length.few and run.training.get("ending") != "early" else None


def check_run_dir(folder: Path, overwrite: bool, resume: bool = False) -> None:
    """Check that a run may be saved in a folder, without changes to it.

    Raises:
        ValueError: if it is a file, or holds a run or a training to go on with.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder for the run")
    if overwrite and resume:
        raise ValueError("overwrite replaces a training, resume goes on with it; give one of them")
    if overwrite or resume:
        return
    if (folder / RECIPE).exists():
        raise ValueError(f"{folder} holds a run already; name another, or pass --overwrite")
    unfinished = folder / UNFINISHED
    if (unfinished / RECIPE).exists() or checkpoints.numbered(unfinished / CHECKPOINTS):
        raise ValueError(
            f"{unfinished} holds a training that did not end, or is still running; go on with "
            f"`vaelab train --resume {folder}`, name another folder, or pass --overwrite to drop it"
        )
