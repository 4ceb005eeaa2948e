r"""Initial distributions of annealing: f_0 = q(z|x), or f_0 = p(z), over the latents of all sites.

For a conditional model everything is given c: f_0 = q(z|x, c), or f_0 = p(z|c).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import cast, final

import torch
from torch import Tensor

from vaelab.core import VAE, Condition, Draw, Evidence, Given, Site, cut, join
from vaelab.core.draw import Posterior, tile
from vaelab.distributions import Distribution
from vaelab.metrics.hamiltonian import Densities, Density


class Start(ABC):
    """f_0: the normalised distribution that annealing sets out from."""

    @abstractmethod
    def draw(self, model: VAE, x: Tensor, chains: int, condition: Condition = ()) -> Tensor:
        """z ~ f_0, K for each x (N, …), all sites side by side: (K·N, L)."""

    @abstractmethod
    def densities(self, model: VAE, x: Tensor, chains: int, condition: Condition = ()) -> Density:
        """The two densities as functions of z (K·N, L)."""


@final
class FromPriorStart(Start):
    """f_0 = p(z)."""

    def draw(self, model: VAE, x: Tensor, chains: int, condition: Condition = ()) -> Tensor:
        known = cast(Condition, tile(condition, chains))
        return join(model.sample(chains * len(x), condition=known).latents)

    def densities(self, model: VAE, x: Tensor, chains: int, condition: Condition = ()) -> Density:
        shapes, of = shapes_of(model, condition), tiled(x, chains)
        known = cast(Condition, tile(condition, chains))

        def at(z: Tensor) -> Densities:
            draw = Given(cut(z, shapes), given=known)
            likelihood = model.generator(draw)
            prior = torch.stack([site.prior.log_prob(site.z) for site in draw.sites]).sum(0)
            return Densities(prior, likelihood.log_prob(of) + prior)

        return at


@final
class FromPosteriorStart(Start):
    """f_0 = q(z|x): the encoder's guess, which needs fewer steps to the posterior than the prior.

    Raises:
        TypeError: in use, if a posterior is a point and has no density.
    """

    def draw(self, model: VAE, x: Tensor, chains: int, condition: Condition = ()) -> Tensor:
        return join(model(x, chains, condition=condition).latents)

    def densities(self, model: VAE, x: Tensor, chains: int, condition: Condition = ()) -> Density:
        shapes, of = shapes_of(model, condition), tiled(x, chains)
        evidence = tile(model.encoder(x, *condition), chains)
        known = cast(Condition, tile(condition, chains))

        def at(z: Tensor) -> Densities:
            draw = Held(cut(z, shapes), evidence, known)
            likelihood = model.generator(draw)
            prior, posterior = torch.zeros(2, len(z), dtype=z.dtype, device=z.device)
            for site in draw.sites:
                prior = prior + site.prior.log_prob(site.z)
                posterior = posterior + site.posterior.log_prob(site.z)
            return Densities(posterior, likelihood.log_prob(of) + prior)

        return at


class Held(Draw):
    """Every site takes the given latent, and keeps the density of the posterior there."""

    def __init__(
        self, latents: Iterable[Tensor], evidence: Evidence, given: Condition = ()
    ) -> None:
        self.latents = tuple(latents)
        super().__init__(self.latents[0].shape[0], given)
        self.evidence = evidence

    def meet(self, prior: Distribution, posterior: Posterior, index: int) -> Site:
        return Site(self.latents[index], prior, posterior(self.evidence))


PRIOR, POSTERIOR = FromPriorStart(), FromPosteriorStart()


def tiled(t: Tensor, chains: int) -> Tensor:
    return cast(Tensor, tile(t, chains))


def shapes_of(model: VAE, condition: Condition = ()) -> tuple[torch.Size, ...]:
    """The shape of one example's latent at every site."""
    with torch.no_grad():
        one = model.sample(1, condition=first(condition))
        return tuple(z.shape[1:] for z in one.latents)


def first(condition: Condition) -> Condition:
    """Condition of the first example alone."""
    return tuple(c[:1] for c in condition)
