"""Validation of the metrics' inputs: finite floating-point rows, on any device."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from vaelab.core import Condition


def in_double(x: Tensor) -> Tensor:
    """`x` in float64, for sums that cancel; Apple's GPU has no float64, so its tensors move."""
    return (x.cpu() if x.device.type == "mps" else x).double()


def rows(x: Tensor, name: str, width: int | None = None) -> Tensor:
    """`x` (N, …) as a matrix of finite numbers (N, F).

    Args:
        x: float32 or float64, with the items along the first axis.
        name: what to call it in a message.
        width: the F that is expected, if any.

    Raises:
        TypeError: the numbers are not floating point.
        ValueError: no items, another width, or a number that is not finite.
    """
    if not x.is_floating_point():
        raise TypeError(f"{name} must be float32 or float64, got {x.dtype}; prepare raw data first")
    if x.ndim < 2 or x.shape[0] == 0:
        raise ValueError(f"{name} must be (N, …) with N of at least 1, got {tuple(x.shape)}")
    flat = x.flatten(1)
    if width is not None and flat.shape[1] != width:
        raise ValueError(f"{name} has {flat.shape[1]} features an item, expected {width}")
    if not bool(flat.isfinite().all()):
        raise ValueError(f"{name} has {int((~flat.isfinite()).sum())} numbers that are not finite")
    return flat


def normal(shape: tuple[int, ...], like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal draws made where the generator lives, then brought to `like`."""
    draws = torch.randn(shape, generator=generator, device=generator.device)
    return draws.to(device=like.device, dtype=like.dtype)


def diagonal_normals(mu: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Means and standard deviations (N, D) of diagonal normals, checked, in float64.

    Raises:
        ValueError: the shapes differ, or a standard deviation is negative.
    """
    means, scales = in_double(rows(mu, "mu")), in_double(rows(sigma, "sigma"))
    if means.shape != scales.shape:
        raise ValueError(f"mu {tuple(mu.shape)} and sigma {tuple(sigma.shape)} must be one shape")
    if bool((scales < 0).any()):
        raise ValueError(f"standard deviations cannot be negative; the least is {scales.min():g}")
    return means, scales


def paired(
    batches: Iterable[Tensor], conditions: Iterable[Condition] | None
) -> Iterator[tuple[Tensor, Condition]]:
    """Pair every batch with its condition; an empty one if no conditions are given.

    Raises:
        ValueError: if the numbers of conditions and batches differ.
    """
    if conditions is None:
        return ((x, ()) for x in batches)
    return zip(batches, conditions, strict=True)


def as_it_is(x: Tensor) -> Tensor:
    """`x`: how examples are shown to a feature space that needs no view of them."""
    return x
