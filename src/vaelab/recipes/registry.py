"""A recipe: how a model is built, by a name and arguments that can be kept as JSON.

A recipe function takes the data's specification and typed arguments, and returns what it built. The
`recipe` decorator records the name and the arguments, so that the same model can be rebuilt from
`recipe.json` and nothing but a signature decides what is accepted there.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Concatenate, NamedTuple, ParamSpec, cast

from vaelab.core import VAE, fork_rng
from vaelab.data import DataSpec
from vaelab.objectives import Objective
from vaelab.recipes.design import Design
from vaelab.utils.text import did_you_mean
from vaelab.utils.validation import validate

P = ParamSpec("P")


class Built(NamedTuple):
    """Result of a recipe function; `reason` states why the likelihood was chosen."""

    model: VAE
    objective: Objective
    data: DataSpec
    reason: str


@dataclass(frozen=True, eq=False)
class Recipe:
    """A model with its objective, and how to build both again.

    Attributes:
        name: name of the recipe function.
        arguments: all of its arguments by name, defaults included.
        model: the model, with weights drawn from the design's seed.
        objective: the training objective.
        data: the data's specification, binarization included.
        reason: the reason for its likelihood.
    """

    name: str
    arguments: dict[str, Any]
    model: VAE
    objective: Objective
    data: DataSpec
    reason: str

    def fresh(self) -> Recipe:
        """The recipe built anew, with weights drawn from the design's seed once more."""
        build = RECIPES.get(self.name)
        return copy.deepcopy(self) if build is None else build(self.data, **self.arguments)

    def to_json(self) -> dict[str, Any]:
        """JSON values that `rebuild` reads, and the reason for the likelihood."""
        return {
            "recipe": self.name,
            "arguments": as_json(self.arguments),
            "likelihood": self.reason,
            "data": self.data.to_json(),
        }

    def mismatch_message(self, likelihood: Any) -> str:
        """Explanation for intact tensors that do not match the recipe as it is built now.

        Args:
            likelihood: the reason that the run was kept with.
        """
        if isinstance(likelihood, str) and likelihood != self.reason:
            return (
                "The run is of an earlier version, which took another likelihood for this data, "
                f"{likelihood!r}, where it is {self.reason!r} now: train it anew with the settings "
                "that recipe.json keeps"
            )
        return (
            f"Either it is another run's, and to be restored; or the run is of an earlier version, "
            f"which built {self.name} otherwise, its critic included: then train it anew with the "
            "settings that recipe.json keeps"
        )


RECIPES: dict[str, Callable[..., Recipe]] = {}


def recipe(
    function: Callable[Concatenate[DataSpec, P], Built],
) -> Callable[Concatenate[DataSpec, P], Recipe]:
    """Makes a recipe of a function `(data, …, design=Design()) -> Built`.

    The recipe raises a ValueError for an argument of another type than the function's signature
    asks for.
    """
    signature, hints = inspect.signature(function), typing.get_type_hints(function)
    if "design" not in signature.parameters:
        raise TypeError(f"the recipe {function.__name__} has no `design` argument")

    @functools.wraps(function)
    def build(data: DataSpec, *args: P.args, **kwargs: P.kwargs) -> Recipe:
        bound = signature.bind(data, *args, **kwargs)
        bound.apply_defaults()
        given = list(bound.arguments.items())[1:]
        arguments = {name: validate(value, hints[name], name) for name, value in given}
        # The same seed gives the same weights, and the caller's random state is left alone.
        with fork_rng(arguments["design"].seed):
            built = cast("Callable[..., Built]", function)(data, **arguments)
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
        hint = did_you_mean(known, RECIPES) or f" There is {', '.join(RECIPES)}."
        raise ValueError(f"no recipe is called {name!r}.{hint}")
    return RECIPES[known]


def rebuild(name: str, arguments: Mapping[str, Any], data: DataSpec) -> Recipe:
    """Builds a recipe from its name and JSON arguments, checked against its signature.

    Raises:
        ValueError: for an unknown name, an unknown or missing argument, or one of a wrong type.
    """
    function = find(name)
    parameters = list(inspect.signature(function).parameters)[1:]
    unknown = sorted(set(arguments) - set(parameters))
    if unknown:
        raise ValueError(
            f"the recipe {name} has no argument {', '.join(unknown)}; "
            f"it has {', '.join(parameters)}"
        )
    return function(data, **arguments)


def as_json(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as JSON values: the inverse of what `rebuild` reads."""
    return {
        key: dataclasses.asdict(value) if isinstance(value, Design) else value
        for key, value in arguments.items()
    }
