"""Parse numbers, names and paths of a command line, with messages for values that are refused.

tyro derives the flags from types. The rules here read numbers, names and paths, so that help and
messages speak of these and not of Python's types; a fault is reported in a sentence or two, as
everywhere else.
"""

from __future__ import annotations

import functools
import io
import math
import operator
import os
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any, NamedTuple

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from vaelab.utils.text import did_you_mean
from vaelab.utils.validation import LARGEST

Device = typing.Annotated[
    str,
    tyro.conf.arg(
        help="where networks run: auto (the first accelerator there is, else the CPU), cpu, cuda, "
        "cuda:1, mps, …"
    ),
]
"""The device option of every command that runs a network."""


class Parser(NamedTuple):
    """Reader for one type of value.

    Attributes:
        metavar: its name in the help.
        what: the expected value, in words.
        read: raises a ValueError or a KeyError for anything else.
        choices: all words that it reads, if they are few.
    """

    metavar: str
    what: str
    read: Callable[[str], Any]
    choices: tuple[str, ...] = ()


def _whole(text: str) -> int:
    """One of 64 bits: neither a tensor nor a generator takes others."""
    value = int(text)
    if not -LARGEST <= value < LARGEST:
        raise OverflowError
    return value


def _rows(text: str) -> int | float:
    return _whole(text) if text.lstrip("+-").isdigit() else float(text)


def _sides(text: str) -> int | tuple[int, int]:
    height, *width = (int(part) for part in text.split(","))
    if len(width) > 1:
        raise ValueError
    return (height, width[0]) if width else height


PARSERS: dict[Any, Parser] = {
    int: Parser("N", "a whole number", _whole),
    float: Parser("NUMBER", "a number", float),
    str: Parser("TEXT", "text", str),
    Path: Parser("PATH", "a path", Path),
    int | float: Parser("ROWS|SHARE", "a number of rows such as 60, or a share such as 0.2", _rows),
    int | tuple[int, int]: Parser(
        "SIDE|HEIGHT,WIDTH", "a side, or height,width as in 48,64", _sides
    ),
}


def read(word: Parser, text: str) -> Any:
    """The value of a word.

    Raises:
        ValueError: says what was expected.
    """
    try:
        return word.read(text)
    except (KeyError, ValueError):
        near = did_you_mean(text, word.choices)
        raise ValueError(f"expected {word.what}, not {text!r}{near and '.' + near}") from None
    except OverflowError:
        raise ValueError(f"expected {word.what} of 64 bits, not {text!r}") from None


def scalar_spec(word: Parser, optional: bool = False) -> PrimitiveConstructorSpec[Any]:
    """The tyro specification of a value; an optional one is None only if it is not given."""
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=word.metavar,
        instance_from_str=lambda texts: read(word, texts[0]),
        is_instance=lambda value: optional if value is None else True,
        str_from_instance=lambda value: ["unset" if value is None else _plain(value)],
    )


def list_spec(word: Parser) -> PrimitiveConstructorSpec[Any]:
    """Any number of values, one after another, as tyro reads them."""
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar=f"{word.metavar} …",
        instance_from_str=lambda texts: tuple(read(word, text) for text in texts),
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [_plain(part) for part in value],
    )


def numbers(kind: type[int] | type[float]) -> Any:
    """Numbers with commas between them, as a type that tyro can read."""
    word = PARSERS[kind]
    spec: PrimitiveConstructorSpec[tuple[float, ...]] = PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{word.metavar},…",
        instance_from_str=lambda texts: tuple(read(word, part) for part in texts[0].split(",")),
        is_instance=lambda value: isinstance(value, tuple),
        str_from_instance=lambda value: [",".join(map(_plain, value)) or "unset"],
    )
    return typing.Annotated[tuple[float, ...], spec]


def _plain(value: Any) -> str:
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:g}"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _without_bounds(hint: Any) -> Any:
    return hint.__origin__ if typing.get_origin(hint) is typing.Annotated else hint


REGISTRY = ConstructorRegistry()

WIDE = 10_000
"""Columns at which a message stays one line."""


def _parser(hint: Any) -> Parser | None:
    """The parser of a type, if there is one: of a Literal, one of its words."""
    if typing.get_origin(hint) is not typing.Literal:
        return PARSERS.get(hint)
    choices = typing.get_args(hint)
    there = " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))
    by_name = {choice: choice for choice in choices}
    return Parser(f"{{{','.join(choices)}}}", there, lambda text: by_name[text], choices)


@REGISTRY.primitive_rule
def _words(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    # Bounds are checked by the dataclass that declares them.
    parts = tuple(map(_without_bounds, typing.get_args(info.type)))
    if info.type_origin in (types.UnionType, typing.Union) and types.NoneType in parts:
        kind = functools.reduce(operator.or_, (p for p in parts if p is not types.NoneType))
        word = _parser(kind)
        return word and scalar_spec(word, optional=True)
    if info.type_origin is tuple and parts[1:] == (...,):
        word = _parser(parts[0])
        return word and list_spec(word)
    word = _parser(info.type)
    return word and scalar_spec(word)


def call(function: Callable[..., Any], args: Sequence[str], prog: str, about: str) -> None:
    """Call a function with the values that the arguments give.

    Raises:
        ValueError: if they cannot be read; states the problem and what is expected.
        SystemExit: after help was shown.
    """

    @functools.wraps(function)
    def bind(*values: Any, **named: Any) -> Callable[[], Any]:
        return functools.partial(function, *values, **named)

    printed, asks_help = io.StringIO(), bool({"-h", "--help"} & set(args))
    try:
        with redirect_stderr(printed), _columns(None if asks_help else WIDE):
            bound = tyro.cli(
                bind,
                prog=prog,
                description=about,
                args=args,
                registry=REGISTRY,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
            )
    except SystemExit as end:
        if not end.code:  # help was shown
            raise
        problem = _without_box(printed.getvalue())
        raise ValueError(f"{problem}\n`{prog} --help` lists the options.") from None
    bound()


@contextmanager
def _columns(width: int | None) -> Iterator[None]:
    """Set the width at which tyro breaks lines; None leaves it to the terminal."""
    before = os.environ.get("COLUMNS")
    if width is not None:
        os.environ["COLUMNS"] = str(width)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("COLUMNS", None)
        else:
            os.environ["COLUMNS"] = before


def _without_box(message: str) -> str:
    """A message of tyro as plain lines: no title, no border, no advice on help."""
    body = message.partition("For full helptext")[0].splitlines()[1:]
    lines = [line.strip(" │╭╮╰╯─") for line in body]
    return "\n".join(line for line in lines if line.strip("-") and line != "Argument helptext:")
