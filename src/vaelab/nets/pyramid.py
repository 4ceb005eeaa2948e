"""A pyramid of images: features at every resolution, and the residual block they are made of.

The block is that of very deep VAEs (2011.10650): 1×1, 3×3, 3×3, 1×1 convolutions through fewer
channels, without normalisation. Initial weights keep the spread of what they read (1502.01852), and
the last convolution of each of N blocks starts at 1/√N of that, so that so does their sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from vaelab.nets.shapes import Shape, halvings, image_shape


def convolution(
    inputs: int, outputs: int, side: int, gain: float = 1.0, stride: int = 1
) -> nn.Conv2d:
    """A convolution that starts with `gain` times the spread of its input, and without biases.

    Args:
        inputs: channels.
        outputs: channels.
        side: of its window, odd.
        gain: 0 or more.
        stride: what sides are divided by, rounding up.
    """
    conv = nn.Conv2d(inputs, outputs, side, stride, padding=side // 2)
    nn.init.normal_(conv.weight, std=gain / math.sqrt(inputs * side**2))
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


def bottleneck(inputs: int, outputs: int, gain: float = 1.0) -> nn.Sequential:
    """Images of any size ↦ images of that size, through half as many channels as come in.

    Args:
        inputs: channels.
        outputs: channels.
        gain: as in `convolution`.
    """
    middle = max(1, inputs // 2)
    kept = math.sqrt(2)  # about what GELU takes of the spread
    return nn.Sequential(
        nn.GELU(),
        convolution(inputs, middle, 1, kept),
        nn.GELU(),
        convolution(middle, middle, 3, kept),
        nn.GELU(),
        convolution(middle, middle, 3, kept),
        nn.GELU(),
        convolution(middle, outputs, 1, kept * gain),
    )


class ResidualBottleneck(nn.Module):
    """h + bottleneck(h).

    Args:
        channels: of h.
        gain: as in `convolution`; 1/√N for one of N blocks.
    """

    def __init__(self, channels: int, gain: float = 1.0) -> None:
        super().__init__()
        self.net = bottleneck(channels, channels, gain)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.net(h)


class PixelMajor(nn.Module):
    """The same images (B, C, H, W) with the channels of a pixel side by side in memory.

    What follows keeps that layout, and convolutions on a processor are twice as fast in it.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.movedim(1, -1).contiguous().movedim(-1, 1)


class ConvPyramid(nn.Module):
    """(B, C, H, W) → features (B, width, h, w) of every resolution, the coarsest first.

    The finest resolution is the image's own; each coarser one halves both sides, rounding up.

    Args:
        shape: (C, H, W), any size.
        width: channels at every resolution.
        depths: residual blocks at each resolution, the coarsest first.
    """

    def __init__(self, shape: Shape, width: int, depths: Sequence[int]) -> None:
        super().__init__()
        gain = max(1, sum(depths)) ** -0.5
        arrivals = [convolution(image_shape(shape)[0], width, 3)]
        arrivals += [convolution(width, width, 3, stride=2) for _ in depths[1:]]
        self.layout = PixelMajor()
        self.stages = nn.ModuleList(
            nn.Sequential(arrival, *(ResidualBottleneck(width, gain) for _ in range(depth)))
            for arrival, depth in zip(arrivals, reversed(depths), strict=True)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        h, features = self.layout(x), []
        for stage in self.stages:
            h = stage(h)
            features.append(h)
        return tuple(reversed(features))


def resolutions(shape: Shape, count: int) -> list[tuple[int, int]]:
    """The sizes of `count` resolutions of an image, the coarsest first and its own last.

    >>> resolutions((1, 28, 28), 3)
    [(7, 7), (14, 14), (28, 28)]

    Raises:
        ValueError: where the data are not images, or too small for that many.
    """
    _, height, width = image_shape(shape)
    most = (max(height, width) - 1).bit_length() + 1
    if not 1 <= count <= most:
        raise ValueError(
            f"{count} resolutions were asked for, but an image of {height} × {width} has {most}: "
            "its own, and each half of the one before it down to a single pixel. Ask for 1 to "
            f"{most}."
        )
    return halvings(height, width, count - 1)[::-1]
