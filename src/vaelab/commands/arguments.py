"""How the words of a command line become values, and what is said where they cannot.

tyro derives the flags from types. The rules here read numbers, names and paths, so that help and
messages speak of these and not of Python's types; what is wrong is said in a sentence or two, as
everywhere else.
"""

from __future__ import annotations

import functools
import io
import math
import operator
import re
import types
import typing
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout, suppress
from pathlib import Path
from typing import Any, NamedTuple

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from vaelab.utils.text import did_you_mean
from vaelab.utils.validation import LARGEST

try:  # tyro's hook for its own messages, which it does not promise to keep; without, they are its
    from tyro import _errors as told
except ImportError:
    told = None  # type: ignore[assignment]


Device = typing.Annotated[
    str,
    tyro.conf.arg(
        help="where networks run: auto (the first accelerator there is, else the CPU), cpu, cuda, "
        "cuda:1, mps, …"
    ),
]
"""Of every command that runs a network."""


class Parser(NamedTuple):
    """How one kind of value is read.

    Attributes:
        metavar: what it is called in the help.
        what: what was expected, in words.
        read: raises a ValueError for anything else.
    """

    metavar: str
    what: str
    read: Callable[[str], Any]


def _whole(text: str) -> int:
    """One of 64 bits: neither a tensor nor a generator takes others."""
    value = int(text)
    if not -LARGEST <= value < LARGEST:
        raise OverflowError
    return value


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
    except ValueError:
        raise ValueError(f"expected {word.what}, not {text!r}") from None
    except OverflowError:
        raise ValueError(f"expected {word.what} of 64 bits, not {text!r}") from None


def scalar_spec(word: Parser, optional: bool = False) -> PrimitiveConstructorSpec[Any]:
    """A value as tyro reads it; one that is optional is None only where it is not given."""
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


REGISTRY = ConstructorRegistry()


@REGISTRY.primitive_rule
def _words(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    parts = typing.get_args(info.type)
    if isinstance(info.type, types.UnionType) and types.NoneType in parts:
        kind = functools.reduce(operator.or_, (p for p in parts if p is not types.NoneType))
        return scalar_spec(PARSERS[kind], optional=True) if kind in PARSERS else None
    if info.type_origin is tuple and parts[1:] == (...,) and parts[0] in PARSERS:
        return list_spec(PARSERS[parts[0]])
    return scalar_spec(PARSERS[info.type]) if info.type in PARSERS else None


def call(function: Callable[..., Any], args: Sequence[str], prog: str, about: str) -> None:
    """Calls a function with what the arguments say.

    Raises:
        ValueError: where they cannot be read; says what is wrong and what to do.
        SystemExit: after help was shown.
    """

    def run(args: Sequence[str]) -> None:
        tyro.cli(
            function,
            prog=prog,
            description=about,
            args=args,
            registry=REGISTRY,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
        )

    with nullcontext() if told is None else told.on_parse_error(lambda event: _tell(event, run)):
        run(args)


def _tell(event: Any, run: Callable[[Sequence[str]], None]) -> None:
    said = None
    with suppress(AttributeError, TypeError):  # where tyro has changed, it speaks for itself
        said = _said(event, run)
    if said is not None:
        raise ValueError(f"{said}\n`{event.prog} --help` lists the options.")


def _said(event: Any, run: Callable[[Sequence[str]], None]) -> str | None:
    match event:
        case told.UnrecognizedArgs(tokens=tokens):
            return _unknown(tokens, run)
        case told.MissingArgs(missing_arguments=missing, unrecognized_tokens=tokens):
            if tokens:
                return _unknown(tokens, run)
            return "\n".join(f"{_name(m.arg)} is missing: {_help(m.arg)}" for m in missing)
        case told.BadValue(argument=argument):
            return f"{_name(argument)} needs a value: {_help(argument)}"
        case told.InvalidChoice(argument=argument, value=value, choices=choices):
            there = " or ".join([", ".join(choices[:-1]), choices[-1]])
            return (
                f"{_name(argument)}: expected {there}, not {value!r}.{did_you_mean(value, choices)}"
            )
        case told.InstantiationFailure(argument=argument, message=message):
            return str(message) if argument is None else f"{_name(argument)}: {message}"
    return None


def _unknown(tokens: Sequence[str], run: Callable[[Sequence[str]], None]) -> str:
    flag = next((token for token in tokens if token.startswith("-")), None)
    if flag is None:
        return f"{tokens[0]!r} is one word too many: no option before it takes it"
    name = flag.partition("=")[0]
    helped = io.StringIO()
    with redirect_stdout(helped), suppress(SystemExit):
        run(["--help"])
    known = re.findall(r"(?<!\S)--[a-z][\w-]*", helped.getvalue())
    return f"there is no option {name}.{did_you_mean(name, sorted(set(known)))}"


def _name(argument: Any) -> str:
    lowered = argument.lowered
    return str(lowered.metavar if argument.is_positional() else lowered.name_or_flags[-1])


def _help(argument: Any) -> str:
    text = argument.lowered.help
    words = " ".join((text() if callable(text) else text or "").split())
    return re.sub(r"\.? \((required|default: [^()]*)\)$", "", words)
