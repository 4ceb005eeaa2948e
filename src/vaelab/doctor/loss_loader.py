"""A foreign loss: load it from its file and find the role of each argument.

Loading the file executes it, as `python FILE.py` would. This happens only because the user named
the file on the command line; no run, data set or other file ever leads to it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import math
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vaelab.core import fork_rng
from vaelab.utils.text import did_you_mean

PATIENCE = 60.0
"""Seconds that a loss may take for a batch of six."""

ROLES = ("x", "reconstruction", "mu", "scale", "noise")

NAMES: dict[str, str] = {
    "noise": r"^(x|px|dec|out|obs|recon|rec|noise|likelihood)\w*(logv|logs|lv$|var|std|sigma|scale)"
    r"|^(log)?(var|v|std|sigma|sig|sd|scale)(x|px|dec|out|obs|recon|rec|noise|likelihood)$"
    r"|^(log)?(noise|gamma)$",
    "reconstruction": r"recon|rec$|^rec|[xy]hat$|^out|output|decoded|pred|logit|prime|tilde|fake"
    r"|^(x|px|dec)(mu|mean|means|loc)$|^(mu|mean|loc)(x|px|dec)$",
    "mu": r"^(z|q|latent)*(mu|mean|means|loc|m)(z|s|q)?$",
    "scale": r"log(var|v$|sig|std|sd|scale|s2)|^lv$|var|std|sigma|^sd$|scale$|^rho$",
    "x": r"^x|input|target|data|orig|ima?ge?s?$|batch|true|^y$|features|labels",
}
"""Tried in this order, on names in small letters without underscores."""

WEIGHTS = r"beta|weight|lambda|lamb|alpha|gamma|^w$|^kld?w|coef"
"""Names of a number that weighs a term; 1 unless the signature or the user says otherwise."""

KINDS: dict[str, tuple[tuple[str, ...], str]] = {
    "raw|^pre|unconstrained|^rho$": ((), ""),
    "log.*(var|s2|sigma2|sq|v$)|^lv$": (("logvar",), "log-variance"),
    "log.*(sig|scale)": (("logvar", "logstd"), "log-variance or log standard deviation"),
    "log.*(std|sd)": (("logstd",), "log standard deviation"),
    "var|sigma2|sq": (("var",), "variance"),
    "std|sigma|sd": (("std",), "standard deviation"),
}
"""Meaning of s by its name; an unclear name has none."""


@dataclass(frozen=True)
class ProbeInputs:
    """Inputs of a loss: x, its reconstruction and the noise (B, …), mu and scale (B, L)."""

    x: Tensor
    reconstruction: Tensor
    mu: Tensor
    scale: Tensor
    noise: Tensor

    def mapped(self, change: Callable[[Tensor], Tensor]) -> ProbeInputs:
        """The same change made to all of them."""
        return ProbeInputs(*(change(getattr(self, f.name)) for f in fields(self)))


class Refused(ValueError):
    """A loss that raises for inputs it should take; the message is its own."""


class Knob(NamedTuple):
    """A number that a loss uses: a parameter with a default, or a global variable of its file."""

    name: str
    value: float
    is_global: bool = False


NODES = ((0.0, 2 / 3), (math.sqrt(3), 1 / 6), (-math.sqrt(3), 1 / 6))
"""Nodes and weights of Gauss-Hermite quadrature: exact for noise up to its fifth power."""


class _PlantedNoise(TorchDispatchMode):
    """Normal draws return one value, so that an expectation can be taken by quadrature."""

    def __init__(self, node: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.node = node

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = func.overloadpacket.__name__, kwargs or {}
        made = func(*args, **kwargs)
        if name in ("randn", "randn_like"):
            return torch.full_like(made, self.node)
        if name in ("normal", "normal_functional", "normal_"):
            first = args[1:] if name != "normal" else args
            mean = first[0] if first else kwargs.get("mean", 0.0)
            std = first[1] if len(first) > 1 else kwargs.get("std", 1.0)
            value = (mean + self.node * std) * torch.ones_like(made)
            return args[0].copy_(value) if name == "normal_" else value
        return made


@dataclass(frozen=True)
class Subject:
    """A loss and the roles of its arguments.

    Attributes:
        function: the loss.
        positional: in order, a role of `ROLES` or a constant.
        named: constants by name.
        called: the user's own name for each role.
        assumed: assumptions, in words.
        knobs: numbers that it uses.
        one_noise: the noise is one number for all.
        globals: values of global variables that differ from those of the file.
        parameters: names of the positional parameters; empty if they are unknown.
        noise: the scale of the likelihood, if it is a parameter of a module or a global variable.
    """

    function: Callable[..., Any]
    positional: tuple[str | float, ...]
    named: Mapping[str, float]
    called: Mapping[str, str]
    assumed: tuple[str, ...]
    knobs: tuple[Knob, ...] = ()
    one_noise: bool = False
    globals: Mapping[str, float] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()
    noise: Tensor | None = None

    def has(self, *roles: str) -> bool:
        """True if all of these are among its arguments."""
        return all(role in self.called for role in roles)

    def with_one_noise(self) -> Subject:
        """The same loss, given one number as the scale of the likelihood."""
        return replace(self, one_noise=True)

    def turned(self, knob: Knob, value: float) -> Subject:
        """The same loss with another value of one of its numbers."""
        if knob.is_global:
            return replace(self, globals={**self.globals, knob.name: value})
        place = self.parameters.index(knob.name) if knob.name in self.parameters else math.inf
        if place < len(self.positional):
            changed = (value if i == place else a for i, a in enumerate(self.positional))
            return replace(self, positional=tuple(changed))
        return replace(self, named={**self.named, knob.name: value})

    def raw(self, planted: ProbeInputs, seed: int = 0, node: float | None = None) -> Any:
        """The value it returns for copies of planted inputs, with noise that a seed decides.

        Args:
            planted: inputs.
            seed: seed of all draws.
            node: value of every normal draw, in standard deviations; None draws.

        Raises:
            Refused: if it raises, ends the program, or takes longer than `PATIENCE`.
        """
        own = planted.mapped(torch.clone)
        if self.one_noise:
            own = replace(own, noise=own.noise.flatten()[0])
        given = [getattr(own, a) if isinstance(a, str) else a for a in self.positional]
        noise = contextlib.nullcontext() if node is None else _PlantedNoise(node)
        try:
            with (
                fork_rng(seed),
                timed(PATIENCE),
                self._set_globals(),
                self._set_noise(own.noise),
                noise,
            ):
                return self.function(*given, **self.named)
        except (Exception, SystemExit) as error:
            raise Refused(f"{type(error).__name__}: {error}") from None

    @contextlib.contextmanager
    def _set_globals(self) -> Iterator[None]:
        names = _code_of(self.function)[1] if self.globals else {}
        before = {name: names[name] for name in self.globals}
        names.update(self.globals)
        try:
            yield
        finally:
            names.update(before)

    @contextlib.contextmanager
    def _set_noise(self, value: Tensor) -> Iterator[None]:
        before = None if self.noise is None else self.noise.detach().clone()
        if self.noise is not None:
            self.noise.data.fill_(float(value.detach().flatten()[0]))
        try:
            yield
        finally:
            if self.noise is not None and before is not None:
                self.noise.data.copy_(before)

    def __call__(self, planted: ProbeInputs, seed: int = 0, node: float | None = None) -> Tensor:
        """The value as a scalar: per example it is averaged, per element summed first.

        Raises:
            Refused: if it raises, or returns no number.
        """
        found = chosen(self.raw(planted, seed, node))[0]
        return (
            found
            if found.ndim == 0
            else found.flatten(1).sum(1).mean()
            if (found.ndim > 1)
            else found.mean()
        )


def _code_of(function: Callable[..., Any]) -> tuple[CodeType | None, dict[str, Any]]:
    """The code of a callable and the global variables it sees."""
    found: Any = getattr(function, "__func__", function)
    if not isinstance(found, FunctionType):
        found = getattr(type(found), "forward", vars(type(found)).get("__call__"))
    if not isinstance(found, FunctionType):
        return None, {}
    return found.__code__, found.__globals__


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
    code, names = _code_of(function)
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


def load_loss(named: str | Callable[..., Any], arguments: str | None = None) -> Subject:
    """Loads FILE.py:function and finds out what its arguments are.

    Args:
        named: the file and the function; a class's own function is Class.function.
        arguments: the roles in the order of the parameters, x, reconstruction, mu, logvar (or var,
            std, logstd), numbers for others, NAME=number for parameters by name.

    Raises:
        FileNotFoundError: where there is no such file.
        ValueError: where the file or the function cannot be used.
    """
    if isinstance(named, str):
        file, _, name = named.rpartition(":")
        function = _function(Path(file), name)
    else:
        function, name = named, getattr(named, "__name__", repr(named))
    subject = _by_names(function, name) if arguments is None else _as_told(function, arguments)
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
        parameters = list(inspect.signature(_called(function)).parameters.values())
    except (TypeError, ValueError):
        raise ValueError(f"the signature of {name} cannot be read; {TELL}") from None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        raise ValueError(f"{name} takes any arguments (*{parameters[0].name}); {TELL}")
    plain = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p.name for p in plain if p.default is p.empty]
    found: dict[str, str] = {}
    for parameter in required:
        what = role(parameter)
        if what == "noise" and "scale" not in found and not _another_scale(required, parameter):
            what = "scale"
        elif what == "scale" and "scale" in found:
            what = "noise"
        if what is not None and what not in found:
            found[what] = parameter
    weights = [p for p in required if p not in found.values() and re.search(WEIGHTS, p.lower())]
    needed = [p for p in required if p not in weights]
    unknown = [p for p in needed if p not in found.values()]
    missing = [r for r in ROLES[:4] if r not in found]
    if len(needed) == 4 and len(unknown) == len(missing) and len(unknown) != 1 and unknown:
        found = dict(zip(ROLES, needed, strict=False))
    elif len(unknown) == len(missing) == 1:
        found[missing[0]] = unknown[0]
    elif unknown or not (_both(found, "x", "reconstruction") or _both(found, "mu", "scale")):
        listing = ", ".join(required) or "none"
        raise ValueError(
            f"which of the arguments of {name} ({listing}) is x, the reconstruction, mu and logvar "
            f"cannot be inferred from their names; {TELL}"
        )
    roles = {parameter: what for what, parameter in found.items()}
    said = ", ".join(f"{p} is {WORDS[roles[p]]}" for p in needed)
    assumed = (f"arguments: {said}", *(f"{p} is taken as 1" for p in weights))
    positional = tuple(roles.get(p, 1.0) for p in required)
    return Subject(function, positional, {}, found, assumed)


def _called(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with the parameters: a module's own `forward`."""
    return function.forward if isinstance(function, torch.nn.Module) else function


def _another_scale(names: Sequence[str], but: str) -> bool:
    return any(role(name) in ("scale", "noise") for name in names if name != but)


def _with_knobs(subject: Subject) -> Subject:
    """The numbers that a loss uses: defaults, values of parameters, global variables."""
    try:
        parameters = list(inspect.signature(_called(subject.function)).parameters.values())
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


TELL = 'say it with --arguments, in their order, as in --arguments "reconstruction,x,mu,logvar"'
WORDS = {
    "x": "the data",
    "reconstruction": "its reconstruction",
    "mu": "μ",
    "scale": "s",
    "noise": "σ of the likelihood",
}


def _both(found: Mapping[str, str], a: str, b: str) -> bool:
    return a in found and b in found


def _as_told(function: Callable[..., Any], arguments: str) -> Subject:
    positional: list[str | float] = []
    named: dict[str, float] = {}
    called: dict[str, str] = {}
    for piece in (p.strip() for p in arguments.split(",")):
        name, _, value = piece.rpartition("=")
        what = role(piece)
        if what == "scale" and "scale" in called:
            what = "noise"
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
