r"""The pictures that a study decodes: strips, redraws, walks, samples, manifolds, variations.

Nothing is chosen by its looks: rows, pairs and draws come from the seed, the same for all models.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaelab.metrics import active_units, interpolation_path
from vaelab.plots import Picture
from vaelab.plots.renderers import find_renderer
from vaelab.runs.run import Run
from vaelab.understand.benchmark import Benchmark, Cloud, encode
from vaelab.understand.landmarks import Segment

DRAWS, PATHS, VARIATIONS = 9, 6, 8
TEMPERATURES = (0.25, 0.5, 1.0, 2.0)
REACH = 0.98
"""The central share of the prior's quantiles that a manifold spans."""


def strip(run: Run, segment: Segment) -> Picture:
    """Examples decoded along a segment of a two-dimensional latent space."""
    how = find_renderer(run.spec)
    return how.interpolations(run.decode(segment.points(how.steps))[None])[0]


def redraws(run: Run, ground: Benchmark, rows: Tensor, draws: Tensor) -> Picture:
    """Inputs, and examples decoded from draws (I, S, L) of each one's z."""
    made = run.decode(draws.flatten(0, 1)).unflatten(0, draws.shape[:2])
    return find_renderer(run.spec).variations(ground.held.raw[rows], made)[0]


def interpolations(run: Run, ground: Benchmark, count: int = PATHS) -> Picture:
    """Straight paths between the codes of held-out pairs, which stand at their ends."""
    how, pairs = find_renderer(run.spec), ground.pairs[:count]
    ends = [encode(run, ground.held.x[pairs[:, side]]).mu for side in (0, 1)]
    paths = interpolation_path(ends[0], ends[1], how.steps - 1)
    made = run.decode(paths.flatten(0, 1)).unflatten(0, paths.shape[:2])
    return how.interpolations(made)[0]


def samples(run: Run, ground: Benchmark) -> Picture:
    """Decoded draws of the prior, uncurated: the first ones of the seed."""
    how = find_renderer(run.spec)
    z = torch.randn(how.new, run.latent, generator=ground.generator(20))
    made = run.decode(z, draw=run.spec.drawn, seed=ground.seed)
    return how.samples(made, ground.train.raw)[0]


def manifold(run: Run) -> Picture:
    """The decoded lattice of the prior's quantiles in two dimensions, the largest z₂ on top."""
    how = find_renderer(run.spec)
    u = 0.5 + REACH * (torch.arange(how.side) / (how.side - 1) - 0.5)
    q = math.sqrt(2) * torch.erfinv(2 * u - 1)
    z = torch.stack([q.repeat(how.side), q.flip(0).repeat_interleave(how.side)], 1)
    return how.lattice(run.decode(z))


def variations(run: Run, ground: Benchmark, row: int, noise: Tensor) -> Picture:
    """One input at the left of each row, then variations; a row for each temperature.

    Args:
        run: run of the model.
        ground: with the held-out rows.
        row: the input's.
        noise: standard deviations (L,) at temperature 1.
    """
    mu = encode(run, ground.held.x[row : row + 1]).mu
    epsilon = torch.randn(VARIATIONS, run.latent, generator=ground.generator(21))
    made = torch.stack([run.decode(mu + t * noise * epsilon) for t in TEMPERATURES])
    raw = ground.held.raw[row : row + 1].expand(len(made), *run.spec.shape)
    return find_renderer(run.spec).variations(raw, made)[0]


def noise_like(posterior: Cloud, codes: Cloud) -> tuple[Tensor, float]:
    """Noise for a deterministic encoder, as large against its codes as a posterior is to its own.

    r² = Σ E σ_j² / Σ Var μ_j over the used dimensions of the VAE;   noise_j = r · std(codes_j)

    Args:
        posterior: posterior of the VAE.
        codes: codes of the autoencoder.

    Returns:
        Standard deviations (L,) and r.
    """
    used = active_units(posterior.mu)
    if not bool(used.any()):  # a VAE that collapsed: all its noise against what is left
        used = torch.ones_like(used)
    noise, spread = posterior.sigma.square().mean(0)[used].sum(), posterior.mu.var(0)[used].sum()
    ratio = float((noise / spread.clamp(min=1e-12)).sqrt())
    return ratio * codes.mu.std(0), ratio
