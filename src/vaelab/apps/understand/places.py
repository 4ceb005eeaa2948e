r"""Where to look in a two-dimensional latent space: the widest gap among the codes, a class's core.

    gap     argmax over z inside the codes' 2-σ ellipse of min_n ‖z − z_n‖
    core    argmax over codes of the distance to the nearest code of another class, among those
            in the denser half; without labels, the densest code

A strip of images is decoded along a segment through each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.metrics import nearest
from vaelab.metrics.neighbours import kth_distance

Extent = tuple[float, float, float, float]

DIRECTIONS = 24
CROWD = 20
"""Which neighbour tells how dense the codes are."""


@dataclass(frozen=True)
class Segment:
    """A stretch of the latent plane.

    Attributes:
        start: (z₁, z₂).
        end: (z₁, z₂).
        distance: from its middle to the nearest code.
        label: of the class it lies in; None for a gap, and without labels.
    """

    start: tuple[float, float]
    end: tuple[float, float]
    distance: float
    label: int | None = None

    def points(self, n: int) -> Tensor:
        """n positions (n, 2) along it, both ends included."""
        a, b = torch.tensor(self.start), torch.tensor(self.end)
        return torch.lerp(a, b, torch.linspace(0, 1, n)[:, None])


def lattice(extent: Extent, pixels: int) -> Tensor:
    """The centres of `pixels` × `pixels` cells of a square, row by row from the smallest z₂."""
    x0, x1, y0, y1 = extent
    steps = (torch.arange(pixels) + 0.5) / pixels
    x, y = x0 + (x1 - x0) * steps, y0 + (y1 - y0) * steps
    return torch.stack([x.repeat(pixels), y.repeat_interleave(pixels)], 1)


def gap(codes: Tensor, extent: Extent, pixels: int = 80) -> Segment:
    """The widest gap inside the cloud of `codes` (N, 2), crossed where it is longest."""
    z = lattice(extent, pixels)
    centred = codes - codes.mean(0)
    shape = centred.T @ centred / len(codes) + 1e-9 * torch.eye(2)
    from_mean = z - codes.mean(0)
    inside = (from_mean @ torch.linalg.inv(shape) * from_mean).sum(1) < 4
    candidates = z[inside] if bool(inside.any()) else z
    distance = nearest(candidates, codes)[0]
    middle, radius = candidates[distance.argmax()], float(distance.max())
    return _across(middle, radius, codes, radius)


def core(codes: Tensor, labels: Tensor | None, length: float) -> Segment:
    """A segment of at most `length` inside one class of `codes` (N, 2)."""
    crowd = kth_distance(codes, codes, min(CROWD, len(codes) - 1), exclude_self=True)
    if labels is None:
        row = int(crowd.argmin())
        return _across(codes[row], length / 2, codes, 0.0, along=False)
    free = torch.full((len(codes),), math.inf)
    for label in labels.unique():
        own = labels == label
        if bool((~own).any()):
            free[own] = nearest(codes[own], codes[~own])[0]
    free[crowd > crowd.median()] = -1.0
    row = int(free.argmax())
    half = min(length / 2, 0.9 * float(free[row]))
    middle = codes[row]
    return _across(middle, half, codes, 0.0, int(labels[row]), along=False)


def _across(
    middle: Tensor,
    half: float,
    codes: Tensor,
    distance: float,
    label: int | None = None,
    along: bool = True,
) -> Segment:
    """The segment through `middle` that keeps furthest from the codes, or nearest to them."""
    turns = torch.arange(DIRECTIONS) * math.pi / DIRECTIONS
    ways = half * torch.stack([turns.cos(), turns.sin()], 1)
    steps = torch.linspace(-1, 1, 9)
    paths = middle + steps[None, :, None] * ways[:, None, :]
    far = nearest(paths.flatten(0, 1), codes)[0].unflatten(0, (DIRECTIONS, -1)).mean(1)
    way = ways[far.argmax() if along else far.argmin()]
    a, b = (middle - way).tolist(), (middle + way).tolist()
    return Segment((a[0], a[1]), (b[0], b[1]), distance, label)
