"""Training of a recipe on data in one call: fit, latent summary, run on disk."""

from __future__ import annotations

import reprlib
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from vaelab.data import Batches, Data, DataSpec
from vaelab.recipes.registry import Recipe
from vaelab.runs.checkpointer import Checkpointer
from vaelab.runs.latent_summary import summarize_latents
from vaelab.runs.run import RECIPE, UNFINISHED, Run
from vaelab.training import Fit, Length, Listener, NotFinite, Plan, fit


def train(
    recipe: Recipe,
    data: Data,
    plan: Plan = Plan(),
    *,
    out: str | Path | None = None,
    overwrite: bool = False,
    listener: Listener | None = None,
) -> Run:
    """Train a recipe and return the run.

    Checkpoints are kept in `out/unfinished`, itself a run, which replaces the content of `out` only
    when it is complete. Ctrl-C ends the training with the results so far.

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

    Raises:
        TypeError: for data that were not loaded.
        ValueError: if the data does not match the recipe, or `out` holds a run.
        NotFinite: if training breaks down; existing files are untouched.
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
    check_run_dir(folder, overwrite)
    keeper = Checkpointer(folder, recipe, data, plan, listener)
    try:
        run, optimizer = _fitted(recipe, data, plan, keeper)
        run.save(keeper.unfinished, optimizer)
    except BaseException as error:
        kept = keeper.abandon()
        if isinstance(error, NotFinite) and kept:
            raise NotFinite(f"{error} The state before that is in {kept}.") from None
        raise
    run.path = keeper.finish()
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
    recipe: Recipe, data: Data, plan: Plan, listener: Listener | None
) -> tuple[Run, dict[str, Tensor]]:
    result = fit(recipe.model, recipe.objective, data, recipe.data, plan, listener)
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


def check_run_dir(folder: Path, overwrite: bool) -> None:
    """Check that a run may be saved in a folder, without changes to it.

    Raises:
        ValueError: if it is a file, or holds a run or an unfinished one.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder for the run")
    if overwrite:
        return
    if (folder / RECIPE).exists():
        raise ValueError(f"{folder} holds a run already; name another, or pass --overwrite")
    if (folder / UNFINISHED).exists():
        raise ValueError(
            f"{folder / UNFINISHED} holds a training that did not end, or is still running; "
            "name another folder, or pass --overwrite to drop it"
        )
