r"""Decomposition of the rate by the aggregate posterior q(z) = (1/N) Σ_n q(z|x_n).

    R = I_q(x; z)                     index-code       E log q(z|x) − log q(z)
      + KL(q(z) ‖ Π_j q(z_j))         total correlation     log q(z) − log Π_j q(z_j)
      + Σ_j KL(q(z_j) ‖ p(z_j))       dimension-wise        log Π_j q(z_j) − log p(z)

q(z) is estimated from the batch: of N training examples, the example itself is certainly present,
and each of the other B − 1 stands for its share of the rest,

    q(z_i) ≈ Σ_j W_ij q(z_i|x_j),   W_ii = 1/N,   W_ij = (1 − 1/N) / (B − 1)   (j ≠ i).

This is the paper's stratified estimate, which gives one of the others a separate weight for the
remainder, averaged over the choice of that one: equally unbiased for q(z), less noisy, and
independent of the order of the batch. Every row of W sums to 1. Its logarithm is biased, less so
for larger batches.

Reference: Isolating Sources of Disentanglement in Variational Autoencoders, Chen et al., 2018,
arXiv:1802.04942.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaelab.core import Site, Trace
from vaelab.core.schedule import Schedule, as_schedule
from vaelab.distributions import Normal
from vaelab.objectives.terms import Loss, Objective


class SplitRate(Objective):
    """Rate in three weighted parts: index-code MI, total correlation, dimension-wise KL.

    With all weights 1 it is the rate. The estimate of q(z) is the paper's stratified one (MSS),
    averaged over which of the other examples is singled out; minibatch-weighted sampling (MWS),
    the other estimate of the paper, is biased and not offered.

    Reference: Isolating Sources of Disentanglement in Variational Autoencoders, Chen et al., 2018,
    arXiv:1802.04942.

    >>> SplitRate(1000, total_correlation=6.0).formula
    'index code + 6 total correlation + dimension wise'

    Args:
        rows: number of training examples N.
        index_code: weight of the mutual information of code and example, at most log N nats.
        total_correlation: weight of the dependence between dimensions of the codes.
        dimension_wise: weight of the divergence of each dimension of the codes from the prior.

    Raises:
        ValueError: if there are no rows.
    """

    batch_coupled = True

    def __init__(
        self,
        rows: int,
        index_code: float | Schedule = 1.0,
        total_correlation: float | Schedule = 1.0,
        dimension_wise: float | Schedule = 1.0,
    ) -> None:
        super().__init__()
        if rows < 1:
            raise ValueError(
                f"rows is {rows}; the aggregate posterior needs the number of training examples"
            )
        self.rows = rows
        self.index_code, self.total_correlation, self.dimension_wise = map(
            as_schedule, (index_code, total_correlation, dimension_wise)
        )

    @property
    def formula(self) -> str:
        weights = {name: str(weight) for name, weight in self.named_children()}
        terms = (f"{'' if w == '1' else f'{w} '}{name}" for name, w in weights.items())
        return " + ".join(terms).replace("_", " ")

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        """Return the loss of x, averaged over K draws.

        Raises:
            ValueError: if there are several latents.
            TypeError: if the posterior is not a diagonal normal.
        """
        site = only_site(trace)
        q = site.posterior
        if not isinstance(q, Normal):
            raise TypeError(
                f"the posterior is a {type(q).__name__}; the marginals of its aggregate are known "
                "for a diagonal normal (DiagonalNormal) only"
            )
        mu, log_sigma = (trace.unfold(t.flatten(1))[0] for t in (q.mu, q.log_sigma))
        z = trace.unfold(site.z.flatten(1))
        standard = (z[:, :, None] - mu) * torch.exp(-log_sigma)  # (K, B, B, L)
        log_q = -0.5 * standard**2 - log_sigma - 0.5 * math.log(2 * math.pi)
        log_W = torch.log(stratified(len(mu), self.rows, mu))
        own = log_q.diagonal(dim1=1, dim2=2).sum(1)
        joint = torch.logsumexp(log_W + log_q.sum(-1), 2)
        marginals = torch.logsumexp(log_W[..., None] + log_q, 2).sum(-1)
        prior = trace.unfold(site.prior.log_prob(site.z))
        parts = {
            "index_code": (own - joint).mean(0),
            "total_correlation": (joint - marginals).mean(0),
            "dimension_wise": (marginals - prior).mean(0),
        }
        weights = (self.index_code(), self.total_correlation(), self.dimension_wise())
        weighed = [w * nats for w, nats in zip(weights, parts.values(), strict=True)]
        return Loss(torch.stack(weighed).sum(0), parts, frozenset(parts))


def stratified(batch: int, rows: int, like: Tensor) -> Tensor:
    """Weights W (B, B) for a batch out of N rows; a single example stands for all.

    >>> stratified(3, 6, torch.zeros(()))
    tensor([[0.1667, 0.4167, 0.4167],
            [0.4167, 0.1667, 0.4167],
            [0.4167, 0.4167, 0.1667]])
    """
    other = (1 - 1 / rows) / max(1, batch - 1)
    eye = torch.eye(batch, dtype=like.dtype, device=like.device)
    return other + (1 - batch * other) * eye


def only_site(trace: Trace) -> Site:
    """Return the only latent of a model.

    Raises:
        ValueError: if there are several; the priors of lower ones depend on those above.
    """
    if len(trace.sites) != 1:
        raise ValueError(
            f"the aggregate posterior is compared with the prior of one latent; here there are "
            f"{len(trace.sites)}"
        )
    return trace.sites[0]
