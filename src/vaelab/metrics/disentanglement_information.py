r"""Mutual information of latents and factors in nats, and the metrics computed from that table.

    I_jf = Σ_{b,v} p(b, v) log p(b, v) / (p(b) p(v))    z_j in 20 equal bins b, factor f's values v

    MIG         mean over f of (I_top,f − I_second,f) / H(v_f)                       1802.04942
    modularity  mean over j of 1 − Σ_{f ≠ top} I_jf² / (I_j,top² (F − 1))             1802.05312
    InfoM       (mean over j of max_f N_jf / Σ_f N_jf − 1/F) / (1 − 1/F)              2305.18378
    InfoC       (mean over f of max_j N_jf / Σ_j N_jf − 1/D) / (1 − 1/D),  N_jf = I_jf / H(v_f)

Counted from N points, I is above its true value by about (bins − 1)(values − 1) / 2N nats, more for
factors of many values: an uninformative latent would look like a module of such a factor. So
modularity, InfoM and InfoC subtract the information on shuffled factors, and leave out latents that
have clearly more than that on no factor. (2305.18378 itself estimates I from neighbours.)

MIG is computed from the uncorrected table, and a latent in 20 bins cannot resolve a factor of 40
values: a perfect one reaches 0.8.
"""

from __future__ import annotations

import torch
from torch import Tensor

BINS = 20
SHUFFLES, SIGMAS = 10, 5
"""A latent is informative if I exceeds that of shuffles by this many standard deviations."""


def binned(codes: Tensor) -> Tensor:
    """Codes (N, D) in 20 bins of equal width from the least to the largest: (N, D), int64."""
    low, high = codes.aminmax(dim=0)
    width = (high - low).clamp(min=torch.finfo(codes.dtype).tiny)
    return ((codes - low) / width * BINS).long().clamp(max=BINS - 1)


def mutual_information(bins: Tensor, factors: Tensor) -> Tensor:
    """I_jf in nats, (D, F), of bins (N, D) and factors (N, F), class indices from 0."""
    n, d = bins.shape
    latent = torch.arange(d, device=bins.device) * BINS
    table = []
    for values in factors.unbind(dim=1):
        count = int(values.max()) + 1
        cells = ((bins + latent) * count + values[:, None]).flatten()
        joint = torch.bincount(cells, minlength=d * BINS * count).double() / n
        p = joint.view(d, BINS, count)
        independent = p.sum(dim=2, keepdim=True) * p.sum(dim=1, keepdim=True)
        ratio = torch.where(p > 0, p / independent, 1.0)
        table.append((p * ratio.log()).sum(dim=(1, 2)))
    return torch.stack(table, dim=1)


def entropies(factors: Tensor) -> Tensor:
    """H(v_f) in nats, (F,), of factors (N, F)."""
    shares = [torch.bincount(values).double() / len(values) for values in factors.unbind(dim=1)]
    return torch.stack([torch.special.entr(p).sum() for p in shares])


def beyond_chance(bins: Tensor, factors: Tensor, generator: torch.Generator) -> Tensor:
    """Mutual information in excess of that with shuffled factors, in nats: (D, F).

    The row of an uninformative latent is 0.
    """
    draws = []
    for _ in range(SHUFFLES):
        order = torch.randperm(len(factors), generator=generator)
        draws.append(mutual_information(bins, factors[order]))
    chance = torch.stack(draws)
    mean = chance.mean(dim=0)
    found = mutual_information(bins, factors)
    clear = (found > mean + SIGMAS * chance.std(dim=0)).any(dim=1, keepdim=True)
    return torch.where(clear, (found - mean).clamp(min=0), 0.0)


def mig(information: Tensor, entropy: Tensor) -> float:
    """The mutual information gap, from I (D, F) and H (F,). A lone latent has a gap to 0."""
    return float((gap(information) / entropy).mean())


def modularity(excess: Tensor) -> float:
    """Modularity: concentration of each latent's information on one factor; 0 if all rows are 0.

    Args:
        excess: I (D, F) of at least two factors, corrected by `beyond_chance`.
    """
    rows = excess[excess.amax(dim=1) > 0]
    if len(rows) == 0:
        return 0.0
    squares = (rows / rows.amax(dim=1, keepdim=True)).square()
    return float((1 - (squares.sum(dim=1) - 1) / max(rows.shape[1] - 1, 1)).mean())


def infom(excess: Tensor, entropy: Tensor) -> float:
    """InfoM: as `modularity`, by the share of the top factor; of at least two factors."""
    shares = excess / entropy
    rows = shares[shares.sum(dim=1) > 0]
    return 0.0 if len(rows) == 0 else _above_equal(rows)


def infoc(excess: Tensor, entropy: Tensor) -> float:
    """InfoC: share of the most informative latent of a factor; 0 if no latent is informative."""
    shares = (excess / entropy).T
    rows = shares[shares.sum(dim=1) > 0]
    return 0.0 if len(rows) == 0 else _above_equal(rows) * len(rows) / len(shares)


def gap(scores: Tensor) -> Tensor:
    """The best less the second best of each column of (D, F): (F,)."""
    best = scores.sort(dim=0, descending=True).values
    return best[0] - best[1] if len(best) > 1 else best[0]


def _above_equal(shares: Tensor) -> float:
    """Mean top share of rows (n, k), rescaled: 0 if all shares are equal, 1 for one alone."""
    least = 1 / max(shares.shape[1], 2)
    top = shares.amax(dim=1) / shares.sum(dim=1)
    return float((top.mean() - least) / (1 - least))
