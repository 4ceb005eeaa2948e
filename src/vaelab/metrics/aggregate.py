r"""Decomposition of the rate over a data set, in nats.

Hoffman and Johnson, "ELBO surgery", 2016; Chen et al., "Isolating Sources of Disentanglement in
Variational Autoencoders", 2018, arXiv:1802.04942.

    R = I_q(x; z)  +  KL(q(z) ‖ Π_j q(z_j))  +  Σ_j KL(q(z_j) ‖ p(z_j))
        index-code     total                    dimension-wise
        information    correlation              KL divergence
                       ╰──────── KL(q(z) ‖ p(z)), the mismatch with the prior ────────╯

    q(z) = 1/N Σ_n q(z|x_n): the exact mixture of all N posteriors, never a minibatch's, whose
    estimate is biased. I_q(x; z) is at most log N.

Each term is a mean over M draws z ~ q(z), so that the terms add up to the rate exactly, and their
standard errors are of the split of *these* N examples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.core import fork_rng
from vaelab.distributions import Distribution, Normal, TransformedNormal
from vaelab.metrics.estimate import Estimate
from vaelab.metrics.neighbours import CHUNK_ELEMENTS

INVERTED = 2_000_000
"""Most densities for which a flow is run backwards: about a minute or two on a processor."""
FEWEST = 50
"""Draws that are always made, for a standard error to be one."""


@dataclass(frozen=True)
class RateSplit:
    """The rate and its parts, each with a standard error over the M draws.

    Attributes:
        rate: E log q(z|x) − log p(z).
        information: I_q(x; z), between 0 and `ceiling`.
        mismatch: KL(q(z) ‖ p(z)).
        total_correlation: KL(q(z) ‖ Π q(z_j)); None if the dimensions of the posteriors are not
            independent normals, whose marginals would have to be integrated.
        dimension_wise: Σ_j KL(q(z_j) ‖ p(z_j)); None if the prior's dimensions are not
            independent normals either.
        ceiling: log N; if the information is near it, N is too small for an estimate.
    """

    rate: Estimate
    information: Estimate
    mismatch: Estimate
    total_correlation: Estimate | None
    dimension_wise: Estimate | None
    ceiling: float


def rate_split(
    posteriors: Sequence[Distribution], prior: Distribution, draws: int = 2000, seed: int = 0
) -> RateSplit:
    """Decompose the rate of one site of latents.

    Args:
        posteriors: q(z|x_n) of all N examples, in pieces of any batch sizes.
        prior: p(z), with batch 1.
        draws: M, at which the mixture is evaluated; time grows with M · N · D. Of a flow, which is
            run backwards for each density, fewer if M · N would exceed 2 million.
        seed: seed of the draws; the caller's random state is left alone.

    Raises:
        ValueError: if there is no posterior or no draw.
        TypeError: if a posterior is a point, which has no rate.
    """
    sizes = [len(q.mean) for q in posteriors]
    if sum(sizes) == 0 or draws < 1:
        raise ValueError(f"{sum(sizes)} posteriors and {draws} draws: at least 1 of each is needed")
    if any(isinstance(q, TransformedNormal) for q in posteriors):
        draws = min(draws, max(FEWEST, INVERTED // sum(sizes)))
    with torch.no_grad(), fork_rng(seed, posteriors[0].mean.device):
        z, own = _draw(posteriors, sizes, draws)
        log_p = prior.expand(draws).log_prob(z).double()
        log_n = math.log(sum(sizes))
        marginals = None
        if all(isinstance(q, Normal) for q in posteriors):
            mu = torch.cat([q.mean.flatten(1) for q in posteriors])
            log_sigma = torch.cat([q.tensors()["log_sigma"].flatten(1) for q in posteriors])
            joint, product = _normal_mixture(mu, log_sigma, z.flatten(1))
            log_q, marginals = joint - log_n, product - z[0].numel() * log_n
        else:
            log_q = _mixture(posteriors, z) - log_n
    by_dimension = marginals if isinstance(prior, Normal) else None
    return RateSplit(
        rate=Estimate.mean(own - log_p),
        information=Estimate.mean(own - log_q),
        mismatch=Estimate.mean(log_q - log_p),
        total_correlation=None if marginals is None else Estimate.mean(log_q - marginals),
        dimension_wise=None if by_dimension is None else Estimate.mean(by_dimension - log_p),
        ceiling=log_n,
    )


def _draw(
    posteriors: Sequence[Distribution], sizes: Sequence[int], draws: int
) -> tuple[Tensor, Tensor]:
    """z (M, …), each from a posterior picked at random, and log q(z|x) of that posterior (M,)."""
    times = torch.bincount(torch.randint(sum(sizes), (draws,)), minlength=sum(sizes))
    zs, own = [], []
    for q, wanted in zip(posteriors, times.split(list(sizes)), strict=True):
        for drawn in range(int(wanted.max())):
            z, its = q.sample_with_density()
            picked = (wanted > drawn).to(z.device)
            zs.append(z[picked])
            own.append(its.log_prob(z)[picked].double())
    return torch.cat(zs), torch.cat(own)


def _normal_mixture(mu: Tensor, log_sigma: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """log Σ_n Π_j N(z_j; n) and Σ_j log Σ_n N(z_j; n) for z (M, D), (M,) each."""
    constant = 0.5 * math.log(2 * math.pi)
    precision = torch.exp(-log_sigma)
    joints, products = [], []
    for part in z.split(max(1, CHUNK_ELEMENTS // len(mu))):
        joint = torch.zeros(len(part), len(mu), dtype=z.dtype, device=z.device)
        product = torch.zeros(len(part), dtype=torch.float64, device=z.device)
        for j in range(z.shape[1]):
            term = ((part[:, j, None] - mu[:, j]) * precision[:, j]).square_().mul_(-0.5)
            term -= log_sigma[:, j] + constant
            joint += term
            product += term.logsumexp(1).double()
        joints.append(joint.logsumexp(1).double())
        products.append(product)
    return torch.cat(joints), torch.cat(products)


def _mixture(posteriors: Sequence[Distribution], z: Tensor) -> Tensor:
    """log Σ_n q(z|x_n) for z (M, …) and posteriors of any kind: (M,)."""
    total = torch.full((len(z),), -math.inf, dtype=torch.float64, device=z.device)
    for q in posteriors:
        size = len(q.mean)
        at = [q.log_prob(one.expand(size, *z.shape[1:])).logsumexp(0) for one in z]
        total = torch.logaddexp(total, torch.stack(at).double())
    return total
