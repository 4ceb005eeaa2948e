r"""Landmarks of a two-dimensional latent space: the widest gap among the codes, a class's core.

    gap     argmax over z inside the codes' 2-σ ellipse of d_k(z), k half a percent of the codes:
            where a stray code or two do not make a neighbourhood; with labels, where two
            classes are about as near as each other, so that the strip leads from one to the other;
            none if its middle is as near to a code as codes are to each other
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
from vaelab.metrics.neighbours import k_nearest, kth_distance

Extent = tuple[float, float, float, float]

DIRECTIONS = 24
STRAY = 200
"""One in so many codes may lie in a gap."""

BETWEEN = 1.25
"""A point is between two classes if the further is at most so many times as far."""

SOME = 50
"""One in so many codes of a class may be a stray; its bank begins behind them."""

APART = 0.95
"""Share of the codes that have another within a distance that is no gap."""

CROWD = 20
"""Rank of the neighbour whose distance measures density."""


@dataclass(frozen=True)
class Segment:
    """A stretch of the latent plane.

    Attributes:
        start: (z₁, z₂).
        end: (z₁, z₂).
        distance: from its middle to the nearest code.
        label: label of the class it lies in; None for a gap, and without labels.
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


def gap(codes: Tensor, labels: Tensor | None, extent: Extent, pixels: int = 80) -> Segment | None:
    """The widest gap inside the cloud of `codes` (N, 2): from class to class, or where longest.

    None without a gap: nowhere further from the codes than these are from each other.
    """
    apart = kth_distance(codes, codes, 1, exclude_self=True)
    least = float(apart.sort().values[int(APART * (len(apart) - 1))])
    for kinds in (labels, None):
        found = _widest(codes, kinds, extent, pixels)
        if found.distance > least:
            return found
    return None


def _widest(codes: Tensor, labels: Tensor | None, extent: Extent, pixels: int) -> Segment:
    z = lattice(extent, pixels)
    centred = codes - codes.mean(0)
    shape = centred.T @ centred / len(codes) + 1e-9 * torch.eye(2)
    from_mean = z - codes.mean(0)
    inside = (from_mean @ torch.linalg.inv(shape) * from_mean).sum(1) < 4
    candidates = z[inside] if bool(inside.any()) else z
    banks = None if labels is None else _banks(candidates, codes, labels)
    if banks is not None:
        candidates, *ends = (t[banks[0]] for t in (candidates, banks[1], banks[2]))
    room = kth_distance(candidates, codes, max(1, len(codes) // STRAY))
    widest = int(room.argmax())
    if banks is None:
        middle, half = candidates[widest], float(room[widest])
        return _across(middle, half, codes, float(nearest(middle[None], codes)[0]))
    a, b = (codes[end[widest]] for end in ends)
    distance = float(nearest(((a + b) / 2)[None], codes)[0])
    return Segment((float(a[0]), float(a[1])), (float(b[0]), float(b[1])), distance)


def _banks(z: Tensor, codes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """Points between two classes, with a near code of each; None if there are none."""
    kinds = labels.unique()
    if len(kinds) < 2:
        return None
    distances, rows = [], []
    for kind in kinds:
        own = torch.nonzero(labels == kind)[:, 0]
        far, row = k_nearest(z, codes[own], max(1, len(own) // SOME))
        distances.append(far[:, -1])
        rows.append(own[row[:, -1]])
    near, which = torch.stack(distances, 1).topk(2, 1, largest=False)
    between = near[:, 1] < BETWEEN * near[:, 0]
    first, second = torch.stack(rows, 1).gather(1, which).unbind(1)
    return (between, first, second) if bool(between.any()) else None


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
