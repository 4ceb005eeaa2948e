r"""The pictures that a study decodes: strips, redraws, walks, samples, manifolds, variations.

Nothing is chosen by its looks: rows, pairs and draws come from the seed, the same for all models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaelab.apps import pictures
from vaelab.apps.pictures import Picture
from vaelab.apps.shown import shown, span
from vaelab.apps.understand.ground import Cloud, Ground, decode, encode
from vaelab.apps.understand.places import Segment
from vaelab.data import DataSpec
from vaelab.metrics import active_units, walk
from vaelab.run import Run

DRAWS, STRIP, WALKS, STEPS, VARIATIONS = 9, 9, 6, 9, 8
TEMPERATURES = (0.25, 0.5, 1.0, 2.0)
REACH = 0.98
"""The central share of the prior's quantiles that a manifold spans."""


CELL, MANIFOLD = 56, 560
"""Pixels: the longer side of a cell, and the width of a manifold, about; two go side by side."""


def cells(x: Tensor, spec: DataSpec) -> NDArray[np.float32]:
    """x (N, …) at model scale as pictures take it."""
    return shown(spec.unscale(x), spec)


def strip(run: Run, segment: Segment) -> Picture:
    """Images decoded along a segment of a two-dimensional latent space."""
    return _grid(cells(decode(run, segment.points(STRIP)), run.data), STRIP, run.data)


def redraws(run: Run, ground: Ground, rows: Tensor, draws: Tensor) -> Picture:
    """Inputs, and what is decoded from draws (I, S, L) of each one's z."""
    x = cells(decode(run, draws.flatten(0, 1)), run.data)
    images = x.reshape(*draws.shape[:2], *x.shape[1:])
    return _rows(list(images), cells(ground.held.x[rows], run.data), run.data)


def walks(run: Run, ground: Ground, count: int = WALKS) -> Picture:
    """Straight paths between the codes of held-out pairs, which stand at their ends."""
    pairs = ground.pairs[:count]
    ends = [encode(run, ground.held.x[pairs[:, side]]).mu for side in (0, 1)]
    paths = walk(ends[0], ends[1], STEPS - 1)
    x = cells(decode(run, paths.flatten(0, 1)), run.data)
    return _rows(list(x.reshape(count, STEPS, *x.shape[1:])), None, run.data)


def samples(run: Run, ground: Ground) -> Picture:
    """Decoded draws of the prior, uncurated: the first ones of the seed."""
    n, columns = (64, 8) if run.data.is_image else (12, 1)
    z = torch.randn(n, run.latent, generator=ground.generator(20))
    return _grid(cells(decode(run, z), run.data), columns, run.data)


def manifold(run: Run) -> Picture:
    """The decoded lattice of the prior's quantiles in two dimensions, the largest z₂ on top."""
    side = max(8, min(20, 900 // max(run.data.shape[-2:]))) if run.data.is_image else 4
    u = 0.5 + REACH * (torch.arange(side) / (side - 1) - 0.5)
    q = math.sqrt(2) * torch.erfinv(2 * u - 1)
    z = torch.stack([q.repeat(side), q.flip(0).repeat_interleave(side)], 1)
    x = cells(decode(run, z), run.data)
    return pictures.manifold(x, side, _scale(run.data, MANIFOLD / side))


def variations(run: Run, ground: Ground, row: int, noise: Tensor) -> Picture:
    """One input at the left of each row, then variations; a row for each temperature.

    Args:
        run: of the model.
        ground: with the held-out rows.
        row: the input's.
        noise: standard deviations (L,) at temperature 1.
    """
    x = ground.held.x[row : row + 1]
    mu = encode(run, x).mu
    epsilon = torch.randn(VARIATIONS, run.latent, generator=ground.generator(21))
    made = [cells(decode(run, mu + t * noise * epsilon), run.data) for t in TEMPERATURES]
    return _rows(made, cells(x.expand(len(made), *x.shape[1:]), run.data), run.data)


def noise_like(posterior: Cloud, codes: Cloud) -> tuple[Tensor, float]:
    """Noise for a deterministic encoder, as large against its codes as a posterior is to its own.

    r² = Σ E σ_j² / Σ Var μ_j over the used dimensions of the VAE;   noise_j = r · std(codes_j)

    Args:
        posterior: of the VAE.
        codes: of the autoencoder.

    Returns:
        Standard deviations (L,) and r.
    """
    used = active_units(posterior.mu)
    if not bool(used.any()):  # a VAE that collapsed: all its noise against what is left
        used = torch.ones_like(used)
    noise, spread = posterior.sigma.square().mean(0)[used].sum(), posterior.mu.var(0)[used].sum()
    ratio = float((noise / spread.clamp(min=1e-12)).sqrt())
    return ratio * codes.mu.std(0), ratio


def _scale(spec: DataSpec, cell: float) -> int | None:
    return max(1, round(cell / max(spec.shape[-2:]))) if spec.is_image else None


def _grid(x: NDArray[np.float32], columns: int, spec: DataSpec) -> Picture:
    across = columns if spec.is_image else 1
    return pictures.grid(x, across, _scale(spec, CELL), span=span(spec))


def _rows(
    x: Sequence[NDArray[np.float32]], leads: NDArray[np.float32] | None, spec: DataSpec
) -> Picture:
    return pictures.rows(x, leads, _scale(spec, CELL), span=span(spec))
