"""Training of a recipe on data in one call: fit, latent summary, run on disk."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from vaelab.core import VAE
from vaelab.data import Batches, Data, Source, load
from vaelab.objectives import Objective
from vaelab.recipes.registry import Recipe
from vaelab.runs import checkpoints
from vaelab.runs.callbacks import Callback, as_listener
from vaelab.runs.checkpointer import Checkpointer, check_same_training
from vaelab.runs.files import CHECKPOINTS, RECIPE, TRAINING, UNFINISHED, read_plan
from vaelab.runs.handmade import ObjectiveFunction, handmade
from vaelab.runs.history import History
from vaelab.runs.latent_summary import summarize_latents
from vaelab.runs.load import load as load_run
from vaelab.runs.matching import check_data_matches
from vaelab.runs.run import Run
from vaelab.runs.settings import by_owner, find_recipe
from vaelab.runs.training_display import progress_display
from vaelab.training import Fit, Keeper, Length, Listener, NotFinite, Plan, fit
from vaelab.utils.hints import hinting
from vaelab.utils.signals import deferred

ARGUMENTS = (
    *("data", "plan", "model", "objective", "out", "overwrite", "resume", "checkpoint_every"),
    *("callbacks", "progress"),
)


@hinting
def train(
    recipe: str | Recipe | Callable[..., Recipe] | None = None,
    data: Source | Data | None = None,
    plan: Plan | None = None,
    *,
    model: VAE | None = None,
    objective: Objective | ObjectiveFunction | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
    resume: bool = False,
    checkpoint_every: float = 60.0,
    callbacks: Sequence[Callback] = (),
    progress: bool | None = None,
    **settings: Any,
) -> Run:
    """Train a recipe, or a model of your own, and return the run.

    Checkpoints are kept in `out/unfinished`, itself a run, which replaces the content of `out` only
    when it is complete. However a training was ended, `resume=True` goes on from the last
    checkpoint, to the run that it would have come to without a break, bit for bit on the same
    machine. In memory, Ctrl-C ends the training with the results so far.

    >>> import vaelab
    >>> run = vaelab.train("vae", "digits", latent=2, epochs=1)
    >>> run.sample(3).shape[0]
    3

    Args:
        recipe: name of a recipe, or a recipe; a built one is built again, and left unchanged.
        data: data, or anything that `load_data` takes.
        plan: training plan; further settings change it.
        model: model of your own, instead of a recipe; it is trained in place.
        objective: its objective, an `Objective` or a function `(trace, x) -> (B,)` in nats.
        out: folder of the run; without one it stays in memory.
        overwrite: True to replace an existing run.
        resume: True to go on with the same training in `out`, if one was begun there; one that is
            complete is read.
        checkpoint_every: seconds between two checkpoints inside of an epoch.
        callbacks: functions of each epoch's figures, or objects with `on_epoch(row, best)` and
            `on_step(step, steps, row)`; an exception in one ends the training.
        progress: True to show progress on stderr, False to show nothing; by default it is shown in
            a terminal and in a notebook.
        **settings: settings of the recipe, of `Design` and of `Plan`, by name. `seed` is one for
            the split of data that are loaded here, the initial weights and the training.

    Raises:
        TypeError: for an unknown setting, with the nearest one.
        ValueError: if the data do not match the recipe, `out` holds a run or another training, or
            another process writes to it.
        NotFinite: if training breaks down; existing files are untouched.
        NotSaved: if the complete run could not be saved.
        Interrupted: if SIGINT or SIGTERM ended a training with a folder, after a checkpoint.
        KeyboardInterrupt: if it was interrupted before the first epoch was complete.
    """
    if isinstance(recipe, Data):
        raise TypeError("the recipe comes first, as in vaelab.train('vae', data)")
    if data is None:
        raise TypeError("data is missing: vaelab.train('vae', 'digits'), or vaelab.load_data(…)")
    if out is not None:
        check_run_dir(Path(out), overwrite, resume)
    if isinstance(model, str):
        raise TypeError(
            f"model is for a model of your own; name a recipe first: train({model!r}, …)"
        )
    if (recipe is None) == (model is None):
        raise TypeError("give either a recipe such as 'vae', or model= with objective=")
    found = None if recipe is None else find_recipe(recipe)
    build = found if callable(found) else None
    chosen = by_owner(settings, build, "train", *ARGUMENTS)
    loaded = as_data(data, chosen.plan.get("seed", 0))
    plan = dataclasses.replace(plan or Plan(), **chosen.plan)
    if isinstance(found, Recipe):
        check_data_matches(found.data, loaded.spec)
        found = found.fresh()
    elif build is not None:
        found = build(loaded.spec, **chosen.recipe, **chosen.design)
    else:
        found = handmade(model, objective, loaded)
    rows = len(loaded.train)
    with progress_display(plan.num_epochs(rows), plan.batch_size, progress) as display:
        listener = as_listener([*display, *callbacks])
        if out is None:
            return _fitted(found, loaded, plan, listener)[0]
        return _kept(found, loaded, plan, listener, Path(out), resume, checkpoint_every)


def _kept(
    recipe: Recipe,
    data: Data,
    plan: Plan,
    listener: Listener | None,
    folder: Path,
    resume: bool,
    checkpoint_every: float,
) -> Run:
    """A run that is trained in a folder, with checkpoints."""
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
    run = load_run(folder)
    then = run.recipe.to_json() | {"training": asdict(read_plan(run.training))}
    check_same_training(then, recipe.to_json() | {"training": asdict(plan)})
    return run


def as_data(source: Source | Data, seed: int = 0) -> Data:
    """Data as they are; anything else is loaded, and split by the seed."""
    return source if isinstance(source, Data) else load(source, seed=seed)


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
    return Run(recipe, training, History(result.history), codes, rows=data)


def few_steps(run: Run) -> Length | None:
    """Length of a training of few steps; None if it had enough, or more brought no improvement."""
    batch_size = run.training.get("batch_size", Plan.batch_size)
    length = Length.of(len(run.history), run.spec.sizes[0], batch_size)
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
            f"`vaelab train --resume {shlex.quote(str(folder))}`, name another folder, or pass "
            "--overwrite to drop it"
        )
