"""Recipes: models built from a name and arguments that can be saved as JSON.

A recipe function takes the data's specification and typed arguments, and returns a `Built`. The
`recipe` decorator records its name and arguments, so that the same model can be rebuilt from
`recipe.json`, and the signature alone decides which arguments are valid.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import inspect
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, NamedTuple, ParamSpec, cast

from vaelab.core import VAE, fork_rng
from vaelab.data import Data, DataSpec
from vaelab.objectives import Objective
from vaelab.recipes import parts_by_name
from vaelab.recipes.design import Design
from vaelab.utils.foreign_words import squashed
from vaelab.utils.hints import Hinting, check_arguments, hinting
from vaelab.utils.options import on_command_line
from vaelab.utils.plugins import installed
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
class Recipe(Hinting):
    """Model with its objective, and the arguments to rebuild both.

    >>> from vaelab import recipes
    >>> from vaelab.data import load
    >>> recipes.vae(load("digits").spec, latent=2).objective.formula
    'D + R'

    Attributes:
        name: name of the recipe function.
        arguments: all of its arguments by name, defaults included.
        model: model, with weights drawn from the design's seed.
        objective: training objective.
        data: specification of the data, binarization included.
        reason: reason for the choice of likelihood.
    """

    name: str
    arguments: dict[str, Any]
    model: VAE
    objective: Objective
    data: DataSpec
    reason: str

    def fresh(self) -> Recipe:
        """Build the recipe again, with weights drawn again from the design's seed."""
        build = RECIPES.get(self.name)
        return copy.deepcopy(self) if build is None else build(self.data, **self.arguments)

    @property
    def code(self) -> list[str]:
        """Code outside the library that the recipe needs, as `package.module:name`."""
        if self.name in RECIPES:
            places = [_place(RECIPES[self.name]), *self.arguments["design"].code]
        else:
            parts = (*self.model.modules(), *self.objective.modules())
            places = sorted({f"{type(m).__module__}:{type(m).__qualname__}" for m in parts})
        return [place for place in places if not place.startswith(("vaelab.", "torch."))]

    def to_json(self) -> dict[str, Any]:
        """JSON values to rebuild the recipe from, with the reason for its likelihood."""
        return {
            "recipe": self.name,
            "code": self.code,
            "arguments": as_json(self.arguments),
            "likelihood": self.reason,
            "data": self.data.to_json(),
        }

    def mismatch_message(self, likelihood: Any) -> str:
        """Explain why intact tensors of a saved run may not fit its recipe as it is built now.

        Args:
            likelihood: reason for the likelihood that was saved with the run.
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

HANDMADE = "own model"
"""Name of the recipe of a model that was built by hand; no function has a name with a space."""

GROUP = "vaelab.recipes"
"""Entry points by which installed packages offer recipes; their names are those of the recipes."""


def recipe(
    function: Callable[Concatenate[DataSpec, P], Built],
) -> Callable[Concatenate[DataSpec | Data, P], Recipe]:
    """Turn a function `(data, …, design=Design()) -> Built` into a registered recipe.

    The recipe takes data or their specification, and fields of the design by name as well. It
    raises a ValueError for an argument whose type differs from the signature.

    Raises:
        TypeError: for a function without a `design` argument.
        ValueError: for a name that another function has.
    """
    signature, hints = inspect.signature(function), typing.get_type_hints(function)
    name = function.__name__
    if "design" not in signature.parameters:
        raise TypeError(f"the recipe {name} has no `design` argument")
    if name in RECIPES and _place(RECIPES[name]) != _place(function):
        raise ValueError(
            f"a recipe is called {name} already, {_place(RECIPES[name])}; give yours another name"
        )

    @functools.wraps(function)
    def build(data: DataSpec | Data, *args: P.args, **kwargs: P.kwargs) -> Recipe:
        if not isinstance(data, Data | DataSpec):
            raise TypeError(
                f"{name} is given a {type(data).__name__}; expected data or their specification, "
                f"as in recipes.{name}(vaelab.load_data(…))"
            )
        spec = data.spec if isinstance(data, Data) else data
        given = _with_design(kwargs, signature.parameters)
        check_arguments(name, given, list(signature.parameters)[1:])
        bound = signature.bind(spec, *args, **given)
        bound.apply_defaults()
        values = list(bound.arguments.items())[1:]
        arguments = {name: validate(value, hints[name], name) for name, value in values}
        # The same seed gives the same weights, and the caller's random state is left alone.
        with fork_rng(arguments["design"].seed):
            built = cast("Callable[..., Built]", function)(spec, **arguments)
        return Recipe(name, arguments, *built)

    RECIPES[name] = hinting(build)
    return cast("Callable[Concatenate[DataSpec | Data, P], Recipe]", RECIPES[name])


def _with_design(given: Mapping[str, Any], parameters: Collection[str]) -> dict[str, Any]:
    """Arguments of a recipe function, with fields of the design gathered into one."""
    shared = {field.name for field in dataclasses.fields(Design)} - set(parameters)
    fields = {name: value for name, value in given.items() if name in shared}
    own = {name: value for name, value in given.items() if name not in shared}
    if not fields:
        return own
    return own | {"design": dataclasses.replace(own.get("design", Design()), **fields)}


def _place(function: Callable[..., Any]) -> str:
    """Module and name of a recipe's function, as `package.module:name`."""
    inner = inspect.unwrap(function)
    return f"{inner.__module__}:{inner.__qualname__}"


def all_recipes() -> dict[str, Callable[..., Recipe]]:
    """Every recipe by name, those of installed packages included."""
    for name in installed(GROUP):
        if name not in RECIPES:
            _from_package(name)
    return RECIPES


def _from_package(name: str) -> None:
    """Import the recipe of that name from the package that offers it.

    Raises:
        ValueError: if the package cannot be imported, or registers no such recipe.
    """
    point = installed(GROUP)[name]
    try:
        point.load()
    except Exception as error:
        raise ValueError(
            f"the recipe {name} of {point.value} cannot be imported: {error}"
        ) from None
    if name not in RECIPES:
        raise ValueError(
            f"{point.value} registers no recipe {name}; decorate it with @vaelab.recipe"
        )


def find(name: str) -> Callable[..., Recipe]:
    """Recipe function of a name; case, dashes and underscores do not count.

    Raises:
        ValueError: for an unknown name, with the nearest ones.
    """
    names = {squashed(each): each for each in (*installed(GROUP), *RECIPES)}
    known = names.get(squashed(name), name)
    if known not in RECIPES and known in installed(GROUP):
        _from_package(known)
    if known not in RECIPES:
        hint = did_you_mean(known, names.values()) or f" There is {', '.join(names.values())}."
        raise ValueError(f"no recipe is called {name!r}.{hint}")
    return RECIPES[known]


def rebuild(
    name: str, arguments: Mapping[str, Any], data: DataSpec, code: Sequence[str] = ()
) -> Recipe:
    """Build a recipe from its name and JSON arguments, checked against its signature.

    Args:
        name: name of the recipe.
        arguments: JSON values by name.
        data: specification of the data.
        code: code outside the library that it needs. It is named in messages, never imported.

    Raises:
        ValueError: for an unknown name, an unknown or missing argument, or one of a wrong type.
    """
    if code and name not in RECIPES and name not in installed(GROUP):
        raise ValueError(f"the recipe {name} needs {_how_to_provide(code)}")
    function = find(name)
    parameters = list(inspect.signature(function).parameters)[1:]
    unknown = sorted(set(arguments) - set(parameters))
    if unknown:
        raise ValueError(
            f"the recipe {name} has no argument {', '.join(unknown)}; "
            f"it has {', '.join(parameters)}"
        )
    _check_parts(name, arguments.get("design"), code)
    return function(data, **arguments)


def _check_parts(name: str, design: Any, code: Sequence[str]) -> None:
    """Check that the parts of a design are at hand, of which a file states names and code.

    Raises:
        ValueError: if one is not; names the code.
    """
    for kind in parts_by_name.KINDS if isinstance(design, Mapping) else ():
        part = design.get(kind, "auto")
        if not isinstance(part, str) or part in parts_by_name.names(kind):
            continue
        if ":" in part:
            raise ValueError(
                f"the {kind} of {name} is `{part}`, given without a name; pass it: "
                f"vaelab.load(path, {kind}=…). A name given to vaelab.register makes runs that "
                "load by themselves"
            )
        if code:
            raise ValueError(f"the {kind} {part} needs {_how_to_provide(code)}")


def _how_to_provide(code: Sequence[str]) -> str:
    module = code[0].partition(":")[0]
    how = f"name it with --module {module}" if on_command_line() else f"import {module} first"
    return f"`{code[0]}`, which vaelab has not; install it, or {how}"


def as_json(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Convert arguments to JSON values, the inverse of what `rebuild` reads."""
    return {
        key: value.to_json() if isinstance(value, Design) else value
        for key, value in arguments.items()
    }
