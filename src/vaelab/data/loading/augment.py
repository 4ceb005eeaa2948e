"""Augmentation of photos: random mirror images and shifts, for training batches alone.

flip    left and right exchanged, with probability ½
crop    a window of the full size, up to an eighth of each side off the middle; the pixels beyond
        the border mirror those inside
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vaelab.data.spec import DataSpec

Augment = Literal["none", "flip", "crop", "flip-crop"]

REACH = 8
"""Sides per largest shift of a crop."""


def check_augment(augment: Augment, spec: DataSpec) -> None:
    """Check that data can be augmented.

    Raises:
        ValueError: for data that are no photos: tables, series, black and white pictures.
    """
    if augment == "none" or (spec.is_image and spec.domain != "binary"):
        return
    if spec.is_image:
        reason = "these pictures are black and white only, and no photos"
    else:
        shape = "×".join(map(str, spec.shape))
        kind = "series" if len(spec.shape) > 1 else "table"
        reason = f"a row of this {kind} ({shape}) has no left and right"
    raise ValueError(
        f"augment is {augment!r}, which is for photos, (N, C, H, W): {reason}; leave augment out"
    )


def augmented(x: Tensor, augment: Augment, generator: torch.Generator | None = None) -> Tensor:
    """Images (B, C, H, W) of any dtype, each changed by draws of its own.

    Values are moved, never mixed, so that levels remain levels.

    Args:
        x: (B, C, H, W).
        augment: the changes.
        generator: random source, on the device of x.

    >>> x = torch.arange(6).view(1, 1, 2, 3)
    >>> changed = augmented(x.expand(100, 1, 2, 3), "flip", torch.Generator().manual_seed(0))
    >>> sorted({tuple(row) for row in changed[:, 0, 0].tolist()})
    [(0, 1, 2), (2, 1, 0)]
    """
    if augment == "none":
        return x
    n, _, height, width = x.shape

    def draw(low: int, high: int) -> Tensor:
        return torch.randint(low, high + 1, (n, 1), generator=generator, device=x.device)

    rows = torch.arange(height, device=x.device).expand(n, height)
    columns = torch.arange(width, device=x.device).expand(n, width)
    if "crop" in augment:
        rows = _mirrored(rows + draw(-(height // REACH), height // REACH), height)
        columns = _mirrored(columns + draw(-(width // REACH), width // REACH), width)
    if "flip" in augment:
        columns = torch.where(draw(0, 1) == 1, width - 1 - columns, columns)
    taken = x.gather(2, rows[:, None, :, None].expand_as(x))
    return taken.gather(3, columns[:, None, None, :].expand_as(x))


def _mirrored(places: Tensor, size: int) -> Tensor:
    """Places (N, size) near 0…size − 1, those outside mirrored at the first and the last."""
    return size - 1 - (size - 1 - places.abs()).abs()
