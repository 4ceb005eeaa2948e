r"""White shapes on black whose every factor of variation is known: the grid of dSprites.

    number = (((shape · 6 + scale) · 40 + orientation) · 32 + x) · 32 + y

3 shapes × 6 scales × 40 orientations × 32 × 32 positions = 737,280 images of 64×64 pixels, each 0
or 1, numbered as in dSprites (Matthey et al. 2017). Here they are drawn afresh, when they are asked
for: a position is a whole pixel, so that every image is a window on one of 720 shapes in a black
field, and 6.5 MB hold the whole grid. As in dSprites, the first and the last orientation, 0 and 2π,
look the same, and near quarter turns of a small square may.

The pictures are not the published ones pixel by pixel; `dsprites` reads those from their file.
"""

from functools import cache
from pathlib import Path
from typing import Final, cast, final

import numpy as np
import torch
from torch import Tensor

from vaelab.data.archive import Archive
from vaelab.data.loading.mapped_rows import Array, Rows
from vaelab.data.splits import Factors, SourceData

SHAPES = ("square", "ellipse", "heart")
NAMES = ("shape", "scale", "orientation", "position x", "position y")
ORDERED = (False, True, True, True, True)
SIZES = (3, 6, 40, 32, 32)
COUNT = 737_280
SIDE = 64
SCALES: Final = np.linspace(0.5, 1, 6)
ORIENTATIONS: Final = np.linspace(0, 2 * np.pi, 40)

SOME, HELD = 50_000, 10_000
"""Rows of `sprites`, drawn from the grid once for all, and how many of them are its test part."""

# A shape in every orientation lies in 33 × 33 pixels, which 32 positions move across 64.
_REACH, _STEPS = 16, 32


def factors(numbers: Tensor) -> Tensor:
    """The factors of the images of those numbers (N,): class indices (N, 5), int64.

    >>> factors(torch.tensor([0, 737_279])).tolist()
    [[0, 0, 0, 0, 0], [2, 5, 39, 31, 31]]
    """
    return torch.from_numpy(np.stack(np.unravel_index(numbers.numpy(), SIZES), axis=1))


def numbers(factors: Tensor) -> Tensor:
    """The numbers (N,) of the images of those factors, class indices (N, 5).

    Raises:
        ValueError: if an index is not on the grid.
    """
    return torch.from_numpy(np.ravel_multi_index(tuple(factors.numpy().T), SIZES))


def render(numbers: Tensor) -> Tensor:
    """The images of those numbers (N,): (N, 1, 64, 64), uint8, each pixel 0 or 1."""
    return torch.from_numpy(_Grid()[numbers.numpy()])


def sprites(folder: Path) -> SourceData:
    """50,000 images at random from the grid, always the same, 10,000 of them its test part.

    Nothing is read from `folder`.
    """
    chosen = torch.randperm(COUNT, generator=torch.Generator().manual_seed(0))[:SOME]
    return _found(chosen, (SOME - HELD, 0, HELD))


def all_sprites(folder: Path) -> SourceData:
    """The whole grid, rendered as it is used; nothing is read from `folder`."""
    return _found(torch.arange(COUNT), (COUNT, 0, 0))


def is_dsprites(path: Path) -> bool:
    """Return True if an array file holds the published data set, or rows of it."""
    try:
        return {"imgs", "latents_classes"} <= set(Archive(path))
    except ValueError:  # what is wrong with a file is for its reader to say
        return False


def dsprites(path: Path) -> SourceData:
    """The published file, `dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz`, or rows of it.

    Its pickled entry, `metadata`, is left unread. The images take 3 GB of memory.

    Raises:
        ValueError: if the arrays are not what they should be.
    """
    file = Archive(path)
    images, table = file["imgs"], file["latents_classes"]
    if images.shape[1:] != (SIDE, SIDE) or table.shape != (len(images), 1 + len(SIZES)):
        raise ValueError(
            f"{path} holds imgs {images.shape} and latents_classes {table.shape}; expected "
            "(N, 64, 64) and (N, 6): colour, shape, scale, orientation, position x and y"
        )
    if images.dtype != np.uint8 or table.dtype.kind not in "iu":
        raise ValueError(
            f"{path} holds imgs of {images.dtype} and latents_classes of {table.dtype}; expected "
            "bytes and whole numbers"
        )
    if not len(images) or not ((table[:, 1:] >= 0) & (table[:, 1:] < SIZES)).all():
        raise ValueError(
            f"{path} holds latents_classes beyond the grid; expected {', '.join(NAMES)} from 0 to "
            f"below {SIZES}"
        )
    values = torch.from_numpy(table[:, 1:].astype(np.int64))  # there is one colour
    x = Rows(images[:, None], images.dtype)
    known = Factors(NAMES, ORDERED, values)
    return SourceData(x, values[:, 0], (len(images), 0, 0), SHAPES, factors=known)


def _found(chosen: Tensor, own: tuple[int, int, int]) -> SourceData:
    values = factors(chosen)
    # Of an array, `Rows` asks no more than a grid answers.
    x = Rows(cast(Array, _Grid()), _Grid.dtype, chosen.numpy())
    return SourceData(x, values[:, 0], own, SHAPES, factors=Factors(NAMES, ORDERED, values))


@final
class _Grid:
    """All images, (737280, 1, 64, 64), as an array that is rendered on access."""

    shape = (COUNT, 1, SIDE, SIDE)
    ndim = len(shape)
    dtype = np.dtype(np.uint8)
    nbytes = COUNT * SIDE * SIDE

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, which: slice | Array) -> Array:
        chosen = np.arange(COUNT)[which]
        kind, x, y = np.unravel_index(chosen, (COUNT // _STEPS**2, _STEPS, _STEPS))
        last = _STEPS - 1  # the further the window to the left, the further the shape to the right
        return cast(Array, _windows()[kind, last - y, last - x][:, None])


@cache
def _windows() -> Array:
    """A view of every image, (720, 32, 32, 64, 64): shape, then the window's row and column."""
    masks = _masks()
    margin = (SIDE + _STEPS - 1 - masks.shape[-1]) // 2
    fields = np.pad(masks, ((0, 0), (margin, margin), (margin, margin)))
    return np.lib.stride_tricks.sliding_window_view(fields, (SIDE, SIDE), axis=(1, 2))


def _masks() -> Array:
    """The shapes in every scale and orientation, (720, 33, 33), uint8: 1 where a pixel's centre is
    inside.

    A heart is the inside of (u² + v² − 1)³ = u² v³.
    """
    pixels = np.arange(-_REACH, _REACH + 1.0)
    right, up = pixels[None, :], -pixels[:, None]
    # 2π is 0: its sine in floating point is not.
    angles = np.where(2 * np.pi > ORIENTATIONS, ORIENTATIONS, 0.0)
    turn, size = angles[:, None, None], SCALES[:, None, None, None]
    u = (np.cos(turn) * right + np.sin(turn) * up) / size
    v = (np.cos(turn) * up - np.sin(turn) * right) / size
    square = np.maximum(abs(u), abs(v)) <= 10.9
    ellipse = (u / 7.7) ** 2 + (v / 15.4) ** 2 <= 1
    p, q = u / 12.6, v / 12.6 + 0.1
    heart = (p**2 + q**2 - 1) ** 3 <= p**2 * q**3
    return np.stack([square, ellipse, heart]).reshape(-1, len(pixels), len(pixels)).astype(np.uint8)
