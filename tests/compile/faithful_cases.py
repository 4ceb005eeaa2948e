"""Functions that decide something outside of their tensors' values, and changes behind their back.

Each case is made twice from one seed: one copy runs as a program, the other as the plain function.
"""

from __future__ import annotations

import ctypes
import itertools
import random
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

X = torch.linspace(-1, 1, 32).view(4, 8)
PICTURES = torch.linspace(-1, 1, 4 * 2 * 6 * 6).view(4, 2, 6, 6)


class Case(NamedTuple):
    """A function, a change after some calls, and the arguments before and after it."""

    function: Callable[..., Tensor]
    change: Callable[[], Any] = lambda: None
    before: tuple[Tensor, ...] = (X,)
    after: Callable[[], tuple[Tensor, ...]] | None = None


CASES: dict[str, Callable[[], Case]] = {}

CLASSIC = ("counter", "random", "data", "format", "frozen", "alias", "eval", "dlpack", "double")
"""The nine kinds, one case each."""


def case(make: Callable[[], Case]) -> Callable[[], Case]:
    CASES[make.__name__.rstrip("_")] = make
    return make


# Python state ---------------------------------------------------------------------------------


class Counter:
    """Warms a weight up by a counter in Python."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.n += 1
        return (x * x).mean() + (0.0 if self.n <= 9 else 1.0) * x.abs().mean()


@case
def counter() -> Case:
    return Case(Counter())


class Net(nn.Module):
    beta = 1.0
    table: ClassVar[list[float]] = [1.0, 2.0]

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.drop = nn.Linear(8, 8), nn.Dropout(0.5)
        self.n, self.scales, self.sign = 0, {"a": 1.0, "b": [1.0, 3.0]}, 1
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.beta * self.scales["a"] * self.scales["b"][1] * self.table[1] * self.sign
        return self.drop(self.layer(x)) * scale


class Counting(Net):
    def forward(self, x: Tensor) -> Tensor:
        self.n += 1
        return x * (1.0 if self.n < 8 else 2.0)


@case
def counter_of_a_module() -> Case:
    return Case(Counting())


def changed(name: str, change: Callable[[Net], Any]) -> None:
    def make() -> Case:
        net = Net()
        return Case(net, lambda: change(net))

    CASES[name] = make


def instance_forward(net: Net) -> None:
    net.forward = lambda x: x * 3.0  # type: ignore[method-assign]


def hooked(net: Net) -> None:
    net.layer.register_forward_hook(lambda module, given, found: found * 2.0)


def pre_hooked(net: Net) -> None:
    net.layer.register_forward_pre_hook(lambda module, given: (given[0] * 2.0,))


def replaced(net: Net) -> None:
    net.layer.weight = nn.Parameter(net.layer.weight.detach() * 2.0, requires_grad=False)


def swapped(net: Net) -> None:
    net.layer = nn.Linear(8, 8)
    net.layer.requires_grad_(False)


def transposed(net: Net) -> None:
    net.layer.weight.data = net.layer.weight.data.t()


def rebound(net: Net) -> None:
    net.layer.weight.data = net.layer.weight.data.clamp(-0.01, 0.01)


for title, change in {
    "attribute": lambda net: setattr(net, "sign", -1),
    "attribute_added": lambda net: setattr(net, "beta", 2.0),
    "dictionary": lambda net: net.scales.update(a=2.0),
    "list_in_a_dictionary": lambda net: net.scales["b"].__setitem__(1, 5.0),
    "type_of_a_number": lambda net: setattr(net, "sign", True),
    "eval": lambda net: net.eval(),
    "eval_of_a_part": lambda net: net.drop.eval(),
    "rate_of_dropout": lambda net: setattr(net.drop, "p", 0.1),
    "forward_of_an_instance": instance_forward,
    "hook": hooked,
    "pre_hook": pre_hooked,
    "parameter_replaced": replaced,
    "module_swapped": swapped,
    "weight_transposed": transposed,
    "weight_rebound": rebound,
    "half": lambda net: net.layer.weight.data.mul_(0.5),
    "from_numpy": lambda net: net.layer.weight.numpy().__imul__(2.0),
    "set_": lambda net: net.layer.weight.set_(torch.ones(8, 8)),
}.items():
    changed(title, change)


@case
def closure() -> Case:
    n = 0

    def function(x: Tensor) -> Tensor:
        nonlocal n
        n += 1
        return x * (1.0 if n < 8 else 2.0)

    return Case(function)


@case
def closure_changed_by_others() -> Case:
    weight = 1.0

    def change() -> None:
        nonlocal weight
        weight = 2.0

    return Case(lambda x: x * weight, change)


STEPS = {"n": 0}


def helper() -> int:
    return STEPS["n"]


@case
def global_through_a_helper() -> Case:
    STEPS["n"] = 1
    return Case(lambda x: x * helper(), lambda: STEPS.update(n=3))


COUNT = 0


def counted(x: Tensor) -> Tensor:
    global COUNT
    COUNT += 1
    return x * (1.0 if COUNT < 8 else 2.0)


@case
def global_counter() -> Case:
    global COUNT
    COUNT = 0
    return Case(counted)


class OfClass:
    n = 0

    def __call__(self, x: Tensor) -> Tensor:
        type(self).n += 1
        return x * (1.0 if type(self).n < 14 else 2.0)


@case
def attribute_of_a_class() -> Case:
    OfClass.n = 0
    return Case(type("Own", (OfClass,), {"n": 0})())


@case
def default_argument() -> Case:
    def function(x: Tensor, kept: list[int] = [0]) -> Tensor:  # noqa: B006
        kept[0] += 1
        return x * (1.0 if kept[0] < 8 else 2.0)

    return Case(function)


@case
def attribute_of_a_function() -> Case:
    def function(x: Tensor) -> Tensor:
        return x * function.scale  # type: ignore[attr-defined]

    function.scale = 1.0  # type: ignore[attr-defined]
    return Case(function, lambda: setattr(function, "scale", 2.0))


@dataclass(slots=True)
class Slotted:
    beta: float = 1.0


@dataclass
class Config:
    inner: Slotted = field(default_factory=Slotted)


@case
def slots_in_a_data_class() -> Case:
    config = Config()
    return Case(lambda x: x * config.inner.beta, lambda: setattr(config.inner, "beta", 2.0))


@case
def object_replaced() -> Case:
    config = Config()
    change = lambda: setattr(config, "inner", Slotted(3.0))  # noqa: E731
    return Case(lambda x: x * config.inner.beta, change)


@case
def weak_reference() -> Case:
    config = Config()
    weak = weakref.ref(config)
    return Case(lambda x: x * weak().inner.beta, lambda: setattr(config.inner, "beta", 2.0))  # type: ignore[union-attr]


class Proxy:
    def __init__(self, config: Config) -> None:
        self._get = lambda: config.inner.beta

    @property
    def beta(self) -> float:
        return self._get()


@case
def property_() -> Case:
    config = Config()
    proxy = Proxy(config)
    return Case(lambda x: x * proxy.beta, lambda: setattr(config.inner, "beta", 2.0))


@case
def keywords_of_a_partial() -> Case:
    function = partial(lambda x, scale: x * scale[0], scale=[1.0])
    return Case(function, lambda: function.keywords["scale"].__setitem__(0, 2.0))


@case
def iterator() -> Case:
    numbers = itertools.count()
    return Case(lambda x: x * (1.0 if next(numbers) < 8 else 2.0))


def numbered() -> Iterator[float]:
    yield from itertools.chain(itertools.repeat(1.0, 8), itertools.repeat(2.0))


@case
def generator() -> Case:
    numbers = numbered()
    return Case(lambda x: x * next(numbers))


@case
def array() -> Case:
    scale = np.ones(1)
    return Case(lambda x: x * float(scale[0]), lambda: scale.fill(2.0))


@case
def attribute_of_a_tensor() -> Case:
    w = torch.ones(8)
    w.scale = 1.0  # type: ignore[attr-defined]
    return Case(lambda x: x * w * w.scale, lambda: setattr(w, "scale", 2.0))  # type: ignore[attr-defined]


@case
def code_of_a_function() -> Case:
    def function(x: Tensor) -> Tensor:
        return x * 1.0

    def other(x: Tensor) -> Tensor:
        return x * 2.0

    return Case(function, lambda: setattr(function, "__code__", other.__code__))


@case
def method_of_a_class() -> Case:
    kind = type("Kind", (Net,), {})
    return Case(kind(), lambda: setattr(kind, "forward", lambda self, x: x * 3.0))


# Chance and time ------------------------------------------------------------------------------


@case
def random_() -> Case:
    return Case(lambda x: x * 2.0 if random.random() < 0.5 else x * 1.0)


@case
def numpy_random() -> Case:
    return Case(lambda x: x * 2.0 if np.random.rand() < 0.5 else x * 1.0)  # noqa: NPY002


@case
def generator_of_its_own() -> Case:
    draws = random.Random(0)
    return Case(lambda x: x * 2.0 if draws.random() < 0.5 else x * 1.0)


@case
def numpy_generator() -> Case:
    draws = np.random.default_rng(0)
    return Case(lambda x: x * 2.0 if draws.random() < 0.5 else x * 1.0)


@case
def clock() -> Case:
    end = time.perf_counter() + 0.4
    sleep = time.sleep
    return Case(lambda x: x * 1.0 if perf_counter() < end else x * 2.0, lambda: sleep(0.45))


@case
def clock_imported_inside() -> Case:
    def function(x: Tensor) -> Tensor:
        import time as watch

        return x * 1.0 if watch.perf_counter() < end else x * 2.0

    end = time.perf_counter() + 0.4
    return Case(function, lambda: time.sleep(0.45))


@case
def seeded_inside() -> Case:
    def function(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return x + torch.randn_like(x)

    return Case(function)


# Memory -----------------------------------------------------------------------------------------


def low_precision(change: Callable[[Tensor], Any]) -> Case:
    w = torch.linspace(-1, 1, 64).view(8, 8)

    def step(x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            y = x @ w
        w.copy_(w - 0.01 * x.T @ x)
        return y.float()

    return Case(step, lambda: change(w))


@case
def data() -> Case:
    return low_precision(lambda w: w.data.clamp_(-0.01, 0.01))


@case
def data_by_numpy() -> Case:
    return low_precision(lambda w: np.clip(w.numpy(), -0.01, 0.01, out=w.numpy()))


@case
def data_by_an_alias() -> Case:
    return low_precision(lambda w: torch.from_dlpack(w).mul_(-1))


@case
def data_in_a_step() -> Case:
    w = torch.linspace(-1, 1, 64).view(8, 8)

    def step(x: Tensor) -> Tensor:
        y = x @ w
        w.copy_(w - 0.01 * x.T @ x)
        w.data.clamp_(-0.01, 0.01)
        return y

    return Case(step)


def conv() -> nn.Conv2d:
    return nn.Conv2d(2, 3, 3).requires_grad_(False)


@case
def format_() -> Case:
    layer = conv()
    return Case(
        lambda x: layer(x).mean((0, 2, 3)),
        lambda: layer.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        (PICTURES,),
    )


@case
def format_of_the_input() -> Case:
    layer = conv()
    other = PICTURES.to(memory_format=torch.channels_last)
    return Case(lambda x: layer(x).mean((0, 2, 3)), before=(PICTURES,), after=lambda: (other,))


def sgd(w: list[nn.Parameter], x: Tensor) -> Tensor:
    loss = ((x * w[0] + w[1]) ** 2).mean()
    learning = [p for p in w if p.requires_grad]
    with torch.no_grad():
        for p, g in zip(learning, torch.autograd.grad(loss, learning), strict=True):
            p.sub_(0.1 * g)
    return torch.cat([p.detach() for p in w])


def pair() -> list[nn.Parameter]:
    return [nn.Parameter(torch.linspace(-1, 1, 8)), nn.Parameter(torch.linspace(0, 1, 8))]


@case
def frozen() -> Case:
    w = pair()
    return Case(partial(sgd, w), lambda: w[0].requires_grad_(False))


@case
def thawed() -> Case:
    w = pair()
    w[0].requires_grad_(False)
    return Case(partial(sgd, w), lambda: w[0].requires_grad_())


@case
def hook_of_a_tensor() -> Case:
    w = pair()
    return Case(partial(sgd, w), lambda: w[0].register_hook(lambda g: g * 2.0))


@case
def accumulated_gradient() -> Case:
    w = pair()

    def step(x: Tensor) -> Tensor:
        ((x * w[0] + w[1]) ** 2).mean().backward()
        return torch.cat([p.grad + 0 for p in w if p.grad is not None])

    return Case(step)


@case
def optimizer_with_a_schedule() -> Case:
    w = pair()
    optimizer = torch.optim.SGD(w, 0.1)

    def step(x: Tensor) -> Tensor:
        optimizer.zero_grad()
        ((x * w[0] + w[1]) ** 2).mean().backward()
        optimizer.step()
        return torch.cat([p.detach() for p in w])

    def change() -> None:
        optimizer.param_groups[0]["lr"] = 0.01

    return Case(step, change)


def growing(buffer: Tensor, x: Tensor) -> Tensor:
    buffer.add_(1.0)
    return x * 2.0


@case
def alias() -> Case:
    buffer = torch.zeros(8, 8)
    return Case(partial(growing, buffer), after=lambda: (buffer[:4],))


@case
def alias_from_the_start() -> Case:
    buffer = torch.zeros(8, 8)
    return Case(partial(growing, buffer), before=(buffer[:4],))


@case
def overlapping_inputs() -> Case:
    def function(x: Tensor, y: Tensor) -> Tensor:
        y.add_(1.0)
        return x * 2.0

    rows = torch.zeros(6, 8)
    return Case(function, before=(X.clone(), X + 1), after=lambda: (rows[:4], rows[2:]))


@case
def tensors_joined_later() -> Case:
    a, b = torch.zeros(4, 8), torch.ones(4, 8)

    def function(x: Tensor) -> Tensor:
        a.add_(1.0)
        return b * x

    def change() -> None:
        b.data = a.data

    return Case(function, change)


@case
def view_of_an_input() -> Case:
    return Case(lambda x: x[1:])


@case
def double() -> Case:
    layer = nn.Linear(8, 8)
    return Case(lambda x: layer(x.to(layer.weight.dtype)).detach().float(), lambda: layer.double())


@case
def double_with_a_gradient() -> Case:
    layer = nn.Linear(8, 8)
    return Case(lambda x: layer(x.to(layer.weight.dtype)).float(), lambda: layer.double())


@case
def normalised() -> Case:
    layer = nn.BatchNorm1d(8).requires_grad_(False)
    return Case(layer, lambda: layer.eval())


# Values that leave ------------------------------------------------------------------------------


def leaving(name: str, read: Callable[[Tensor], float]) -> None:
    def make() -> Case:
        scale = torch.tensor([2.0])
        return Case(lambda x: read(scale) * x, lambda: scale.fill_(5.0))

    CASES[name] = make


for title, read in {
    "dlpack": lambda t: float(np.from_dlpack(t)[0]),
    "capsule": lambda t: float(torch.from_dlpack(torch.utils.dlpack.to_dlpack(t))[0]),
    "numpy": lambda t: float(t.numpy()[0]),
    "storage": lambda t: float(t.untyped_storage()[3]),
    "pointer": lambda t: ctypes.c_float.from_address(t.data_ptr()).value,
    "tolist": lambda t: t.tolist()[0],
    "item": lambda t: t.item(),
    "text": lambda t: float(f"{t[0]:.3f}"),
    "bytes": lambda t: float(np.frombuffer(bytes(t.view(torch.uint8)), np.float32)[0]),
    "equal": lambda t: 1.0 if torch.equal(t, torch.tensor([2.0])) else 2.0,
}.items():
    leaving(title, read)


@case
def array_that_shares_memory() -> Case:
    scale = torch.tensor([2.0])
    seen = scale.numpy()
    return Case(lambda x: float(seen[0]) * x, lambda: scale.fill_(5.0))
