r"""Has the latent space gaps? Figures calibrated so that real data score 5%.

    support of a cloud S:   d_k(z) ≤ τ,   d_k(z) the distance from z to its k-th nearest of S,
                            τ the 95th percentile of d_k over fresh draws of the same cloud
    hole fraction           P(d_k(z) > τ),  z ~ p(z),          S = draws of q(z|x), x in training
    unreached fraction      P(d_k(z) > τ),  z of held-out x,   S = draws of p(z)
    round trip              ‖z − encode(decode(z))‖ / scale of the codes
    roughness of a walk     max_t ‖x_{t+1} − x_t‖ / mean_t ‖x_{t+1} − x_t‖
    overlap of regions      BC(q, q') = ∫ √(q q') dz, mean over the k nearest codes

One side alone misleads: a wide cloud with a dense centre can have few holes under the prior and
yet be mostly out of the prior's reach, so report holes and unreached together. Every standard
error holds the model, and the reference cloud S, as they are; the doubt in τ is included.
The k-NN support is that of Kynkäänniemi et al. 2019 (1904.06991), with one radius for all points.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.metrics.estimate import Estimate, Threshold
from vaelab.metrics.features import FeatureSpace, Raw
from vaelab.metrics.inputs import diagonal_normals, in_double, normal, rows
from vaelab.metrics.neighbours import k_nearest, kth_distance


@dataclass(frozen=True, eq=False)
class Support:
    """k-nearest-neighbour estimate of the support of a cloud of points; built by `calibrate`.

    Attributes:
        reference: the cloud's features, (M, F).
        threshold: limit on the distance to the k-th nearest of them.
        k: rank of the neighbour whose distance is compared.
        space: the features in which distances are taken.
    """

    reference: Tensor
    threshold: Threshold
    k: int
    space: FeatureSpace

    @classmethod
    def calibrate(
        cls,
        reference: Tensor,
        heldout: Tensor,
        k: int = 5,
        level: float = 0.95,
        space: FeatureSpace | None = None,
    ) -> "Support":
        """The support of `reference`, with a threshold that a share `level` of held-out draws pass.

        For codes: draws of q(z|x) over the training set, and over held-out data. For images:
        training and held-out images, `k=1` and `space=PixelFeatures.fit(training images)`.

        Args:
            reference: (M, …).
            heldout: (N, …), made as the reference was, from examples that are not in it.
            k: rank of the neighbour whose distance is compared.
            level: the share of held-out draws inside.
            space: features to compare in; the numbers themselves if None.

        Raises:
            ValueError: the shapes or `k` do not fit, or the held-out draws are the reference.
        """
        if reference.shape == heldout.shape and bool(torch.equal(reference, heldout)):
            raise ValueError(
                "the held-out draws are the reference itself: each would be its own neighbour at "
                "distance 0. Calibrate on draws from held-out data"
            )
        chosen = Raw() if space is None else space
        cloud = chosen(reference)
        threshold = Threshold.calibrate(kth_distance(chosen(heldout), cloud, k), level)
        return cls(cloud, threshold, k, chosen)

    def distances(self, z: Tensor) -> Tensor:
        """Distance (N,) of each point of `z` (N, …) to its k-th nearest point of the cloud."""
        return kth_distance(self.space(z), self.reference, self.k)

    def outside(self, z: Tensor) -> Tensor:
        """Mask of the points of `z` (N, …) outside the support: bool (N,)."""
        return self.distances(z) > self.threshold.value


def hole_fraction(z: Tensor, support: Support) -> Estimate:
    """Share of the draws `z` (N, D) outside the support of the codes.

    With `z ~ p(z)` these are the prior's holes; with `z = own_ellipse(codes)` those of the codes'
    own shape, which is fair to an autoencoder whose codes have another scale. 0.05 is perfect.
    """
    return support.threshold.share_above(support.distances(z))


def own_ellipse(codes: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Draw n points (n, D) from the normal with the mean and covariance of `codes` (N, D)."""
    z = in_double(rows(codes, "codes"))
    mean = z.mean(dim=0)
    values, vectors = torch.linalg.eigh((z - mean).T @ (z - mean) / max(1, len(z) - 1))
    # A symmetric root, not a Cholesky factor: codes may lie in fewer dimensions than D.
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    return (mean + normal((n, z.shape[1]), z, generator) @ root).to(codes)


def unreached_fraction(
    heldout_codes: Tensor, prior_draws: Tensor, fresh_prior_draws: Tensor, k: int = 5
) -> Estimate:
    """Share of the codes of held-out data (N, D) that the prior never visits: never generated.

    Args:
        heldout_codes: draws of q(z|x) for held-out x, (N, D).
        prior_draws: the cloud, (M, D); 60,000 is the figure's definition.
        fresh_prior_draws: other draws of the prior, for the threshold, (N', D).
        k: rank of the neighbour whose distance is compared.
    """
    return hole_fraction(heldout_codes, Support.calibrate(prior_draws, fresh_prior_draws, k))


def code_scale(codes: Tensor) -> float:
    """Root mean square distance of the codes (N, D) from their mean: √ of the total variance."""
    z = in_double(rows(codes, "codes"))
    return float((z - z.mean(dim=0)).square().sum(dim=1).mean().sqrt())


def round_trip_error(z: Tensor, returned: Tensor, scale: float) -> Tensor:
    """‖z − ẑ‖ / scale for each code, (N,).

    Args:
        z: codes, (N, D).
        returned: ẑ, the mean code of the image decoded from each z, (N, D).
        scale: `code_scale` of the training codes.

    Raises:
        ValueError: shapes differ, or the scale is not positive (codes that are all the same).
    """
    if z.shape != returned.shape:
        raise ValueError(f"codes {tuple(z.shape)} and returned codes {tuple(returned.shape)}")
    if not scale > 0:
        raise ValueError(f"the codes' scale must be positive, got {scale}: are they all the same?")
    return (rows(z, "codes") - rows(returned, "returned codes")).norm(dim=1) / scale


def round_trip_gaps(errors: Tensor, heldout_errors: Tensor, level: float = 0.95) -> Estimate:
    """Share of round trips worse than those of all but 5% of held-out codes.

    Args:
        errors: `round_trip_error` of the draws in question, (N,).
        heldout_errors: the same for draws of q(z|x), x held out, (N',).
        level: the share of held-out codes that is not in a gap.
    """
    return Threshold.calibrate(heldout_errors, level).share_above(errors)


def different_class_pairs(labels: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Draw n pairs of rows (n, 2) whose labels differ; every row is as likely to come first.

    Args:
        labels: int64 (N,).
        n: number of pairs.
        generator: random generator of the draws.

    Raises:
        ValueError: there are fewer than two classes.
    """
    order = torch.argsort(labels.cpu(), stable=True)
    _, place, counts = torch.unique(labels.cpu()[order], return_inverse=True, return_counts=True)
    if len(counts) < 2:
        raise ValueError("pairs of different classes need at least two classes among the labels")
    total = len(order)
    device = generator.device
    first = torch.randint(total, (n,), generator=generator, device=device).cpu()
    # Sorted by class, the partners are all ranks but those of the first one's own block.
    size = counts[place[first]]
    end = counts.cumsum(0)[place[first]]
    step = (torch.rand(n, generator=generator, device=device).cpu() * (total - size)).long()
    second = (end + step.clamp(max=total - size - 1)) % total
    return torch.stack([order[first], order[second]], dim=1).to(labels.device)


def interpolation_path(z_a: Tensor, z_b: Tensor, steps: int = 32) -> Tensor:
    """The straight paths from `z_a` (P, D) to `z_b` (P, D), both ends included: (P, steps + 1, D).

    Example:
        >>> interpolation_path(torch.zeros(1, 1), torch.ones(1, 1), steps=4).flatten().tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if steps < 1 or z_a.shape != z_b.shape:
        raise ValueError(
            f"a walk joins codes of one shape in at least one step; got {tuple(z_a.shape)} and "
            f"{tuple(z_b.shape)} in {steps}"
        )
    t = torch.linspace(0, 1, steps + 1, device=z_a.device, dtype=z_a.dtype)[:, None]
    return (1 - t) * z_a[:, None, :] + t * z_b[:, None, :]


def roughness(images: Tensor) -> Estimate:
    """Largest step over mean step along each walk, averaged over walks.

    1 if all steps have the same length, the number of steps if a single jump covers the path.
    A walk that stands still (every image the same) has roughness 1.

    Args:
        images: decoded images along the paths, (P, S + 1, …), S of at least 1.
    """
    path = in_double(rows(images, "images along the paths").reshape(*images.shape[:2], -1))
    if path.shape[1] < 2:
        raise ValueError(f"a walk has at least two images, got {path.shape[1]}")
    length = path.diff(dim=1).norm(dim=-1)
    # Steps of rounding size are no movement: their ratio would be noise.
    still = length.amax(dim=1) <= 1e-6 * path.norm(dim=-1).amax(dim=1)
    ratio = length.amax(dim=1) / length.mean(dim=1)
    return Estimate.mean(torch.where(still, 1.0, ratio))


def off_support_share(images: Tensor, support: Support) -> Estimate:
    """Share of the images along walks that resemble no training image.

    Args:
        images: decoded images along the paths, (P, S + 1, …).
        support: support of the training images, from `Support.calibrate`.

    Returns:
        The share; its standard error takes the P walks, not their images, as independent.
    """
    distances = support.distances(images.flatten(0, 1))
    return support.threshold.share_above(distances.reshape(images.shape[:2]))


def overlap(mu: Tensor, sigma: Tensor, k: int = 5) -> Estimate:
    r"""Mean Bhattacharyya coefficient between each q(z|x) and those of its k nearest neighbours.

        BC = Π_j √(2 σ_j σ'_j / (σ_j² + σ'_j²)) exp(−(μ_j − μ'_j)² / (4 (σ_j² + σ'_j²)))

    0 for points (σ = 0; two points at the same place count 1), 1 if every x has the
    same q(z|x). Neighbours are nearest by μ. The standard error takes the N examples as
    independent, which neighbours in common make slightly untrue.

    Args:
        mu: means, (N, D), N greater than k.
        sigma: standard deviations, (N, D), not negative.
        k: number of neighbours.
    """
    means, scales = diagonal_normals(mu, sigma)
    _, near = k_nearest(means, means, k, exclude_self=True)
    total = torch.zeros(len(means), dtype=torch.float64, device=means.device)
    for j in range(k):
        other = near[:, j]
        both = scales.square() + scales[other].square()
        gap = (means - means[other]).square()
        log_bc = 0.5 * (2 * scales * scales[other] / both).log() - gap / (4 * both)
        # Two points in a dimension: the whole of each other, or nothing.
        log_bc = torch.where(both == 0, torch.where(gap == 0, 0.0, -torch.inf), log_bc)
        total += log_bc.sum(dim=1).exp()
    return Estimate.mean(total / k)
