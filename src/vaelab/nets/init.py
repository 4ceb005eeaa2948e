r"""Layers with their initial weights: normal with a variance that preserves the signal, no bias.

    w ~ N(0, 2 g² / fan-in),  b = 0            (He et al., 2015, arXiv:1502.01852; g = 1 by default)

A gain g below 1 is for the first layer of a perceptron, which then starts as a smooth function, and
for the last layer of a network: a decoder starts near the marginal of its data, a residual branch
near 0, and the prior of a level near N(0, I). Outputs that start at 0 are the
log-scales of a posterior, so that its draws start at the scale of the prior.

torch's own initial weights, U(±1/√fan-in), keep a sixth of this variance at every layer: after
three layers hardly anything of x reaches z, and training starts on a plateau.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

INPUT = 0.25
"""Gain of the first layer of an encoder or decoder of vectors: units start in the bend of GELU next
to 0, so that the network starts smooth; at 1 it fits the rows of a small table one by one."""

OUTPUT = 0.05
"""Gain of a decoder's output layer: small next to the scale of the data, with a gradient."""

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)

Marginal = Callable[[Tensor], Tensor]
"""Rows (N, C, …) ↦ parameters (params · C, …) of their marginal distribution."""


def linear(inputs: int, outputs: int, gain: float = 1.0, zeros: Sequence[int] = ()) -> nn.Linear:
    """Build a linear layer (B, inputs) → (B, outputs).

    >>> linear(4, 3, zeros=[2]).weight[2].tolist()
    [0.0, 0.0, 0.0, 0.0]

    Args:
        inputs: number of inputs.
        outputs: number of outputs.
        gain: g, at least 0.
        zeros: outputs that start at 0.
    """
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    return _initialize(layer, inputs, gain, zeros)


def conv(
    inputs: int,
    outputs: int,
    size: int,
    stride: int = 1,
    gain: float = 1.0,
    zeros: Sequence[int] = (),
) -> nn.Conv2d:
    """Build a convolution (B, inputs, H, W) → (B, outputs, ⌈H/stride⌉, ⌈W/stride⌉), zero-padded.

    >>> conv(1, 8, 3, stride=2)(torch.zeros(5, 1, 7, 6)).shape
    torch.Size([5, 8, 4, 3])

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
        size: side of the kernel in pixels, odd.
        stride: distance of neighbouring outputs in pixels.
        gain: g, at least 0.
        zeros: output channels that start at 0.
    """
    layer = nn.utils.skip_init(nn.Conv2d, inputs, outputs, size, stride=stride, padding=size // 2)
    return _initialize(layer, inputs * size**2, gain, zeros)


class LinearOutput(nn.Linear):
    """Output layer of a decoder on vectors, one bias per parameter of the likelihood.

    Args:
        inputs: number of inputs.
        outputs: number of outputs.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        _initialize(self, inputs, OUTPUT)

    def start_at(self, marginal: Marginal, x: Tensor) -> None:
        """Set the bias to the parameters of the marginal of rows x (N, C, …), unless trained."""
        if not self.bias.any():
            self.bias.data.copy_(marginal(x).flatten())


class ConvOutput(nn.Conv2d):
    """Output layer of a decoder on images, 3 × 3, one bias per channel.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        _initialize(self, 9 * inputs, OUTPUT)

    def start_at(self, marginal: Marginal, x: Tensor) -> None:
        """Set the bias to the parameters of the marginal of all pixels of x, unless trained.

        Args:
            marginal: function from rows to the parameters of their marginal.
            x: images (N, C, H, W); each of their pixels is a row (C,).
        """
        assert self.bias is not None
        if not self.bias.any():
            self.bias.data.copy_(marginal(x.movedim(1, -1).flatten(0, -2)))


def _initialize(layer: Layer, fan_in: int, gain: float, zeros: Sequence[int] = ()) -> Layer:
    assert layer.bias is not None
    with torch.no_grad():
        layer.weight.normal_(std=gain * math.sqrt(2 / fan_in))
        layer.weight[list(zeros)] = 0
        layer.bias.zero_()
    return layer
