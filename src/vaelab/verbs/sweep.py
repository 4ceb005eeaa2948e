"""`sweep`: one recipe at many settings and seeds, by name, on data in any form."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaelab.data import Data, Source
from vaelab.recipes.design import Design
from vaelab.recipes.registry import RECIPES, Recipe
from vaelab.runs.settings import by_owner, find_recipe
from vaelab.runs.train import as_data
from vaelab.sweep.report import Sweep
from vaelab.sweep.sweep import sweep as train_all
from vaelab.training import Plan
from vaelab.utils.hints import hinting

ARGUMENTS = ("data", "out", "seeds", "plan", "overwrite")


@hinting
def sweep(
    recipe: str | Recipe | Callable[..., Recipe],
    data: Source | Data,
    *,
    out: str | Path | None = None,
    seeds: int = 1,
    plan: Plan | None = None,
    overwrite: bool = False,
    **settings: Any,
) -> Sweep:
    """Train a recipe at every combination of settings and every seed, together if possible.

    >>> import vaelab
    >>> found = vaelab.sweep("vae", "digits8x8", beta=[1.0, 4.0], latent=2, epochs=1)
    >>> found.to_frame()["beta"].tolist()
    [1.0, 4.0]

    Args:
        recipe: name of a recipe, or a recipe; a built one passes its arguments on.
        data: data, or anything that `load_data` takes.
        out: folder of the sweep; without one the runs stay in memory.
        seeds: number of runs of each setting.
        plan: training plan; further settings change it.
        overwrite: True to replace existing runs.
        **settings: settings of the recipe, of `Design` and of `Plan`, by name; a list of numbers
            is varied.

    Raises:
        TypeError: for an unknown setting, with the nearest one.
        ValueError: for a name that cannot vary, a value it cannot take, or a folder in use.
        NotFinite: if every member broke down.
    """
    found = find_recipe(recipe)
    given: dict[str, Any] = {}
    if isinstance(found, Recipe):
        if found.name not in RECIPES:
            raise ValueError("a model built by hand has no settings to sweep; register a recipe")
        build, given = RECIPES[found.name], dict(found.arguments)
    else:
        build = found
    chosen = by_owner(settings, build, "sweep", *ARGUMENTS)
    vary = {name: list(value) for name, value in settings.items() if _is_several(value)}
    fixed = [{k: v for k, v in group.items() if k not in vary} for group in chosen]
    given |= fixed[0]
    design = dataclasses.replace(given.pop("design", Design()), **fixed[1])
    plan = dataclasses.replace(plan or Plan(), **fixed[2])
    loaded = as_data(data, plan.seed)
    given = {name: value for name, value in given.items() if name not in vary}

    def perform(folder: Path) -> Sweep:
        return train_all(
            build,
            loaded,
            vary,
            out=folder,
            seeds=seeds,
            given=given,
            design=design,
            plan=plan,
            overwrite=overwrite,
        )

    if out is not None:
        return _with_rows(perform(Path(out)), loaded)
    with tempfile.TemporaryDirectory() as folder:
        result = perform(Path(folder))
    result.path = None
    for run in result.runs:
        run.path = None
    return _with_rows(result, loaded)


def _with_rows(result: Sweep, data: Data) -> Sweep:
    for run in result.runs:
        run.rows = data
    return result


def _is_several(value: Any) -> bool:
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | Mapping)
