"""A foreign loss: load it from its file and find the role of each argument.

Loading the file executes it, as `python FILE.py` would. This happens only because the user named
the file on the command line; no run, data set or other file ever leads to it.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import Tensor

from vaelab.doctor.loss_arguments import arguments_by_name, arguments_stated, called_function, role
from vaelab.doctor.loss_subject import Knob, Subject, code_of
from vaelab.utils.text import did_you_mean


def load_loss(named: str | Callable[..., Any], arguments: str | None = None) -> Subject:
    """Load FILE.py:function, or take a function, and infer the roles of its arguments.

    Args:
        named: the file and the function; a class's own function is Class.function.
        arguments: the roles in the order of the parameters, x, reconstruction, mu, logvar (or var,
            std, logstd), numbers for others, NAME=number for parameters by name.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file or the function cannot be used.
    """
    if isinstance(named, str):
        file, _, name = named.rpartition(":")
        function = _function(Path(file), name)
    else:
        function, name = named, getattr(named, "__name__", repr(named))
    subject = (
        arguments_by_name(function, name)
        if arguments is None
        else arguments_stated(function, arguments)
    )
    learned = None if subject.has("noise") else _noise_of(function)
    if learned is not None:
        subject = replace(subject, noise=learned[1], called={**subject.called, "noise": learned[0]})
    return _with_knobs(subject)


def _function(file: Path, name: str) -> Callable[..., Any]:
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist")
    spec = importlib.util.spec_from_file_location("examined_loss", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent.resolve()))  # as `python FILE.py` would
    sys.modules[spec.name] = module  # dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"{file} cannot be loaded: {type(error).__name__}: {error}. Loading a file runs it; "
            "put the loss into a file of its own"
        ) from None
    finally:
        sys.path.pop(0)
        del sys.modules[spec.name]
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise ValueError(f"{file} has no {name!r}.{did_you_mean(part, vars(found))}")
        found = getattr(found, part)
    if not callable(found):
        raise ValueError(f"{name} in {file} is {type(found).__name__}, no function")
    return found


def _numbers_of(function: Callable[..., Any]) -> Iterator[Knob]:
    """Global numbers that a function reads, itself or through functions of its own file."""
    for name, value in _globals_of(function):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield Knob(name, float(value), is_global=True)


def _noise_of(function: Callable[..., Any]) -> tuple[str, Tensor] | None:
    """The one learned tensor, of a module or global, that is named for a scale."""
    own = list(function.named_parameters()) if isinstance(function, torch.nn.Module) else []
    found = [
        (name, value)
        for name, value in (*own, *_globals_of(function))
        if isinstance(value, Tensor)
        and value.requires_grad
        and value.is_leaf
        and role(name) in ("scale", "noise")
    ]
    return found[0] if len(found) == 1 else None


def _globals_of(function: Callable[..., Any]) -> Iterator[tuple[str, Any]]:
    """Global variables that a function reads, itself or through functions of its own file."""
    code, names = code_of(function)
    waiting, seen = [code] if code is not None else [], set()
    while waiting:
        current = waiting.pop()
        waiting += [c for c in current.co_consts if isinstance(c, CodeType)]
        for name in current.co_names:
            value = names.get(name)
            if name in seen or value is None:
                continue
            seen.add(name)
            if isinstance(value, FunctionType) and value.__globals__ is names:
                waiting.append(value.__code__)
            else:
                yield name, value


def _with_knobs(subject: Subject) -> Subject:
    """The numbers that a loss uses: defaults, values of parameters, global variables."""
    try:
        parameters = list(inspect.signature(called_function(subject.function)).parameters.values())
    except (TypeError, ValueError):
        return subject
    plain = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    names = tuple(p.name for p in plain)
    defaults = {
        p.name: float(p.default)
        for p in parameters
        if isinstance(p.default, int | float)
        and not isinstance(p.default, bool)
        and p.kind is not p.POSITIONAL_ONLY
    }
    given = {
        name: a
        for name, a in zip(names, subject.positional, strict=False)
        if not isinstance(a, str)
    }
    found = defaults | given | {name: float(value) for name, value in subject.named.items()}
    knobs = (*(Knob(n, v) for n, v in found.items()), *_numbers_of(subject.function))
    return replace(subject, knobs=knobs, parameters=names)
