"""Somebody else's loss: loading it from its file, and finding out which argument is what.

Loading the file executes it, as `python FILE.py` would. It is done only because the user named the
file on the command line; no run, data set or other file ever leads to it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaelab.core import fork_rng
from vaelab.utils.text import did_you_mean

PATIENCE = 60.0
"""Seconds that a loss may take for a batch of six."""

ROLES = ("x", "reconstruction", "mu", "scale")

NAMES: dict[str, str] = {
    "reconstruction": r"recon|rec$|^rec|[xy]hat$|^out|output|decoded|pred|logit|prime|tilde|fake",
    "mu": r"^(z|q|latent)*(mu|mean|means|loc|m)(z|s|q)?$",
    "scale": r"log(var|v$|sig|std|sd|scale|s2)|^lv$|var|std|sigma|^sd$|^scale$",
    "x": r"^x|input|target|data|orig|ima?ge?s?$|batch|true|^y$|features|labels",
}
"""Tried in this order, on names in small letters without underscores."""

KINDS: dict[str, tuple[tuple[str, ...], str]] = {
    "log.*(var|s2|sigma2|sq|v$)|^lv$": (("logvar",), "log-variance"),
    "log.*(sig|scale)": (("logvar", "logstd"), "log-variance or log standard deviation"),
    "log.*(std|sd)": (("logstd",), "log standard deviation"),
    "var|sigma2|sq": (("var",), "variance"),
    "std|sigma|sd": (("std",), "standard deviation"),
}
"""What the name of s says that it stands for; an unclear name says nothing."""


@dataclass(frozen=True)
class ProbeInputs:
    """Inputs for a loss: x and its reconstruction (B, …), mu and scale (B, L)."""

    x: Tensor
    reconstruction: Tensor
    mu: Tensor
    scale: Tensor

    def mapped(self, change: Callable[[Tensor], Tensor]) -> ProbeInputs:
        """The same change made to all four."""
        return ProbeInputs(*(change(getattr(self, f.name)) for f in fields(self)))


class Refused(ValueError):
    """A loss that raises for inputs it should take; the message is what it said."""


@dataclass(frozen=True)
class Subject:
    """A loss and what its arguments are.

    Attributes:
        function: the loss.
        positional: in order, a role of `ROLES` or a constant.
        named: constants by name.
        called: the user's own name for each role.
        assumed: what was taken for granted, in words.
    """

    function: Callable[..., Any]
    positional: tuple[str | float, ...]
    named: Mapping[str, float]
    called: Mapping[str, str]
    assumed: tuple[str, ...]

    def has(self, *roles: str) -> bool:
        """Whether all of these are among its arguments."""
        return all(role in self.called for role in roles)

    def raw(self, planted: ProbeInputs, seed: int = 0) -> Any:
        """What it returns for planted inputs, of which it has copies; its noise is always the same.

        Raises:
            Refused: where it raises, ends the program, or takes longer than `PATIENCE`.
        """
        own = planted.mapped(torch.clone)
        given = [getattr(own, a) if isinstance(a, str) else a for a in self.positional]
        try:
            with fork_rng(seed), timed(PATIENCE):
                return self.function(*given, **self.named)
        except (Exception, SystemExit) as error:
            raise Refused(f"{type(error).__name__}: {error}") from None

    def __call__(self, planted: ProbeInputs, seed: int = 0) -> Tensor:
        """Its value as a scalar: what is per example is averaged, what is per element summed first.

        Raises:
            Refused: where it raises, or returns no number.
        """
        found = chosen(self.raw(planted, seed))[0]
        return (
            found
            if found.ndim == 0
            else found.flatten(1).sum(1).mean()
            if (found.ndim > 1)
            else found.mean()
        )


def slopes(value: Tensor, wanted: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """Gradients of a loss's value; None where none arrives.

    Raises:
        Refused: where they cannot be taken.
    """
    if not value.requires_grad:
        return (None,) * len(wanted)
    try:
        with timed(PATIENCE):
            return torch.autograd.grad(value, wanted, allow_unused=True)
    except (Exception, SystemExit) as error:
        raise Refused(f"its gradient cannot be taken: {error}") from None


@contextlib.contextmanager
def timed(seconds: float) -> Iterator[None]:
    """Ends what runs for longer with a TimeoutError, where the system can."""
    if (
        not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def end(number: int, frame: Any) -> None:
        raise TimeoutError(f"it did not return within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    waiting = signal.setitimer(signal.ITIMER_REAL, seconds)  # another's, which goes on afterwards
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, *waiting)


def chosen(returned: Any) -> tuple[Tensor, str]:
    """The loss among what a function returned, and how it was chosen.

    Raises:
        Refused: where there is no number in it.
    """
    how = ""
    if isinstance(returned, Mapping):
        key = next((k for k in returned if "loss" in str(k).lower()), next(iter(returned), None))
        returned, how = returned.get(key), f"{key!r} of the dictionary it returns"
    elif isinstance(returned, tuple | list) and returned:
        returned, how = returned[0], f"the first of {len(returned)} values it returns"
    if isinstance(returned, int | float):
        returned = torch.tensor(float(returned), dtype=torch.float64)
    if not isinstance(returned, Tensor):
        raise Refused(f"it returned {type(returned).__name__}; a tensor is expected")
    if returned.is_complex() or not returned.numel():
        what = "complex numbers" if returned.is_complex() else "no number"
        raise Refused(f"it returned {what}; a real loss is expected")
    return returned if returned.is_floating_point() else returned.double(), how


def load_loss(named: str, arguments: str | None = None) -> Subject:
    """Loads FILE.py:function and finds out what its arguments are.

    Args:
        named: the file and the function; a class's own function is Class.function.
        arguments: the roles in the order of the parameters, x, reconstruction, mu, logvar (or var,
            std, logstd), numbers for others, NAME=number for parameters by name.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where the file or the function cannot be used.
    """
    file, _, name = named.rpartition(":")
    function = _function(Path(file), name)
    if arguments is not None:
        return _as_told(function, arguments)
    return _by_names(function, name)


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


def role(name: str) -> str | None:
    """What a parameter of this name is.

    >>> role("recon_x"), role("x"), role("z_mean"), role("log_var"), role("beta")
    ('reconstruction', 'x', 'mu', 'scale', None)
    """
    plain = name.lower().replace("_", "")
    return next((r for r, pattern in NAMES.items() if re.search(pattern, plain)), None)


def kinds(name: str) -> tuple[tuple[str, ...], str]:
    """What a name says that s stands for, as keys of `SCALES` and in words; empty if nothing.

    >>> kinds("log_var")[0], kinds("std")[0], kinds("log_sigma")[0]
    (('logvar',), ('std',), ('logvar', 'logstd'))
    """
    plain = name.lower().replace("_", "")
    return next((v for pattern, v in KINDS.items() if re.search(pattern, plain)), ((), ""))


def _by_names(function: Callable[..., Any], name: str) -> Subject:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        raise ValueError(f"the signature of {name} cannot be read; {TELL}") from None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise ValueError(f"{name} takes any arguments (*{parameters[0].name}); {TELL}")
    plain = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p.name for p in plain if p.default is p.empty]
    found: dict[str, str] = {}
    for parameter in needed:
        what = role(parameter)
        if what is not None and what not in found:
            found[what] = parameter
    unknown = [p for p in needed if p not in found.values()]
    missing = [r for r in ROLES if r not in found]
    if len(needed) == 4 and len(unknown) == len(missing) and len(unknown) != 1 and unknown:
        found = dict(zip(ROLES, needed, strict=True))
    elif len(unknown) == len(missing) == 1:
        found[missing[0]] = unknown[0]
    elif unknown or not (_both(found, "x", "reconstruction") or _both(found, "mu", "scale")):
        listing = ", ".join(needed) or "none"
        raise ValueError(
            f"which of the arguments of {name} ({listing}) is x, the reconstruction, mu and logvar "
            f"cannot be told from their names; {TELL}"
        )
    roles = {parameter: what for what, parameter in found.items()}
    said = ", ".join(f"{p} is {WORDS[roles[p]]}" for p in needed)
    return Subject(function, tuple(roles[p] for p in needed), {}, found, (f"arguments: {said}",))


TELL = 'say it with --arguments, in their order, as in --arguments "reconstruction,x,mu,logvar"'
WORDS = {"x": "the data", "reconstruction": "its reconstruction", "mu": "μ", "scale": "s"}


def _both(found: Mapping[str, str], a: str, b: str) -> bool:
    return a in found and b in found


def _as_told(function: Callable[..., Any], arguments: str) -> Subject:
    positional: list[str | float] = []
    named: dict[str, float] = {}
    called: dict[str, str] = {}
    for piece in (p.strip() for p in arguments.split(",")):
        name, _, value = piece.rpartition("=")
        what = role(piece)
        try:
            if name:
                named[name] = float(value)
            elif what is None:
                positional.append(float(piece))
        except ValueError:
            raise ValueError(
                f"--arguments has {piece!r}; expected x, reconstruction, mu, logvar (or var, std, "
                "logstd), a number, or NAME=number"
            ) from None
        if not name and what is not None:
            if what in called:
                raise ValueError(f"--arguments names {called[what]!r} and {piece!r}: which is it?")
            positional.append(what)
            called[what] = piece
    if not (_both(called, "x", "reconstruction") or _both(called, "mu", "scale")):
        raise ValueError(
            f"--arguments {arguments!r} has neither x and reconstruction nor mu and logvar"
        )
    return Subject(function, tuple(positional), named, called, ())
