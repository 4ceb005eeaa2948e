"""Training a recipe on data, as one call: the fit, the survey of its codes, the run on disk."""

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
    """Trains a recipe and returns the run.

    While it trains, what is reached is kept in `out/unfinished`, itself a run; it takes its place
    in `out` when it is complete, and not before. Ctrl-C ends the training with what was reached.

    Args:
        recipe: describes what to train; it is built anew, and left as it is.
        data: the data whose specification the recipe was made for.
        plan: how to train.
        out: the folder to keep it in; without one it stays in memory.
        overwrite: whether a run that is there already may be replaced.
        listener: told of steps and epochs.

    Raises:
        TypeError: for data that were not loaded.
        ValueError: where the data is not what the recipe was made for, or `out` holds a run.
        NotFinite: where training breaks down; what was there before is untouched.
        KeyboardInterrupt: where it was interrupted before the first epoch was complete.
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
            raise NotFinite(f"{error} What was reached before is in {kept}.") from None
        raise
    run.path = keeper.finish()
    return run


def check_data_matches(made_for: DataSpec, given: DataSpec) -> None:
    """Checks that data are of the kind a recipe was made for, and scaled as that is.

    Raises:
        ValueError: names the first thing in which they differ.
    """
    names = ["shape", "levels", "offset", "scale"]
    # A density takes counts for numbers like others, whose columns are not said.
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
    """The run of a recipe that has been fitted: its training on record, its codes surveyed."""
    codes = summarize_latents(
        recipe.model, Batches(data.valid.x, recipe.data, y=data.valid.known(recipe.data))
    )
    training = asdict(plan) | {"ending": result.ending, "best_epoch": result.best_epoch}
    return Run(recipe, training, result.history, codes)


def few_steps(run: Run) -> Length | None:
    """How long a training of few steps was; None where it had enough, or more brought nothing."""
    batch_size = run.training.get("batch_size", Plan.batch_size)
    length = Length.of(len(run.history), run.data.sizes[0], batch_size)
    return length if length.few and run.training.get("ending") != "early" else None


def check_run_dir(folder: Path, overwrite: bool) -> None:
    """Checks that a run may be kept in a folder; touches nothing.

    Raises:
        ValueError: where it is a file, or holds a run or what is left of one.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder for the run")
    if overwrite:
        return
    if (folder / RECIPE).exists():
        raise ValueError(f"{folder} holds a run already; name another, or pass --overwrite")
    if (folder / UNFINISHED).exists():
        raise ValueError(
            f"{folder / UNFINISHED} holds what a training reached that did not end, or is still "
            "going on; name another folder, or pass --overwrite to drop it"
        )
