"""Sizes of images on the way through a network."""

from __future__ import annotations

Shape = tuple[int, ...]


def image_shape(shape: Shape) -> tuple[int, int, int]:
    """(C, H, W), or a clear refusal.

    Raises:
        ValueError: if the data are not images.
    """
    if len(shape) != 3:
        raise ValueError(
            f"a convolutional network needs images (C, H, W); this data has shape {shape}. "
            "Use the perceptron (net mlp)."
        )
    return shape[0], shape[1], shape[2]


def halvings(height: int, width: int, levels: int) -> list[tuple[int, int]]:
    """The sizes met when an image is halved `levels` times, rounding up; any size will do.

    >>> halvings(28, 20, 3)
    [(28, 20), (14, 10), (7, 5), (4, 3)]
    """
    sizes = [(height, width)]
    for _ in range(levels):
        height, width = (height + 1) // 2, (width + 1) // 2
        sizes.append((height, width))
    return sizes


def useful_levels(height: int, width: int, at_most: int = 4) -> int:
    """Number of useful halvings of an image: until its longer side is 4 or less."""
    levels = 0
    while levels < at_most and max(halvings(height, width, levels)[-1]) > 4:
        levels += 1
    return levels
