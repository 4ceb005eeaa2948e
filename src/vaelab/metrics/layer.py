r"""Rate of each layer of latents, by dimension if the dimensions are independent, and active units.

    R = Σ_layers R_l,    R_l = E_x E_q KL(q(z_l | z_<l, x) ‖ p(z_l | z_<l))
    active units of l:   Var_x(E_q[z_j|x]) > 0.01                    (Burda et al. 1509.00519)

Below the first layer the posterior depends on the latents drawn above it, so the variance of its
mean has their noise in it: the count says little there, and little of priors other than N(0, I).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.core import VAE, Condition
from vaelab.distributions import kl_by_dimension
from vaelab.metrics.estimate import Estimate
from vaelab.metrics.inputs import paired
from vaelab.metrics.latent import active_units


@dataclass(frozen=True, eq=False)
class Layer:
    """One site of latents over a data set.

    Attributes:
        rate: nats per example.
        by_dimension: the rate of each dimension; None without a closed form.
        active: mask of the active units, bool (D,); None for discrete codes, which have none.
    """

    rate: Estimate
    by_dimension: tuple[Estimate, ...] | None
    active: Tensor | None


@torch.no_grad()
def layers(
    model: VAE, batches: Iterable[Tensor], conditions: Iterable[Condition] | None = None
) -> list[Layer]:
    """The layers of a model in the order of its walk.

    Args:
        model: on the batches' device, with posteriors that have a density.
        batches: x (B, …) at the model's scale.
        conditions: condition of each batch, ((B, C),), for a conditional model.

    Raises:
        TypeError: if a posterior is a point, which has no rate.
    """
    rates: dict[int, list[Tensor]] = {}
    means: dict[int, list[Tensor]] = {}
    split: dict[int, list[Tensor]] = {}
    for x, condition in paired(batches, conditions):
        for number, site in enumerate(model(x, condition=condition).sites):
            rates.setdefault(number, []).append(site.rate()[0])
            if site.posterior.has_coordinates:
                means.setdefault(number, []).append(site.posterior.mean.flatten(1))
            by_dimension = kl_by_dimension(site.posterior, site.prior)
            if by_dimension is not None:
                split.setdefault(number, []).append(by_dimension.flatten(1))
    return [
        Layer(
            Estimate.mean(torch.cat(rates[number])),
            tuple(map(Estimate.mean, torch.cat(split[number]).unbind(1)))
            if number in split
            else None,
            active_units(torch.cat(means[number])) if number in means else None,
        )
        for number in rates
    ]
