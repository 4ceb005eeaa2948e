r"""Are the samples like the data, and all of the data? Balls of nearest neighbours.

    B_i: the open ball around item i whose radius is the distance to i's k-th nearest fellow

    precision  share of fake items in some real ball       recall    share of real in some fake ball
    density    1/k of the real balls around a fake item    coverage  share of real balls with a fake

Precision and recall: Kynkäänniemi et al. 2019 (1904.06991). Density and coverage: Naeem et al.
2020 (2002.09797), robust where one outlier's ball reaches far. An item is not its own fellow. All
four depend on the features, on both sample sizes and on k: record them, and compare only figures
that share them. None sees memorising: set the distance to the training data beside them.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.metrics.estimate import Estimate
from vaelab.metrics.inputs import in_double, rows
from vaelab.metrics.neighbours import CHUNK_ELEMENTS, kth_distance, nearest

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
    real_features: Tensor, fake_features: Tensor, k: int = 5
) -> PRDC:
    """Fidelity (precision, density) and variety (recall, coverage) of samples.

    Shares have the binomial standard error of the items judged, with the balls as they are; that
    of density joins the spread over fake items and over real balls.

    Args:
        real_features: held-out real data in a feature space, (N, F), N greater than k.
        fake_features: samples in the same space, (M, F), M greater than k; best M = N.
        k: which fellow sets the radius.

    Raises:
        ValueError: the shapes or `k` do not fit.
    """
    real = in_double(rows(real_features, "real features"))
    fake = in_double(rows(fake_features, "fake features", width=real.shape[1]))
    real_radius = kth_distance(real, real, k, exclude_self=True)
    fake_radius = kth_distance(fake, fake, k, exclude_self=True)
    balls_with_fake, fakes_inside = _memberships(real, real_radius, fake)
    _, reals_inside = _memberships(fake, fake_radius, real)

    per_fake, per_real = fakes_inside / k, balls_with_fake / k
    over_fakes, over_balls = (
        Estimate.mean(per_fake),
        Estimate.mean(per_real * len(real) / len(fake)),
    )
    return PRDC(
        precision=Estimate.share(fakes_inside > 0),
        recall=Estimate.share(reals_inside > 0),
        density=Estimate(over_fakes.value, math.hypot(over_fakes.se, over_balls.se), len(fake)),
        coverage=Estimate.share(balls_with_fake > 0),
        k=k,
    )


def nearest_training_distance(samples: Tensor, training: Tensor) -> Estimate:
    """Mean distance from a sample (N, …) to the nearest training example (M, …), as features.

    Set it beside the same figure for held-out data: samples much nearer than those are copies.
    """
    return Estimate.mean(nearest(rows(samples, "samples"), rows(training, "training"))[0])


def _memberships(centres: Tensor, radius: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """How many points each ball holds (N,), and how many balls hold each point (M,)."""
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
