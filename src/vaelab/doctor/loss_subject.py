"""A foreign loss as a function of planted inputs, with its failures as refusals."""

from __future__ import annotations

import contextlib
import math
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vaelab.core import fork_rng
from vaelab.utils.messages import Message

PATIENCE = 60.0
"""Seconds that a loss may take for a batch of six."""


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
        names = code_of(self.function)[1] if self.globals else {}
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


def code_of(function: Callable[..., Any]) -> tuple[CodeType | None, dict[str, Any]]:
    """The code of a callable and the global variables it sees."""
    found: Any = getattr(function, "__func__", function)
    if not isinstance(found, FunctionType):
        found = getattr(type(found), "forward", vars(type(found)).get("__call__"))
    if not isinstance(found, FunctionType):
        return None, {}
    return found.__code__, found.__globals__


def slopes(value: Tensor, wanted: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """Gradients of a loss's value; None if none arrives.

    Raises:
        Refused: if they cannot be taken.
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
    """End a call that takes longer with a TimeoutError, if the system can."""
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
    """The loss among the values a function returned, and the rule that chose it.

    Raises:
        Refused: if there is no number in it.
    """
    how: str = ""
    if isinstance(returned, Mapping):
        key = next((k for k in returned if "loss" in str(k).lower()), next(iter(returned), None))
        returned, how = (
            returned.get(key),
            Message("part.of-dictionary", "{name!r} of the dictionary it returns", name=key),
        )
    elif isinstance(returned, tuple | list) and returned:
        returned, how = (
            returned[0],
            Message("part.first-of", "the first of {count} values it returns", count=len(returned)),
        )
    if isinstance(returned, int | float):
        returned = torch.tensor(float(returned), dtype=torch.float64)
    if not isinstance(returned, Tensor):
        raise Refused(f"it returned {type(returned).__name__}; a tensor is expected")
    if returned.is_complex() or not returned.numel():
        what = "complex numbers" if returned.is_complex() else "no number"
        raise Refused(f"it returned {what}; a real loss is expected")
    return returned if returned.is_floating_point() else returned.double(), how
