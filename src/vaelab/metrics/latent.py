r"""Metrics of the latent code and its match with the prior N(0, I), in nats.

rate of dimension j     R_j = E_x KL(q(z_j|x) ‖ N(0, 1)) = E_x ½ (μ_j² + σ_j² − 1 − 2 log σ_j)
active units            Var_x(μ_j) > 0.01                        (Burda et al. 1509.00519)
prior mismatch          KL(q(z) ‖ N(0, I)),  q(z) = 1/N Σ_n N(z; μ_n, diag σ_n²)
                                                                 (Rosca et al. 1802.06847)
"""

import math

import torch
from torch import Tensor

from vaelab.metrics.estimate import Estimate
from vaelab.metrics.inputs import diagonal_normals, normal, rows
from vaelab.metrics.neighbours import CHUNK_ELEMENTS, k_nearest


def active_units(mu: Tensor, threshold: float = 0.01) -> Tensor:
    """Mask of the dimensions that move with x: bool (D,), for posterior means `mu` (N, D) of a set.

    A unit is active if Var_x E[z_j|x] > threshold (Burda et al., "Importance Weighted
    Autoencoders", 2015, arXiv:1509.00519). Not informative for a hierarchy's deeper latents
    or for priors other than N(0, I).
    """
    means = rows(mu, "mu")
    # Not `var`, which warns where there are no dimensions, as of codes that are no units.
    return (means - means.mean(dim=0)).square().mean(dim=0) > threshold


def rate_per_dimension(mu: Tensor, sigma: Tensor) -> tuple[Estimate, ...]:
    """KL(q(z_j|x) ‖ N(0, 1)) of each of the D dimensions, averaged over x; nats.

    Args:
        mu: means, (N, D).
        sigma: standard deviations, (N, D). The rate of a zero is infinite.
    """
    means, scales = diagonal_normals(mu, sigma)
    kl = 0.5 * (means.square() + scales.square() - 1) - scales.log()
    return tuple(Estimate.mean(column) for column in kl.unbind(dim=1))


def posterior_scale(sigma: Tensor) -> Estimate:
    """Mean standard deviation of q(z|x), over examples and dimensions of `sigma` (N, D)."""
    return Estimate.mean(rows(sigma, "sigma").mean(dim=1))


def aggregate_kl(mu: Tensor, sigma: Tensor, n_draws: int, generator: torch.Generator) -> Estimate:
    r"""KL(q(z) ‖ N(0, I)) of the N-component mixture q(z), by Monte Carlo; nats.

        1/S Σ_s log q(z_s) − log p(z_s),   z_s ~ q(z),   log q(z) over all N components

    The draw's own component stays in the sum: for the mixture of these N examples the estimate is
    then unbiased, and the standard error covers it. As an estimate for the *population* of x the
    figure is too high (KL is convex in q), by little if regions overlap; if they do not, it
    is about rate − log N. Leaving the own component out would err as much the other way, and
    falls to −∞ as the regions shrink, so it is not offered. Use the whole training set.

    If any standard deviation is 0, some component puts mass on a set that the prior gives
    none, and the KL is infinite: `inf` with a standard error of 0.

    Args:
        mu: means, (N, D).
        sigma: standard deviations, (N, D).
        n_draws: S, the Monte-Carlo draws.
        generator: random generator of the draws.
    """
    means, scales = diagonal_normals(mu, sigma)
    if n_draws < 1:
        raise ValueError(f"n_draws must be at least 1, got {n_draws}")
    if bool((scales == 0).any()):
        return Estimate(math.inf, 0.0, n_draws)
    n, d = means.shape
    pick = torch.randint(n, (n_draws,), generator=generator, device=generator.device)
    pick = pick.to(means.device)
    z = means[pick] + scales[pick] * normal((n_draws, d), means, generator)

    # log N(z; μ, σ²) as one product of (z², z, 1) with (−½/σ², μ/σ², c); it cancels: in float64.
    precision = scales.reciprocal().square()
    c = -0.5 * (means.square() * precision).sum(dim=1) - scales.log().sum(dim=1)
    weights = torch.cat([-0.5 * precision, means * precision, c[:, None]], dim=1).T
    ratios = []
    for part in torch.split(z, max(1, CHUNK_ELEMENTS // n)):
        powers = torch.cat([part.square(), part, torch.ones_like(part[:, :1])], dim=1)
        # Log-densities near the maximum are small by now: float32 is enough, and twice as fast.
        log_q = (powers @ weights).float().logsumexp(dim=1).double() - math.log(n)
        ratios.append(log_q + 0.5 * part.square().sum(dim=1))  # the (2π)^(−D/2) of both cancel
    return Estimate.mean(torch.cat(ratios))


def knn_accuracy(
    codes_train: Tensor, y_train: Tensor, codes_test: Tensor, y_test: Tensor, k: int = 5
) -> Estimate:
    """Share of test codes whose k nearest training codes vote for the right class.

    A tie goes to the smallest label.

    Args:
        codes_train: (M, D).
        y_train: labels from 0, int64 (M,).
        codes_test: (N, D).
        y_test: int64 (N,).
        k: how many vote.
    """
    if len(codes_train) != len(y_train) or len(codes_test) != len(y_test):
        raise ValueError(
            f"each code needs a label: {len(codes_train)} codes and {len(y_train)} labels in "
            f"training, {len(codes_test)} and {len(y_test)} in test"
        )
    _, near = k_nearest(codes_test, codes_train, k)
    labels = y_train.to(near.device)
    votes = torch.zeros(len(near), int(labels.max()) + 1, device=near.device)
    votes.scatter_add_(1, labels[near], torch.ones(near.shape, device=near.device))
    return Estimate.share(votes.argmax(dim=1) == y_test.to(near.device))
