"""Perceptrons: data of any shape ↦ a vector, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from vaelab.nets.init import INPUT, LinearOutput, linear
from vaelab.nets.shapes import Shape


def perceptron(
    widths: Sequence[int], gain: float = 1.0, zeros: Sequence[int] = (), first: float = 1.0
) -> nn.Sequential:
    """Linear layers of the given widths with GELU between them and none after the last.

    Args:
        widths: widths of input, hidden layers and output.
        gain: gain of the initial weights of the last layer, as in `nets.init`.
        zeros: outputs that start at 0.
        first: gain of the initial weights of the first hidden layer.
    """
    return nn.Sequential(*_hidden(widths[:-1], first), linear(widths[-2], widths[-1], gain, zeros))


def _hidden(widths: Sequence[int], first: float) -> list[nn.Module]:
    """Linear layers of the given widths, each followed by GELU; `first` is the first gain."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [linear(before, after, 1.0 if layers else first), nn.GELU()]
    return layers


class MLPEncoder(nn.Module):
    """(B, *shape) → (B, outputs).

    Args:
        shape: shape of one example.
        outputs: numbers an example becomes.
        hidden: widths of the hidden layers.
        zeros: outputs that start at 0.
    """

    def __init__(
        self,
        shape: Shape,
        outputs: int,
        hidden: Sequence[int] = (512, 512),
        zeros: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.net = perceptron([math.prod(shape), *hidden, outputs], zeros=zeros, first=INPUT)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.flatten(1))


class MLPDecoder(nn.Module):
    """(B, inputs) → (B, params · C, …): the likelihood's parameters for data of `shape` (C, …).

    Args:
        inputs: numbers it starts from.
        shape: shape of one example.
        params: numbers the likelihood needs for one data dimension.
        hidden: widths of the hidden layers, in the encoder's order; they are used reversed.
    """

    def __init__(
        self, inputs: int, shape: Shape, params: int = 1, hidden: Sequence[int] = (512, 512)
    ) -> None:
        super().__init__()
        self.shape = (params * shape[0], *shape[1:])
        widths = [inputs, *reversed(hidden)]
        output = LinearOutput(widths[-1], math.prod(self.shape))
        self.net = nn.Sequential(*_hidden(widths, INPUT), output)

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z.flatten(1)).unflatten(1, self.shape)


class MLPPyramid(nn.Module):
    """(B, *shape) → one vector (B, width) for each level of a hierarchy, the top level first.

    Args:
        shape: shape of one example.
        width: width of every level's evidence.
        levels: how many, at least 1.
    """

    def __init__(self, shape: Shape, width: int, levels: int) -> None:
        super().__init__()
        inputs = [math.prod(shape)] + [width] * (levels - 1)
        self.stages = nn.ModuleList(
            nn.Sequential(perceptron([n, width, width]), nn.GELU()) for n in inputs
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        h, evidence = x.flatten(1), []
        for stage in self.stages:
            h = stage(h)
            evidence.append(h)
        return tuple(reversed(evidence))
