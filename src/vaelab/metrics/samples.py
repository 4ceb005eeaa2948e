r"""Precision, recall, density and coverage of samples by balls of nearest neighbours.

    B_i: the open ball around item i whose radius is the distance to i's k-th nearest fellow

    precision  share of fake items in some real ball       recall    share of real in some fake ball
    density    1/k of the real balls around a fake item    coverage  share of real balls with a fake

Precision and recall: Kynkäänniemi et al. 2019 (1904.06991). Density and coverage: Naeem et al.
2020 (2002.09797), robust against the wide ball of an outlier. An item is not its own fellow. All
four depend on the features, on both sample sizes and on k: record them, and compare only figures
that share them. None sees memorising: set the distance to the training data beside them. If all
samples are alike, a ball or two decide on precision, which then is certain of nothing: ± ½.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.metrics.estimate import Estimate
from vaelab.metrics.inputs import in_double, rows
from vaelab.metrics.neighbours import CHUNK_ELEMENTS, kth_distance, nearest

HALF, CUTS = 1000, 12
STUDENT = 1.11
"""t/1.96 at 12 degrees of freedom: ± 1.96 standard errors shall hold 95%."""

LARGEST = 0.5
"""No standard deviation of a number between 0 and 1 is larger."""

MARGIN = 1e-6  # an item *at* the radius is outside; rounding must not decide otherwise


@dataclass(frozen=True)
class PRDC:
    """Precision, recall, density and coverage, with the k they were computed for."""

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate
    k: int


def precision_recall_density_coverage(
    real_features: Tensor, fake_features: Tensor, k: int = 5, seed: int = 0
) -> PRDC:
    """Fidelity (precision, density) and variety (recall, coverage) of samples.

    A ball has many items in it and items share neighbours, so no binomial formula holds. The
    standard errors come from blocks drawn apart, as `_spread` says; for shares they are at least
    the binomial one. They are those of the figures at these N, M and k.

    Args:
        real_features: held-out real data in a feature space, (N, F), N greater than k.
        fake_features: samples in the same space, (M, F), M greater than k; best M = N.
        k: rank of the neighbour at the radius.
        seed: seed of the halves.

    Raises:
        ValueError: the shapes or `k` do not fit.
    """
    real = in_double(rows(real_features, "real features"))
    fake = in_double(rows(fake_features, "fake features", width=real.shape[1]))
    found = _figures(real, fake, k)
    precision, recall, density, coverage = found.unbind()
    se_precision, se_recall, se_density, se_coverage = _spread(real, fake, k, seed).unbind()
    n, m = len(real), len(fake)
    return PRDC(
        precision=_at_least_binomial(precision, se_precision, m),
        recall=_at_least_binomial(recall, se_recall, n),
        density=Estimate(float(density), float(se_density), m),
        coverage=_at_least_binomial(coverage, se_coverage, n),
        k=k,
    )


def _figures(real: Tensor, fake: Tensor, k: int) -> Tensor:
    """Precision, recall, density and coverage, (4,)."""
    real_radius = kth_distance(real, real, k, exclude_self=True)
    fake_radius = kth_distance(fake, fake, k, exclude_self=True)
    balls_with_fake, fakes_inside = _memberships(real, real_radius, fake)
    _, reals_inside = _memberships(fake, fake_radius, real)
    shares = [(t > 0).double().mean() for t in (fakes_inside, reals_inside, balls_with_fake)]
    return torch.stack([shares[0], shares[1], fakes_inside.mean() / k, shares[2]])


def _spread(real: Tensor, fake: Tensor, k: int, seed: int) -> Tensor:
    """Standard errors of the four figures, (4,); infinite if there are too few items.

    The items are cut at random into two halves (of at most 1,000), which share nothing: half the
    squared difference of their figures is the variance of one at a half's size, and that falls as
    1/N. Averaged over 12 cuts, and widened by Student's factor for as many differences. Figures
    with items left out in turn (the jackknife) come out up to twice too wide here.
    """
    n = min(len(real), len(fake))
    size = min(n // 2, HALF)
    if size <= k:
        return torch.full((4,), math.inf, dtype=torch.float64)
    # Samples of unlike sizes are cut in proportion, so that the figures stay what they are.
    a, b = (min(len(t) // 2, round(size * len(t) / n)) for t in (real, fake))
    generator = torch.Generator().manual_seed(seed)
    variance = torch.zeros(4, dtype=torch.float64, device=real.device)
    for _ in range(CUTS):
        o_real = torch.randperm(len(real), generator=generator).to(real.device)
        o_fake = torch.randperm(len(fake), generator=generator).to(fake.device)
        first, second = (
            _figures(real[o_real[h * a : (h + 1) * a]], fake[o_fake[h * b : (h + 1) * b]], k)
            for h in (0, 1)
        )
        variance += (first - second).square() / (2 * CUTS)
    return STUDENT * (variance * size / n).sqrt()


def _at_least_binomial(share: Tensor, se: Tensor, n: int) -> Estimate:
    hits = torch.arange(n) < round(float(share) * n)
    return Estimate(float(share), min(max(float(se), Estimate.share(hits).se), LARGEST), n)


def nearest_training_distance(samples: Tensor, training: Tensor) -> Estimate:
    """Mean distance from a sample (N, …) to the nearest training example (M, …), as features.

    Set it beside the same figure for held-out data: samples much nearer than those are copies.
    """
    return Estimate.mean(nearest(rows(samples, "samples"), rows(training, "training"))[0])


def _memberships(centres: Tensor, radius: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers of points in each ball (N,), and of balls around each point (M,)."""
    middle = centres.mean(dim=0)
    c, p = centres - middle, points - middle
    limit = radius.square() * (1 - MARGIN) - c.square().sum(dim=1)
    per_ball = torch.zeros_like(radius)
    per_point = []
    for part in torch.split(p, max(1, CHUNK_ELEMENTS // len(c))):
        inside = torch.addmm(part.square().sum(dim=1, keepdim=True), part, c.T, alpha=-2) < limit
        per_ball += inside.sum(dim=0)
        per_point.append(inside.sum(dim=1))
    return per_ball, torch.cat(per_point).double()
