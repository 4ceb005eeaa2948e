r"""Alternatives to a small rate: free bits and capacity.

    free bits   Σ_g max(λ, E_x R_g)     no gain below λ nats per group       (Kingma 1606.04934)
    capacity    |R − C(t)|              towards C nats per example, from either side
                                                                             (Burgess 1804.03599)
                |R_l − C_l(t)|          separately for each layer            (Dupont 1804.00104)

E_x is the mean over the batch, and R_g the rate of a group of latents.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaelab.core import Site, Trace
from vaelab.core.schedule import Schedule, as_schedule
from vaelab.distributions import kl_by_dimension
from vaelab.objectives.terms import Loss, Objective, Rate


class FreeBits(Objective):
    """Free bits Σ_g max(λ, R_g) over the groups g of every site's latents.

    As in the paper, R_g is averaged over the batch before the comparison with λ: if the mean is
    above λ each example has its own rate, otherwise λ, so that the mean of both is the paper's
    term.

    Reference: Improved Variational Inference with Inverse Autoregressive Flow, Kingma et al., 2016,
    arXiv:1606.04934.

    >>> from vaelab.objectives import Distortion
    >>> (Distortion() + FreeBits(0.25, groups=None)).formula
    'D + free bits'

    Args:
        free: λ ≥ 0, nats per group.
        groups: number of parts into which the first axis of a site's latents (channels of a map) is
            split; 1 is the whole layer, None makes each its own group.
        by_example: True to compare the rate of each example instead, independent of its batch.

    Raises:
        ValueError: if free is negative or there are no groups.
    """

    def __init__(self, free: float, groups: int | None = 1, by_example: bool = False) -> None:
        super().__init__()
        if not free >= 0:
            raise ValueError(f"free is {free}; the free nats of a group are 0 or more")
        if groups is not None and groups < 1:
            raise ValueError(f"groups is {groups}; latents make at least 1 group")
        self.free, self.groups, self.by_example = free, groups, by_example
        self.batch_coupled = not by_example

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        """Return the loss of x.

        Raises:
            ValueError: if a site's latents cannot be split into that many groups.
            TypeError: if groups are requested of a rate that has no closed form by dimension.
        """
        grouped = [self._grouped(site) for site in trace.sites]
        rates = trace.unfold(torch.cat([rates for rates, _ in grouped], 1)).mean(0)
        compared = rates if self.by_example else rates.mean(0, keepdim=True)
        nats = torch.where(compared > self.free, rates, torch.full_like(rates, self.free)).sum(1)
        exact = all(closed for _, closed in grouped)
        return Loss(nats, {"free_bits": nats}, frozenset() if exact else frozenset({"free_bits"}))

    def _grouped(self, site: Site) -> tuple[Tensor, bool]:
        """Rates of the groups (K·B, G), and True if they are in closed form."""
        if self.groups == 1:
            nats, closed = site.rate()
            return nats[:, None], closed
        rates = kl_by_dimension(site.posterior, site.prior)
        if rates is None:
            raise TypeError(
                f"the rate of {type(site.posterior).__name__} against {type(site.prior).__name__} "
                "has no closed form that could be cut into groups; use groups=1"
            )
        groups = self.groups or rates.shape[1]
        if rates.shape[1] % groups:
            raise ValueError(f"{rates.shape[1]} latents cannot be cut into {groups} equal groups")
        return rates.unflatten(1, (groups, -1)).flatten(2).sum(2), True


class Capacity(Objective):
    """Capacity term |R − C| for each example; its weight is Burgess's γ.

    Reference: Understanding disentangling in β-VAE, Burgess et al., 2018, arXiv:1804.03599.

    >>> from vaelab.objectives import Distortion, Rise
    >>> (Distortion() + 2.0 * Capacity(Rise(0.0, 25.0))).formula
    'D + 2 capacity'

    Args:
        nats: C, nats per example; usually a rising schedule.
        rate: R, of a single layer if each has its own capacity; of all layers by default.
    """

    def __init__(self, nats: float | Schedule, rate: Rate | None = None) -> None:
        super().__init__()
        self.nats, self.rate = as_schedule(nats), rate or Rate()
        self.name = self.rate.name.replace("rate", "capacity")
        self.symbol = "" if self.rate.layer is None else f"|{self.rate.symbol} − C|"

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        rate = self.rate(trace, x)
        nats = (rate.total - self.nats()).abs()
        estimated = frozenset({self.name}) if rate.estimated else frozenset()
        return Loss(nats, {self.name: nats}, estimated)
