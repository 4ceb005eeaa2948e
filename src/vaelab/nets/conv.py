"""Convolutional networks for images of any size and channel count.

Going down, a stride of 2 halves a side, rounding up; going up, the very sizes met on the way down
are restored by nearest-neighbour interpolation and a convolution, which leaves no checkerboard.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from vaelab.nets.init import ConvOutput, conv, linear
from vaelab.nets.shapes import Shape, halvings, image_shape, useful_levels


class PixelMajor(nn.Module):
    """The same images (B, C, H, W) with the channels of a pixel side by side in memory.

    What follows keeps that layout, and convolutions on a processor are twice as fast in it.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.movedim(1, -1).contiguous().movedim(-1, 1)


class Residual(nn.Module):
    """h + conv(gelu(conv(gelu(norm h)))): a pre-activation block that starts as the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # At least four channels a group, so that an image of one pixel is not normalised away.
        groups = math.gcd(8, channels // 4) if channels % 4 == 0 else 1
        self.net = nn.Sequential(
            nn.GroupNorm(groups, channels),
            nn.GELU(),
            conv(channels, channels, 3),
            nn.GELU(),
            conv(channels, channels, 3, gain=0.0),
        )

    def forward(self, h: Tensor) -> Tensor:
        h = h.contiguous()  # for vmap knows no other layout where groups are normalised
        return h + self.net(h)


class UpTo(nn.Module):
    """Interpolate to an exact size, then convolve."""

    def __init__(self, size: tuple[int, int], before: int, after: int) -> None:
        super().__init__()
        self.size = size
        self.conv = conv(before, after, 3)

    def forward(self, h: Tensor) -> Tensor:
        return self.conv(F.interpolate(h, self.size, mode="nearest"))


def plain(channels: int) -> nn.Module:
    """The block after each change of size in the plain network."""
    return nn.GELU()


def residual(channels: int) -> nn.Module:
    """The block after each change of size in the residual network."""
    return nn.Sequential(Residual(channels), Residual(channels), nn.GELU())


Stage = Callable[[int], nn.Module]


def _channels(width: int, levels: int) -> list[int]:
    return [width * min(2**i, 4) for i in range(levels + 1)]


class ConvEncoder(nn.Module):
    """(B, C, H, W) → (B, outputs).

    Args:
        shape: (C, H, W), any size.
        outputs: numbers an image becomes.
        width: channels at full size; they double at each halving, up to four times.
        stage: the block after each change of size, `plain` or `residual`.
        zeros: outputs that start at 0.
    """

    def __init__(
        self,
        shape: Shape,
        outputs: int,
        width: int = 32,
        stage: Stage = plain,
        zeros: Sequence[int] = (),
    ) -> None:
        super().__init__()
        channels_in, height, width_px = image_shape(shape)
        levels = useful_levels(height, width_px)
        channels = _channels(width, levels)
        bottom = halvings(height, width_px, levels)[-1]
        self.layout = PixelMajor()
        layers: list[nn.Module] = [conv(channels_in, width, 3), stage(width)]
        for before, after in pairwise(channels):
            layers += [conv(before, after, 3, stride=2), stage(after)]
        layers += [nn.Flatten(), linear(channels[-1] * math.prod(bottom), outputs, zeros=zeros)]
        self.net = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.layout(x))


class ConvDecoder(nn.Module):
    """(B, inputs) → (B, params · C, H, W): the likelihood's parameters.

    Args:
        inputs: numbers it starts from.
        shape: (C, H, W), any size.
        params: numbers the likelihood needs for one value.
        width: channels at full size.
        stage: the block after each change of size, `plain` or `residual`.
    """

    def __init__(
        self, inputs: int, shape: Shape, params: int = 1, width: int = 32, stage: Stage = plain
    ) -> None:
        super().__init__()
        channels_out, height, width_px = image_shape(shape)
        levels = useful_levels(height, width_px)
        sizes, channels = halvings(height, width_px, levels), _channels(width, levels)
        start = (channels[-1], *sizes[-1])
        layers: list[nn.Module] = [
            linear(inputs, math.prod(start)),
            nn.Sequential(nn.Unflatten(1, start), PixelMajor()),
            stage(channels[-1]),
        ]
        for i in reversed(range(levels)):
            layers += [UpTo(sizes[i], channels[i + 1], channels[i]), stage(channels[i])]
        layers += [ConvOutput(width, params * channels_out)]
        self.net = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z.flatten(1))
