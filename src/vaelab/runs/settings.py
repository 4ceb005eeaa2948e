"""Settings by name, as on the command line: those of a recipe, of `Design`, of `Plan`, by owner."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from vaelab.data import load
from vaelab.recipes.design import Design
from vaelab.recipes.registry import RECIPES, Recipe, find
from vaelab.training import Plan
from vaelab.utils.hints import check_arguments


class Settings(NamedTuple):
    """Settings by owner; a seed belongs to design and plan alike."""

    recipe: dict[str, Any]
    design: dict[str, Any]
    plan: dict[str, Any]


def by_owner(
    settings: Mapping[str, Any], build: Callable[..., Recipe] | None, function: str, *others: str
) -> Settings:
    """Assign every setting to its owner.

    Args:
        settings: values by name.
        build: recipe function; None if the recipe is built already, and has no settings left.
        function: called function, for messages.
        *others: its own arguments, for messages.

    Raises:
        TypeError: for a name that none of them has, with the nearest one.
    """
    own = [] if build is None else list(inspect.signature(build).parameters)[1:]
    shared = {field.name for field in dataclasses.fields(Design)} - {"seed"}
    design = [] if build is None else [*shared, "seed"]
    plan = [field.name for field in dataclasses.fields(Plan)]
    reading = [
        name for name in inspect.signature(load).parameters if name not in ("source", "seed")
    ]
    for name in settings:
        if name in reading and name not in (*own, *design, *plan, *others):
            raise TypeError(
                f"{name} is an argument of load_data: {function}(…, vaelab.load_data(…, {name}=…))"
            )
        if build is None and name in shared:
            raise TypeError(f"{name} is a setting of the recipe, which is built already")
    check_arguments(function, settings, [*own, *design, *plan, *others])
    return Settings(
        {name: value for name, value in settings.items() if name in own},
        {name: value for name, value in settings.items() if name in design and name not in own},
        {name: value for name, value in settings.items() if name in plan},
    )


def find_recipe(recipe: Any) -> Callable[..., Recipe] | Recipe:
    """Recipe function of a name or of itself; a built recipe as it is.

    Raises:
        TypeError: for anything else.
        ValueError: for an unknown name.
    """
    if isinstance(recipe, str):
        return find(recipe)
    if isinstance(recipe, Recipe):
        return recipe
    if callable(recipe) and recipe in RECIPES.values():
        return recipe
    raise TypeError(
        f"the recipe is a {type(recipe).__name__}; expected a name such as 'vae', or a recipe such "
        "as vaelab.recipes.vae(data), and the data after it"
    )
