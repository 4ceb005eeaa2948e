r"""The FactorVAE score: hold a factor, and see which latent holds still (Kim & Mnih 1802.05983).

    vote:  a factor f, one of its values, 64 points of it;  j = argmin_j Var(z_j) / Var_all(z_j)
    score: how often the factor that j was most often voted for is the one that was held

Latents that never move (variance below 0.05) would win every vote; they are to be left out before.
Points are drawn with replacement from those there are; the table of majorities is made from half
of the votes, and the score from the others. Chance is 1/F.
"""

from __future__ import annotations

import torch
from torch import Tensor

VOTES, BATCH = 800, 64


def factor_vae_score(codes: Tensor, factors: Tensor, generator: torch.Generator) -> float:
    """The score, of codes (N, D) that all vary and factors (N, F), by 800 votes."""
    count, latents = factors.shape[1], codes.shape[1]
    held = torch.randint(count, (2 * VOTES,), generator=generator)
    still = torch.empty_like(held)
    scaled = codes / codes.std(dim=0).clamp(min=1e-300)
    for f in range(count):
        mine = held == f
        rows = _alike(factors[:, f], int(mine.sum()), generator)
        still[mine] = scaled[rows].var(dim=1).argmin(dim=1)
    pairs = torch.bincount(still[:VOTES] * count + held[:VOTES], minlength=latents * count)
    majority = pairs.view(latents, count).argmax(dim=1)
    return float((majority[still[VOTES:]] == held[VOTES:]).double().mean())


def _alike(values: Tensor, votes: int, generator: torch.Generator) -> Tensor:
    """For each vote, 64 points of one value, that of a point at random: (votes, 64)."""
    order = values.argsort(stable=True)
    counts = torch.bincount(values)
    starts = counts.cumsum(0) - counts
    chosen = values[torch.randint(len(values), (votes,), generator=generator)]
    places = torch.rand(votes, BATCH, generator=generator, dtype=torch.float64)
    within = (places * counts[chosen, None]).long()
    return order[starts[chosen, None] + within]
