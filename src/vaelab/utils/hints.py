"""Errors of Python that name the right word: attributes and arguments that do not exist.

A class gets them as a base, `class Plan(Hinting)`; a function by `@hinting`; a module by
`__getattr__ = missing_from(__name__, names)`. Nothing is renamed or forwarded: a foreign word is an
error that states ours.
"""

from __future__ import annotations

import functools
import inspect
from abc import ABCMeta
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from vaelab.utils.text import did_you_mean, elsewhere

P = ParamSpec("P")
T = TypeVar("T")


def no_such_name(
    owner: str, name: str, known: Iterable[str], prefix: Mapping[str, str] = {}
) -> AttributeError:
    """Error for a name that an owner does not have, with the nearest names or all of its own.

    Args:
        owner: name of the owner.
        name: missing name.
        known: names that can be suggested.
        prefix: text before a name that belongs to another owner, by name.
    """
    known = list(dict.fromkeys(known))
    own = [each for each in known if each not in prefix]
    near = elsewhere(name, known) or did_you_mean(name, known, prefix)
    hint = near or f" It has {', '.join(own)}."
    return AttributeError(f"{owner} has no {name!r}.{hint}")


def check_arguments(function: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Check names of keyword arguments against those that exist.

    Raises:
        TypeError: names the first unknown one, and the nearest.
    """
    known = list(known)
    for name in names:
        if name not in known:
            near = elsewhere(name, known) or did_you_mean(name, known)
            hint = near or f" It takes {', '.join(known)}"
            raise TypeError(f"{function} has no argument {name!r}.{hint}")


def hinting(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function so that a call with wrong arguments names the right ones.

    >>> @hinting
    ... def sample(n, temperature=1.0): ...
    >>> sample(num_samples=3)
    Traceback (most recent call last):
    TypeError: sample has no argument 'num_samples'. Did you mean n?
    """

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            if _refused(error):
                _explain(function, args, kwargs)
            raise

    return checked


def _refused(error: TypeError) -> bool:
    """True if the call itself was refused: an error inside the function has a further frame."""
    return error.__traceback__ is not None and error.__traceback__.tb_next is None


def _explain(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Raise the error of a call whose arguments do not fit the signature; return if they do."""
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError as error:
        parameters = [p for p in signature.parameters.values() if p.name != "self"]
        named = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            try:
                check_arguments(_called(function), kwargs, named)
            except TypeError as unknown:
                raise unknown from None
        shown = ", ".join(p.name for p in parameters)
        raise TypeError(
            f"{_called(function)}: {error}. It is {_called(function)}({shown})"
        ) from None


def _called(function: Callable[..., Any]) -> str:
    return getattr(function, "__qualname__", repr(function)).removesuffix(".__init__")


def missing_from(module: str, known: Sequence[str]) -> Callable[[str], Any]:
    """`__getattr__` of a module: an error with the nearest of its names."""

    def missing(name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        raise no_such_name(module, name, known)

    return missing


class _HintingType(ABCMeta):
    """Class whose missing attributes and wrong constructor arguments name the right ones."""

    if not TYPE_CHECKING:  # the constructor's own signature is the one to check against

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().__call__(*args, **kwargs)
            except TypeError as error:
                if _refused(error):
                    _explain(cls.__init__, (None, *args), kwargs)
                raise

        @property
        def __signature__(cls) -> inspect.Signature:
            """Signature of the constructor, for `help`."""
            signature = inspect.signature(cls.__init__)
            return signature.replace(parameters=list(signature.parameters.values())[1:])

        def __getattr__(cls, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(f"type object {cls.__name__!r} has no attribute {name!r}")
            raise no_such_name(cls.__name__, name, _public(cls))


class Hinting(metaclass=_HintingType):
    """Base of public classes: errors name the nearest attribute and argument."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, member in list(vars(cls).items()):
            if not name.startswith("_") and inspect.isfunction(member):
                setattr(cls, name, hinting(member))

    if not TYPE_CHECKING:  # a type checker reports missing names itself

        def __getattr__(self, name: str) -> Any:
            kind = type(self)
            if name.startswith("_"):
                raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}")
            own = getattr(self, "__dict__", {})
            raise no_such_name(kind.__name__, name, [*own, *_public(kind)])


def _public(kind: type) -> list[str]:
    fields = getattr(kind, "__dataclass_fields__", {})
    return sorted({name for name in (*dir(kind), *fields) if not name.startswith("_")})
