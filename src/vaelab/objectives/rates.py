r"""What may be asked of the rate other than that it be small.

    free bits   Σ_g max(λ, E_x R_g)     no gain below λ nats a group         (Kingma 1606.04934)
    capacity    |R − C(t)|              towards C nats an example, from either side
                                                                             (Burgess 1804.03599)
                |R_l − C_l(t)|          of each layer of latents its own     (Dupont 1804.00104)

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
    """Σ_g max(λ, R_g) over the groups g of every site's latents.

    By the paper R_g is averaged over the batch before it is compared with λ: where the mean is
    above λ each example has its own rate, and λ elsewhere, so that their mean is the paper's term.

    Args:
        free: λ ≥ 0, nats a group.
        groups: parts that the first axis of a site's latents (of a map, its channels) is cut into;
            1 is the whole layer, None each on its own.
        by_example: compares the rate of each example instead; it is then free of its batch.
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
        """The loss of x.

        Raises:
            ValueError: where a site's latents cannot be cut into so many groups.
            TypeError: where they should be, and their rate has no closed form to be cut.
        """
        found = [self._grouped(site) for site in trace.sites]
        rates = trace.unfold(torch.cat([rates for rates, _ in found], 1)).mean(0)
        compared = rates if self.by_example else rates.mean(0, keepdim=True)
        nats = torch.where(compared > self.free, rates, torch.full_like(rates, self.free)).sum(1)
        exact = all(closed for _, closed in found)
        return Loss(nats, {"free_bits": nats}, frozenset() if exact else frozenset({"free_bits"}))

    def _grouped(self, site: Site) -> tuple[Tensor, bool]:
        """Rates of the groups (K·B, G), and whether they are in closed form."""
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
    """|R − C|, for each example; its weight is Burgess's γ.

    Args:
        nats: C, nats an example; as a rule it rises while the model is trained.
        rate: R, that of one layer of latents where each has a capacity of its own; of all if not
            given.
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
