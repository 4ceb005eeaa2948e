"""Conditional networks: the condition c, (B, C), is concatenated to the input."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vaelab.nets.init import linear
from vaelab.nets.shapes import Shape


class ConcatCondition(nn.Module):
    """(x, c) ↦ net([view(x), spread(c)]), joined along the first axis of an example.

    Args:
        net: network of the joined input.
        view: map of x before the two are joined; identity by default.
        spread: map of the condition to the shape of the input; identity by default.
    """

    def __init__(
        self, net: nn.Module, view: nn.Module | None = None, spread: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.net, self.view = net, view or nn.Identity()
        self.spread = spread or nn.Identity()

    def forward(self, x: Tensor, *condition: Tensor) -> Tensor:
        c = self.spread(require_condition(condition))
        return self.net(torch.cat([self.view(x), c.to(x.dtype)], 1))


class ConditionalRoot(nn.Module):
    """(n, c) ↦ root(n) + Wc: the state above a hierarchy that knows its condition.

    Args:
        root: n ↦ (n, …).
        known: C.
        shape: shape of Wc for one example; an axis of 1 is broadcast along the state's.
    """

    def __init__(self, root: nn.Module, known: int, *shape: int) -> None:
        super().__init__()
        self.root, self.shape = root, shape
        self.embed = linear(known, math.prod(shape))

    def forward(self, n: int, *condition: Tensor) -> Tensor:
        return self.root(n) + self.embed(require_condition(condition)).unflatten(1, self.shape)


class Chain(nn.Sequential):
    """Modules one after another; one of them also takes the condition.

    Args:
        modules: in their order.
        told: index of the module that takes the condition.
    """

    def __init__(self, *modules: nn.Module, told: int = 0) -> None:
        super().__init__(*modules)
        self.told = told

    def forward(self, x: Tensor, *condition: Tensor) -> Tensor:
        for place, module in enumerate(self):
            x = module(x, *condition) if place == self.told else module(x)
        return x


def beside(shape: Shape, known: int) -> tuple[Shape, nn.Module]:
    """The shape of data with its condition beside it, and what spreads the condition.

    A table gains a column for each number that is known; an image one plane, linear in them.

    >>> beside((3, 8, 8), 10)[0], beside((5,), 10)[0]
    ((4, 8, 8), (15,))
    """
    if len(shape) == 1:
        return (shape[0] + known,), nn.Identity()
    plane = (1, *shape[1:])
    spread = nn.Sequential(linear(known, math.prod(plane)), nn.Unflatten(1, plane))
    return (shape[0] + 1, *shape[1:]), spread


def require_condition(condition: tuple[Tensor, ...]) -> Tensor:
    """The condition that must be there.

    Raises:
        ValueError: if it is not.
    """
    if len(condition) != 1:
        raise ValueError(
            "this model is conditional: pass what is known of every example, condition=(c,) with "
            f"c (B, C); {len(condition)} tensors were given"
        )
    return condition[0]
