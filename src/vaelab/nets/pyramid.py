"""A pyramid of images: features at every resolution, and the residual block they are made of.

The block is that of very deep VAEs (2011.10650): 1×1, 3×3, 3×3, 1×1 convolutions through fewer
channels, without normalisation. A sum of N such blocks keeps its spread whatever N is, as the last
convolution of each starts at 1/√N.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from vaelab.nets.conv import PixelMajor
from vaelab.nets.init import conv
from vaelab.nets.shapes import Shape, halvings, image_shape


def bottleneck(
    inputs: int, outputs: int, gain: float = 1.0, zeros: Sequence[int] = ()
) -> nn.Sequential:
    """Images of any size ↦ images of that size, through half as many channels as come in.

    Args:
        inputs: channels.
        outputs: channels.
        gain: gain of the initial weights of the last layer, as in `nets.init`.
        zeros: output channels that start at 0.
    """
    middle = max(1, inputs // 2)
    return nn.Sequential(
        nn.GELU(),
        conv(inputs, middle, 1),
        nn.GELU(),
        conv(middle, middle, 3),
        nn.GELU(),
        conv(middle, middle, 3),
        nn.GELU(),
        conv(middle, outputs, 1, gain=gain, zeros=zeros),
    )


class ResidualBottleneck(nn.Module):
    """h + bottleneck(h).

    Args:
        channels: channels of h.
        gain: as in `bottleneck`; 1/√N for one of N blocks.
    """

    def __init__(self, channels: int, gain: float = 1.0) -> None:
        super().__init__()
        self.net = bottleneck(channels, channels, gain)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.net(h)


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
        arrivals = [conv(image_shape(shape)[0], width, 3)]
        arrivals += [conv(width, width, 3, stride=2) for _ in depths[1:]]
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
        ValueError: if the data are not images, or too small for that many.
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
