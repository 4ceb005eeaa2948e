"""Validation of values by the types of a signature or a dataclass, from Python and from JSON."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from contextlib import suppress
from numbers import Integral, Real
from types import UnionType
from typing import Any, Literal, Union

LARGEST = 2**63
"""Bound above every integer that a tensor or a generator accepts."""


def check_fields(settings: Any) -> None:
    """Validate the fields of a frozen dataclass by their types, from its `__post_init__`.

    Raises:
        ValueError: names the field, its value and what is expected.
    """
    hints = typing.get_type_hints(type(settings))
    for name in (field.name for field in dataclasses.fields(settings)):
        object.__setattr__(settings, name, validate(getattr(settings, name), hints[name], name))


def validate(value: Any, hint: Any, name: str) -> Any:
    """Convert a value to the expected type: a NumPy number to Python's, a list to a tuple.

    >>> validate([1, 2], tuple[int, ...], "layers")
    (1, 2)

    Args:
        value: value from Python or from JSON, in which a dataclass is an object.
        hint: expected type.
        name: name of the argument in messages.

    Raises:
        ValueError: if the value is not of that type; a float must be finite.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        hints = typing.get_type_hints(hint)
        unknown = sorted(set(value) - set(hints))
        if unknown:
            raise ValueError(f"{name} has no field {', '.join(unknown)}; it has {', '.join(hints)}")
        return hint(**{key: validate(v, hints[key], f"{name}.{key}") for key, v in value.items()})
    if origin in (Union, UnionType):
        for option in inner:
            try:
                return validate(value, option, name)
            except ValueError:
                continue
    elif origin is Literal:
        if value in inner:
            return value
    elif origin is tuple and isinstance(value, list | tuple):
        return tuple(validate(v, inner[0], name) for v in value)
    elif hint is float and isinstance(value, Real) and not isinstance(value, bool):
        with suppress(OverflowError):  # a whole number may be beyond all floats
            if math.isfinite(number := float(value)):
                return number
        raise ValueError(f"{name} is {value}; expected a finite number")
    elif hint is int and isinstance(value, Integral) and not isinstance(value, bool):
        if not -LARGEST <= int(value) < LARGEST:
            raise ValueError(f"{name} is {value}; expected a whole number of 64 bits")
        return int(value)
    elif hint is type(None) and value is None:
        return None
    elif isinstance(hint, type) and type(value) is hint:
        return value
    raise ValueError(f"{name} is {value!r}; expected {_expected(hint)}")


def _expected(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(map(_expected, inner))
    if origin is Literal:
        return " or ".join(map(str, inner))
    if origin is tuple:
        return f"several of {_expected(inner[0])}"
    plain = {int: "a whole number", float: "a number", bool: "True or False", str: "text"}
    return plain.get(hint, getattr(hint, "__name__", str(hint)))
