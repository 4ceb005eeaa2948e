"""Convolutional networks that stop at a grid: an image ↦ one vector a cell, and back.

A cell of the grid is a *position*; positions are counted row by row, so that what lies between the
two networks, (B, P, D), has no more to do with images than a sentence has.
"""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn

from vaelab.nets.conv import Stage, UpTo, plain
from vaelab.nets.init import ConvOutput, conv
from vaelab.nets.shapes import Shape, halvings, image_shape


def halvings_for(shape: Shape, positions: int) -> int:
    """Largest number of halvings that leave an image at least so many cells.

    >>> halvings_for((1, 28, 28), 49)
    2

    Raises:
        ValueError: if the data are not images, or have fewer pixels than that.
    """
    _, height, width = image_shape(shape)
    if positions > height * width:
        raise ValueError(
            f"positions is {positions}, but an image of {height} × {width} has only "
            f"{height * width} pixels"
        )
    most = (max(height, width) - 1).bit_length()
    return max(n for n in range(most + 1) if math.prod(halvings(height, width, n)[-1]) >= positions)


class GridEncoder(nn.Module):
    """(B, C, H, W) → (B, h·w, outputs).

    Args:
        shape: (C, H, W), any size.
        outputs: numbers a cell of the grid becomes.
        halvings: halvings of both sides, rounding up, on the way to the grid.
        width: channels at full size; they double at the first halving and stay.
        stage: the block after each change of size, `plain` or `residual`.
    """

    def __init__(
        self, shape: Shape, outputs: int, halvings: int, width: int = 32, stage: Stage = plain
    ) -> None:
        super().__init__()
        channels = [width] + [2 * width] * halvings
        layers: list[nn.Module] = [
            conv(image_shape(shape)[0], width, 3),
            stage(width),
        ]
        for before, after in pairwise(channels):
            layers += [conv(before, after, 3, stride=2), stage(after)]
        layers += [conv(channels[-1], channels[-1], 3), stage(channels[-1])]
        self.net = nn.Sequential(*layers, conv(channels[-1], outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).flatten(2).mT


class GridDecoder(nn.Module):
    """(B, h·w, inputs) → (B, params · C, H, W): the likelihood's parameters.

    Args:
        inputs: numbers of a cell.
        shape: (C, H, W), any size.
        params: numbers the likelihood needs for one value.
        halvings: halvings of both sides, that led to the grid.
        width: channels at full size.
        stage: the block after each change of size, `plain` or `residual`.
    """

    def __init__(
        self,
        inputs: int,
        shape: Shape,
        params: int,
        halvings: int,
        width: int = 32,
        stage: Stage = plain,
    ) -> None:
        super().__init__()
        self.sizes = grids(shape, halvings)
        channels = [width] + [2 * width] * halvings
        layers: list[nn.Module] = [
            conv(inputs, channels[-1], 3),
            stage(channels[-1]),
        ]
        for i in reversed(range(halvings)):
            layers += [UpTo(self.sizes[i], channels[i + 1], channels[i]), stage(channels[i])]
        self.net = nn.Sequential(*layers, ConvOutput(width, params * image_shape(shape)[0]))

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z.mT.unflatten(2, self.sizes[-1]))


def grids(shape: Shape, count: int) -> list[tuple[int, int]]:
    """The sizes met when an image (C, H, W) is halved so often, its own first."""
    _, height, width = image_shape(shape)
    return halvings(height, width, count)
