"""Model with another prior of its first latent, sharing all weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import nn

from vaelab.core import VAE, Conditional, Draw, Generator, Site
from vaelab.core.draw import Posterior
from vaelab.distributions import Distribution


class PriorOverride(Draw):
    """Draw with another prior at the first site."""

    def __init__(self, draw: Draw, prior: Distribution) -> None:
        super().__init__(draw.batch, draw.given)
        self.draw, self.prior = draw, prior.expand(draw.batch)
        self.sites = draw.sites  # shared, so that the caller observes every site

    def meet(self, prior: Distribution, posterior: Posterior, index: int) -> Site:
        return self.draw.meet(self.prior if index == 0 else prior, posterior, index)


class WithPrior(Generator):
    """Program with another prior of its first latent; the latents below keep theirs, given it.

    Args:
        generator: original program.
        prior: prior of its first latent.
    """

    def __init__(self, generator: Generator, prior: Conditional) -> None:
        super().__init__()
        self.generator, self.prior = generator, prior

    @property
    def likelihood(self) -> nn.Module:
        """Likelihood of the original program."""
        return cast(nn.Module, self.generator.likelihood)

    def forward(self, draw: Draw) -> Distribution:
        return self.generator(PriorOverride(draw, self.prior()))

    def update_buffers(self, sites: Sequence[Site]) -> None:
        self.generator.update_buffers(sites)


def replaced(model: VAE, prior: Conditional) -> VAE:
    """Return the model with another prior of its first latent; it shares the model's weights."""
    return VAE(model.encoder, WithPrior(model.generator, prior)).eval()
