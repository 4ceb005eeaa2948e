r"""Draws: the source of each latent z in a generative program.

A generative program is written once, as code that asks a `Draw` for each latent:

    z = draw(prior, posterior)

Training, generation, reconstruction and editing differ only in the draw that is passed in:

    FromPosterior   z ~ q(z|x)            infer: the ELBO, bounds, encoding (temperature 0)
    FromPrior       z ~ p(z)              generate
    Given           z = the given latent  decode, edit; latents that are not given follow the prior
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from vaelab.distributions.base import Dirac, Distribution, kl

Evidence = Tensor | tuple[Tensor, ...]
"""Output of an encoder for x: (B, …), or a tuple of such tensors, one per level of a hierarchy."""

Condition = tuple[Tensor, ...]
"""Condition of every example: empty, or one vector each, (B, C)."""

Posterior = Callable[[Evidence], Distribution]


@dataclass(frozen=True, eq=False)
class Site:
    """One latent of an execution: its value (B, …), its prior and its posterior.

    >>> import torch
    >>> from vaelab.distributions import Normal
    >>> zero = torch.zeros(1, 2)
    >>> q, p = Normal(zero + 1, zero), Normal(zero, zero)
    >>> Site(q.sample(), p, q).rate()
    (tensor([1.]), True)
    """

    z: Tensor
    prior: Distribution
    posterior: Distribution

    @property
    def has_rate(self) -> bool:
        """True if the posterior has a density; a deterministic code has no rate."""
        return self.posterior.has_density

    def rate(self) -> tuple[Tensor, bool]:
        """KL(q ‖ p) in nats (B,), and True if it is in closed form.

        If no closed form is registered for the pair, the rate is the estimate log q(z) − log p(z).

        Raises:
            TypeError: if the posterior is a point, which has no rate.
        """
        closed = kl(self.posterior, self.prior)
        if closed is not None:
            return closed, True
        return self.posterior.log_prob(self.z) - self.prior.log_prob(self.z), False


class Draw(ABC):
    """Source of the latents of a program; records the site of every request.

    Args:
        batch: number of examples B.
        given: condition of the examples, batch B; the program passes it to its parts.
    """

    def __init__(self, batch: int, given: Condition = ()) -> None:
        self.batch, self.given = batch, given
        self.sites: list[Site] = []

    def __call__(self, prior: Distribution, posterior: Posterior) -> Tensor:
        """Return z (B, …) for this site."""
        site = self.meet(prior.expand(self.batch), posterior, len(self.sites))
        self.sites.append(site)
        return site.z

    @abstractmethod
    def meet(self, prior: Distribution, posterior: Posterior, index: int) -> Site:
        """Return the site at this index, with its value."""


class FromPosterior(Draw):
    """z ~ q(z|x) from the evidence of an encoder; its centre at temperature 0."""

    def __init__(self, evidence: Evidence, temperature: float = 1.0, given: Condition = ()) -> None:
        first = evidence[0] if isinstance(evidence, tuple) else evidence
        super().__init__(first.shape[0], given)
        self.evidence, self.temperature = evidence, temperature

    def meet(self, prior: Distribution, posterior: Posterior, index: int) -> Site:
        z, q = posterior(self.evidence).sample_with_density(self.temperature)
        return Site(z, prior, q)


class FromPrior(Draw):
    """z ~ p(z), n of them; temperature scales the spread of the prior."""

    def __init__(self, n: int, temperature: float = 1.0, given: Condition = ()) -> None:
        super().__init__(n, given)
        self.temperature = temperature

    def meet(self, prior: Distribution, posterior: Posterior, index: int) -> Site:
        return Site(prior.sample(self.temperature), prior, prior)


class Given(Draw):
    """Given latents (B, …) at the first sites; the sites below are drawn from their prior.

    Args:
        latents: one tensor per site, in the order of the program; at least one.
        temperature: temperature of the prior draws at the sites that were not given.
        given: condition of the examples.
    """

    def __init__(
        self, latents: Sequence[Tensor], temperature: float = 1.0, given: Condition = ()
    ) -> None:
        if not latents:
            raise ValueError("no latent was given; give at least the first site's, or use sample()")
        super().__init__(latents[0].shape[0], given)
        self.latents, self.temperature = tuple(latents), temperature

    def meet(self, prior: Distribution, posterior: Posterior, index: int) -> Site:
        if index < len(self.latents):
            z = self.latents[index]
            return Site(z, prior, Dirac(z))
        return Site(prior.sample(self.temperature), prior, prior)


def tile(evidence: Evidence, samples: int) -> Evidence:
    """Repeat evidence K times along the batch: (B, …) → (K·B, …), sample-major.

    >>> import torch
    >>> tile(torch.tensor([1, 2]), 2)
    tensor([1, 2, 1, 2])
    """
    if samples == 1:
        return evidence
    if isinstance(evidence, tuple):
        return tuple(t.repeat(samples, *[1] * (t.ndim - 1)) for t in evidence)
    return evidence.repeat(samples, *[1] * (evidence.ndim - 1))
