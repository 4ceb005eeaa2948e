r"""Two segments of a two-dimensional latent space: where the decoder strays, and a class's core.

    strayed  through argmax z of d(decode(z)) over the 2-σ ellipse of the codes, d the distance to
             the nearest training example: chosen by what the decoder makes of it, gap or not
    core     through the code, among those in the denser half, that is furthest from any code of
             another class; without labels, through the densest code

A strip of examples is decoded along each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.metrics import nearest
from vaelab.metrics.neighbours import kth_distance

Extent = tuple[float, float, float, float]

DIRECTIONS, ALONG = 24, 9
"""Directions a segment is chosen from, and points along each that are looked at."""

DEVIATIONS, RINGS = 2.0, 40
"""Radius of the ellipse in standard deviations, and rings of points in it."""

CROWD = 20
"""Rank of the neighbour whose distance measures density."""


@dataclass(frozen=True)
class Segment:
    """A stretch of the latent plane.

    Attributes:
        start: (z₁, z₂).
        end: (z₁, z₂).
        distance: from its middle to the nearest code.
        label: the class it lies in; None without labels, and for the strayed one.
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


def strayed(codes: Tensor, distance: Callable[[Tensor], Tensor], least: float) -> Segment:
    """The segment through the point of the codes' ellipse whose decoding is furthest from the data.

    It reaches as far as the nearest code to either side, in the direction that keeps furthest
    from the data.

    Args:
        codes: (N, 2).
        distance: from points (M, 2) to distances (M,) of their decodings from the data.
        least: smallest half of its length, if a code is nearer than that.
    """
    candidates = ellipse_points(codes)
    middle = candidates[distance(candidates).argmax()]
    room = float(nearest(middle[None], codes)[0])
    paths = _paths(middle, max(room, least))
    far = distance(paths.flatten(0, 1)).unflatten(0, paths.shape[:2]).mean(1)
    return _segment(paths[far.argmax()], room)


def ellipse_points(codes: Tensor) -> Tensor:
    """Points (M, 2) spread evenly over the 2-σ ellipse of `codes` (N, 2), its centre first.

    Codes on a line have an ellipse without width, and points on that line.
    """
    rings = [torch.zeros(1, 2)]
    for ring in range(1, RINGS + 1):
        turns = torch.arange(6 * ring) * (2 * math.pi / (6 * ring))
        rings.append(ring / RINGS * torch.stack([turns.cos(), turns.sin()], 1))
    mean = codes.mean(0)
    values, axes = torch.linalg.eigh((codes - mean).T @ (codes - mean) / len(codes))
    return mean + DEVIATIONS * torch.cat(rings) * values.clamp(min=0).sqrt() @ axes.T


def core(codes: Tensor, labels: Tensor | None, length: float) -> Segment:
    """A segment of at most `length` inside one class of `codes` (N, 2)."""
    crowd = kth_distance(codes, codes, min(CROWD, len(codes) - 1), exclude_self=True)
    if labels is None:
        row = int(crowd.argmin())
        return _among(codes[row], length / 2, codes)
    free = torch.full((len(codes),), math.inf)
    for label in labels.unique():
        own = labels == label
        if bool((~own).any()):
            free[own] = nearest(codes[own], codes[~own])[0]
    free[crowd > crowd.median()] = -1.0
    row = int(free.argmax())
    half = min(length / 2, 0.9 * float(free[row]))
    return _among(codes[row], half, codes, int(labels[row]))


def _among(middle: Tensor, half: float, codes: Tensor, label: int | None = None) -> Segment:
    """The segment through a code that keeps nearest to the codes."""
    paths = _paths(middle, half)
    far = nearest(paths.flatten(0, 1), codes)[0].unflatten(0, paths.shape[:2]).mean(1)
    return _segment(paths[far.argmin()], 0.0, label)


def _paths(middle: Tensor, half: float) -> Tensor:
    """Points (DIRECTIONS, ALONG, 2) along segments through `middle`."""
    turns = torch.arange(DIRECTIONS) * math.pi / DIRECTIONS
    ways = half * torch.stack([turns.cos(), turns.sin()], 1)
    return middle + torch.linspace(-1, 1, ALONG)[None, :, None] * ways[:, None, :]


def _segment(path: Tensor, distance: float, label: int | None = None) -> Segment:
    a, b = path[0].tolist(), path[-1].tolist()
    return Segment((a[0], a[1]), (b[0], b[1]), distance, label)
