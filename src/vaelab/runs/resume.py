"""Training that was broken off: its settings, and the data to go on with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vaelab.data import Data, DataSpec
from vaelab.recipes.registry import Recipe, rebuild
from vaelab.runs.files import RECIPE, TRAINING, UNFINISHED, read_plan
from vaelab.runs.own_data import reload_training_data
from vaelab.training import Plan
from vaelab.utils import atomic_files
from vaelab.utils.readers import reading


def broken_off(folder: Path) -> tuple[Recipe, Plan]:
    """Recipe and plan of the training in a folder, in progress or complete.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if its settings are damaged, or name something the library does not have.
    """
    path = folder / UNFINISHED / TRAINING
    if not path.is_file():
        path = folder / RECIPE
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} holds no training to go on with (no {UNFINISHED}/{TRAINING}); begin one "
            "with `vaelab train vae --data digits --out RUN`"
        )
    about: Any = atomic_files.read_json(path)
    with reading(path, "record of a training", named=True):
        spec = DataSpec.from_json(about["data"])
        recipe = rebuild(about["recipe"], about["arguments"], spec)
        return recipe, read_plan(about["training"])


def reload_data(
    recipe: Recipe, folder: Path, named: str | None = None, data_dir: Path | None = None
) -> Data:
    """The data that a recipe was being trained on.

    Args:
        recipe: recipe of `broken_off`.
        folder: folder of the run, near which the data may lie.
        named: path of the data, if they were in memory or have moved.
        data_dir: folder of known data sets.

    Raises:
        ValueError: if they cannot be located again or have changed.
        FileNotFoundError: if they have moved.
    """
    return Data(recipe.data, *reload_training_data(recipe.data, named, data_dir, folder))
