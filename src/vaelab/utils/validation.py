"""Validation of values by declared types, from Python and from JSON.

msgspec checks types and bounds; messages state the value too, and numbers must be finite.
"""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from collections.abc import Iterator, Mapping
from numbers import Integral, Real
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from vaelab.utils.text import did_you_mean

LARGEST = 2**63
"""Above every integer that a tensor or a generator takes."""

Count = Annotated[int, Meta(ge=1)]
Natural = Annotated[int, Meta(ge=0)]
Positive = Annotated[float, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Fraction = Annotated[float, Meta(gt=0, lt=1)]
Share = Annotated[float, Meta(ge=0, le=1)]

_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "True or False",
    "str": "text",
    "array": "a list",
    "object": "an object",
    "null": "None",
}
_BOUNDS = {"<=": " of at most ", ">=": " of at least ", "<": " below ", ">": " above "}
MOST = 200
"""Characters of a value that a message shows."""

_PATH = re.compile(r"\.(\w+)|\[(\d+)\]")


def check_fields(settings: Any) -> None:
    """Validate the fields of a frozen dataclass, from its `__post_init__`.

    Raises:
        ValueError: names the field, its value and the expected one.
    """
    hints = typing.get_type_hints(type(settings), include_extras=True)
    for name in (field.name for field in dataclasses.fields(settings)):
        object.__setattr__(settings, name, validate(getattr(settings, name), hints[name], name))


def validate(value: Any, hint: Any, name: str) -> Any:
    """Convert a value to the type of a hint: a NumPy number to Python's, a list to a tuple.

    Args:
        value: from Python or from JSON, with objects for dataclasses and lists for named tuples.
        hint: a type that msgspec converts to.
        name: name of the value in messages.

    Raises:
        ValueError: if it is of another type, not finite or out of bounds.

    >>> validate([1, 2.5], tuple[float, ...], "scale")
    (1.0, 2.5)
    >>> validate(0, Count | None, "epochs")
    Traceback (most recent call last):
    ValueError: epochs is 0; expected a whole number of at least 1
    """
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        fields = [field.name for field in dataclasses.fields(hint)]
        if unknown := sorted(set(value) - set(fields)):
            raise ValueError(
                f"{name} has no field {', '.join(unknown)}; it has {', '.join(fields)}"
            )
    plain = _plain(value, name)
    try:
        return msgspec.convert(plain, hint)
    except msgspec.ValidationError as error:
        raise ValueError(_message(str(error), plain, hint, name)) from None


def _plain(value: Any, name: str) -> Any:
    """A value with Python's own numbers, all of them finite."""
    if type(value) in (list, tuple):
        return [_plain(v, f"{name}[{i}]") for i, v in enumerate(value)]
    if isinstance(value, Mapping):
        return {key: _plain(v, f"{name}.{key}") for key, v in value.items()}
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    if isinstance(value, Integral):
        if not -LARGEST <= int(value) < LARGEST:
            raise ValueError(f"{name} is {str(value)[:MOST]}; expected a whole number of 64 bits")
        return int(value)
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value}; expected a finite number")
    return float(value)


def _message(error: str, value: Any, hint: Any, name: str) -> str:
    """An error of msgspec with the value at its place, in words."""
    match = re.fullmatch(r"(.*?)(?: - at `\$(.*)`)?", error, re.DOTALL)
    assert match is not None
    text, path = match[1], match[2] or ""
    part = hint  # the type at the place
    for key, index in _PATH.findall(path):
        value = value[key or int(index)]
        if key and dataclasses.is_dataclass(part):
            part = typing.get_type_hints(part)[key]
    if text.startswith("Object missing"):
        return f"{name}{path} lacks {text.split('`')[1]}"
    if text.startswith("Invalid enum value"):
        options = list(_options(part))
        near = did_you_mean(value, options) if isinstance(value, str) else ""
        text = f"expected {' or '.join(options)}{near and '.' + near}"
    elif text.startswith("Expected"):
        text = re.sub(r", got `.*", "", text)
        whole = (
            {"object": getattr(hint, "__name__", "")}
            if dataclasses.is_dataclass(hint) and not path
            else {}
        )
        text = re.sub(r"`(.+?)`", lambda types: _in_words(types[1], _WORDS | whole), text)
        text = re.sub(
            r" (<=|>=|<|>) (\S+)", lambda b: _BOUNDS[b[1]] + b[2].removesuffix(".0"), text
        )
    else:  # of a __post_init__
        return text
    shown = repr(value) if len(repr(value)) < MOST else f"{repr(value)[:MOST]}…"
    return f"{name}{path} is {shown}; {text[:1].lower()}{text[1:]}"


def _in_words(types: str, words: Mapping[str, str]) -> str:
    return " or ".join(words.get(kind, kind) for kind in types.split(" | "))


def _options(hint: Any) -> Iterator[str]:
    """Every value of the Literals in a type."""
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is Literal:
        yield from map(str, inner)
    else:
        hints = typing.get_type_hints(hint).values() if dataclasses.is_dataclass(hint) else inner
        for each in hints:
            yield from _options(each)
