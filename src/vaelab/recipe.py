"""A recipe: how a model is built, by a name and arguments that can be kept as JSON.

A recipe function takes the data's specification and typed arguments, and returns what it built. The
`recipe` decorator records the name and the arguments, so that the same model can be rebuilt from
`recipe.json` and nothing but a signature decides what is accepted there.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, Concatenate, Literal, NamedTuple, ParamSpec, Union, cast

import torch

from vaelab.data import DataSpec
from vaelab.design import Design
from vaelab.objectives import Objective
from vaelab.walk import VAE

P = ParamSpec("P")


class Built(NamedTuple):
    """What a recipe function returns; `reason` says why the likelihood is what it is."""

    model: VAE
    objective: Objective
    data: DataSpec
    reason: str


@dataclass(frozen=True, eq=False)
class Recipe:
    """A model with its objective, and how to build both again.

    Attributes:
        name: of the recipe function.
        arguments: all of its arguments by name, defaults included.
        model: the model, with weights drawn from the design's seed.
        objective: what it is trained for.
        data: the data's specification, binarization included.
        reason: why its likelihood was chosen.
    """

    name: str
    arguments: dict[str, Any]
    model: VAE
    objective: Objective
    data: DataSpec
    reason: str


RECIPES: dict[str, Callable[..., Recipe]] = {}


def recipe(
    function: Callable[Concatenate[DataSpec, P], Built],
) -> Callable[Concatenate[DataSpec, P], Recipe]:
    """Makes a recipe of a function `(data, …, design=Design()) -> Built`."""
    signature = inspect.signature(function)
    if "design" not in signature.parameters:
        raise TypeError(f"the recipe {function.__name__} has no `design` argument")

    @functools.wraps(function)
    def build(data: DataSpec, *args: P.args, **kwargs: P.kwargs) -> Recipe:
        bound = signature.bind(data, *args, **kwargs)
        bound.apply_defaults()
        arguments = dict(list(bound.arguments.items())[1:])
        # The same seed gives the same weights, and the caller's random state is left alone.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(arguments["design"].seed)
            built = function(data, *args, **kwargs)
        return Recipe(function.__name__, arguments, *built)

    RECIPES[function.__name__] = build
    return cast("Callable[Concatenate[DataSpec, P], Recipe]", build)


def find(name: str) -> Callable[..., Recipe]:
    """The recipe function of a name; dashes and underscores are alike.

    Raises:
        ValueError: for an unknown name, with the nearest ones.
    """
    known = name.replace("-", "_")
    if known not in RECIPES:
        near = difflib.get_close_matches(known, RECIPES, n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"There is {', '.join(RECIPES)}."
        raise ValueError(f"no recipe is called {name!r}. {hint}")
    return RECIPES[known]


def rebuild(name: str, arguments: Mapping[str, Any], data: DataSpec) -> Recipe:
    """Builds a recipe from its name and JSON arguments, checked against its signature.

    Raises:
        ValueError: for an unknown name, an unknown or missing argument, or one of a wrong type.
    """
    function = find(name)
    hints = typing.get_type_hints(inspect.unwrap(function))
    parameters = list(inspect.signature(function).parameters)[1:]
    unknown = sorted(set(arguments) - set(parameters))
    if unknown:
        raise ValueError(
            f"the recipe {name} has no argument {', '.join(unknown)}; "
            f"it has {', '.join(parameters)}"
        )
    values = {key: checked(value, hints[key], key) for key, value in arguments.items()}
    return function(data, **values)


def checked(value: Any, hint: Any, name: str) -> Any:
    """A JSON value as the type a signature asks for.

    Raises:
        ValueError: where it is not of that type.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        hints = typing.get_type_hints(hint)
        unknown = sorted(set(value) - set(hints))
        if unknown:
            raise ValueError(f"{name} has no field {', '.join(unknown)}; it has {', '.join(hints)}")
        return hint(**{key: checked(v, hints[key], f"{name}.{key}") for key, v in value.items()})
    if origin in (Union, UnionType):
        for option in inner:
            try:
                return checked(value, option, name)
            except ValueError:
                continue
    elif origin is Literal:
        if value in inner:
            return value
    elif origin is tuple and isinstance(value, list | tuple):
        return tuple(checked(v, inner[0], name) for v in value)
    elif hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif hint is type(None) and value is None:
        return None
    elif isinstance(hint, type) and type(value) is hint:
        return value
    expected = getattr(hint, "__name__", str(hint)) if origin is None else str(hint)
    raise ValueError(f"{name} is {value!r}; expected {expected.replace('typing.', '')}")


def as_json(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as JSON values: the inverse of what `rebuild` reads."""
    return {
        key: dataclasses.asdict(value) if isinstance(value, Design) else value
        for key, value in arguments.items()
    }
