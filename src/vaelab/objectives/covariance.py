r"""Codes that do not vary together: DIP-VAE (Kumar et al. 1711.00848).

    λ_od Σ_{i≠j} C_ij² + λ_d Σ_i (C_ii − 1)²

    DIP-VAE-I    C = Cov_x[E z]                     the codes' centres
    DIP-VAE-II   C = Cov_x[E z] + E_x[Cov[z|x]]     the aggregate posterior's own covariance

Covariances are over the batch. The two sums are terms of their own, so that each has its weight.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaelab.core import Trace
from vaelab.distributions import Normal
from vaelab.objectives.aggregate import only_site
from vaelab.objectives.terms import Loss, Objective


class OffDiagonal(Objective):
    """Σ_{i≠j} C_ij², the same for every example of a batch.

    Args:
        within: whether the variance within each posterior counts (DIP-VAE-II) or its centre alone
            (DIP-VAE-I).
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
    """Σ_i (C_ii − 1)², the same for every example of a batch.

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
    """C (L, L) of the codes of a batch, divided by B − 1; of a single example, 0 between centres.

    Raises:
        ValueError: where there are several latents.
        TypeError: where the variance within is wanted of a posterior that is no diagonal normal.
    """
    q = only_site(trace).posterior
    mu = trace.unfold(q.mean.flatten(1))[0]
    centred = mu - mu.mean(0)
    C = centred.T @ centred / max(1, len(mu) - 1)
    if not within:
        return C
    if not isinstance(q, Normal):
        raise TypeError(
            f"the posterior is a {type(q).__name__}, whose variance is not known; use "
            "DiagonalNormal, or within=False"
        )
    return C + torch.diag(trace.unfold(q.sigma.flatten(1))[0].square().mean(0))
