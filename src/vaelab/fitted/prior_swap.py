"""A model whose first latent has another prior; all else is the model's own, weights included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import nn

from vaelab.core import VAE, Conditional, Draw, Generator, Site
from vaelab.core.draw import Posterior
from vaelab.distributions import Distribution


class PriorOverride(Draw):
    """A draw that meets the first site with another prior."""

    def __init__(self, draw: Draw, prior: Distribution) -> None:
        super().__init__(draw.batch, draw.given)
        self.draw, self.prior = draw, prior.expand(draw.batch)
        self.sites = draw.sites  # one list, so that the walk's owner sees what was met

    def meet(self, prior: Distribution, posterior: Posterior, index: int) -> Site:
        return self.draw.meet(self.prior if index == 0 else prior, posterior, index)


class WithPrior(Generator):
    """A program whose first latent has another prior; the latents below keep theirs, given it.

    Args:
        generator: the program.
        prior: of its first latent.
    """

    def __init__(self, generator: Generator, prior: Conditional) -> None:
        super().__init__()
        self.generator, self.prior = generator, prior

    @property
    def likelihood(self) -> nn.Module:
        """The program's own."""
        return cast(nn.Module, self.generator.likelihood)

    def forward(self, draw: Draw) -> Distribution:
        return self.generator(PriorOverride(draw, self.prior()))

    def update_buffers(self, sites: Sequence[Site]) -> None:
        self.generator.update_buffers(sites)


def replaced(model: VAE, prior: Conditional) -> VAE:
    """The model with another prior of its first latent; it shares the model's weights."""
    return VAE(model.encoder, WithPrior(model.generator, prior)).eval()
