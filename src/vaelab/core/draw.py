r"""Where z comes from.

A generative program is written once, as code that asks a `Draw` for each latent:

    z = draw(prior, posterior)

Training, generating, reconstructing and clamping differ only in the draw that is handed in:

    FromPosterior   z ~ q(z|x)          infer: the ELBO, bounds, encoding (temperature 0)
    FromPrior       z ~ p(z)            generate
    Given           z = the given one   decode, edit; what is not given is drawn from the prior
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from vaelab.distributions.base import Dirac, Distribution, kl

Evidence = Tensor | tuple[Tensor, ...]
"""What an encoder says of x: (B, …), or one such tensor a level of a hierarchy."""

Condition = tuple[Tensor, ...]
"""What is known of every example beforehand: nothing, or one vector each, (B, C)."""

Posterior = Callable[[Evidence], Distribution]


@dataclass(frozen=True, eq=False)
class Site:
    """One latent as it was met on the walk: its value (B, …) and the two distributions there."""

    z: Tensor
    prior: Distribution
    posterior: Distribution

    @property
    def has_rate(self) -> bool:
        """Whether the posterior has a density; a deterministic code has no rate."""
        return self.posterior.has_density

    def rate(self) -> tuple[Tensor, bool]:
        """KL(q ‖ p) in nats (B,), and whether it is the closed form.

        Where none is registered for the pair it is the estimate log q(z) − log p(z).

        Raises:
            TypeError: where the posterior is a point, which has no rate.
        """
        closed = kl(self.posterior, self.prior)
        if closed is not None:
            return closed, True
        return self.posterior.log_prob(self.z) - self.prior.log_prob(self.z), False


class Draw(ABC):
    """Answers a program's request for a latent and remembers each site it was asked at.

    Args:
        batch: B, how many examples are walked.
        given: what is known of them, of batch B; the program hands it to its parts.
    """

    def __init__(self, batch: int, given: Condition = ()) -> None:
        self.batch, self.given = batch, given
        self.sites: list[Site] = []

    def __call__(self, prior: Distribution, posterior: Posterior) -> Tensor:
        """Returns z (B, …) for this site."""
        site = self.meet(prior.expand(self.batch), posterior, len(self.sites))
        self.sites.append(site)
        return site.z

    @abstractmethod
    def meet(self, prior: Distribution, posterior: Posterior, index: int) -> Site:
        """Decides the value at the site of this index."""


class FromPosterior(Draw):
    """z ~ q(z|x) from the evidence of an encoder; temperature 0 takes the posterior's centre."""

    def __init__(self, evidence: Evidence, temperature: float = 1.0, given: Condition = ()) -> None:
        first = evidence[0] if isinstance(evidence, tuple) else evidence
        super().__init__(first.shape[0], given)
        self.evidence, self.temperature = evidence, temperature

    def meet(self, prior: Distribution, posterior: Posterior, index: int) -> Site:
        z, q = posterior(self.evidence).sample_with_density(self.temperature)
        return Site(z, prior, q)


class FromPrior(Draw):
    """z ~ p(z), n of them; temperature scales the prior's spread."""

    def __init__(self, n: int, temperature: float = 1.0, given: Condition = ()) -> None:
        super().__init__(n, given)
        self.temperature = temperature

    def meet(self, prior: Distribution, posterior: Posterior, index: int) -> Site:
        return Site(prior.sample(self.temperature), prior, prior)


class Given(Draw):
    """The first sites take the given latents (B, …); those below are drawn from their prior.

    Args:
        latents: one tensor a site, in the order of the walk; at least one.
        temperature: of the prior draws at the sites that were not given.
        given: what is known of the examples.
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
    """Repeats evidence K times along the batch: (B, …) → (K·B, …), sample-major."""
    if samples == 1:
        return evidence
    if isinstance(evidence, tuple):
        return tuple(t.repeat(samples, *[1] * (t.ndim - 1)) for t in evidence)
    return evidence.repeat(samples, *[1] * (evidence.ndim - 1))
