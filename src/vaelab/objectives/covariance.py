r"""Covariance penalties on the codes: DIP-VAE (Kumar et al. 1711.00848).

    λ_od Σ_{i≠j} C_ij² + λ_d Σ_i (C_ii − 1)²

    DIP-VAE-I    C = Cov_x[E z]                     centres of the codes
    DIP-VAE-II   C = Cov_x[E z] + E_x[Cov[z|x]]     covariance of the aggregate posterior

Covariances are over the batch. The two sums are separate terms, so that each has its own weight.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaelab.core import Trace
from vaelab.distributions import Normal
from vaelab.objectives.aggregate import only_site
from vaelab.objectives.terms import Loss, Objective


class OffDiagonal(Objective):
    """Off-diagonal covariance penalty Σ_{i≠j} C_ij², the same for every example of a batch.

    Reference: Variational Inference of Disentangled Latent Concepts from Unlabeled Observations,
    Kumar et al., 2017, arXiv:1711.00848.

    >>> (5.0 * OffDiagonal(within=True) + 5.0 * Diagonal(within=True)).formula
    '5 off diagonal + 5 diagonal'

    Args:
        within: True to include the variance within each posterior (DIP-VAE-II), False for posterior
            means alone (DIP-VAE-I).
    """

    batch_coupled = True

    def __init__(self, within: bool) -> None:
        super().__init__()
        self.within = within

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        C = aggregate_covariance(trace, self.within)
        penalty = ((C - torch.diag(C.diagonal())) ** 2).sum().expand(len(x))
        return Loss(penalty, {"off_diagonal": penalty})


class Diagonal(Objective):
    """Diagonal covariance penalty Σ_i (C_ii − 1)², the same for every example of a batch.

    Reference: Variational Inference of Disentangled Latent Concepts from Unlabeled Observations,
    Kumar et al., 2017, arXiv:1711.00848.

    Args:
        within: as in `OffDiagonal`.
    """

    batch_coupled = True

    def __init__(self, within: bool) -> None:
        super().__init__()
        self.within = within

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        C = aggregate_covariance(trace, self.within)
        penalty = ((C.diagonal() - 1) ** 2).sum().expand(len(x))
        return Loss(penalty, {"diagonal": penalty})


def aggregate_covariance(trace: Trace, within: bool) -> Tensor:
    """Covariance C (L, L) of the codes of a batch, divided by B − 1 (or 1 for one example).

    Raises:
        ValueError: if there are several latents.
        TypeError: if the variance within is requested of a posterior that is not a diagonal normal.
    """
    q = only_site(trace).posterior
    mu = trace.unfold(q.mean.flatten(1))[0]
    centred = mu - mu.mean(0)
    C = centred.T @ centred / max(1, len(mu) - 1)
    if not within:
        return C
    if not isinstance(q, Normal):
        raise TypeError(
            f"the posterior is a {type(q).__name__}, without a known variance; use "
            "DiagonalNormal, or within=False"
        )
    return C + torch.diag(trace.unfold(q.sigma.flatten(1))[0].square().mean(0))
