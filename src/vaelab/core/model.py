r"""The walk: a generative program, walked with a draw.

p(x, z) = p(z₁) p(z₂|z₁) … p(x|z)          q(z|x) = q(z₁|x) q(z₂|z₁, x) …

log w = log p(x|z) + Σ_sites [log p(z) − log q(z|x)],   E_q[w] = p(x)

Where something is known of x beforehand, every part of this may be conditioned on it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from vaelab.core.draw import Condition, Draw, Evidence, FromPosterior, FromPrior, Given, Site, tile
from vaelab.distributions.base import Distribution


class Conditional(nn.Module, ABC):
    """A module that yields a distribution: p(· | given); with nothing given, unconditional."""

    @abstractmethod
    def forward(self, *given: Tensor) -> Distribution:
        """The distribution given tensors of shape (B, …)."""

    def update_buffers(self, site: Site) -> None:
        """Changes state that is no gradient's, after a step that met this site; without gradients.

        A codebook that follows its codes' averages does; nothing of the kind happens in `forward`.
        """

    if TYPE_CHECKING:  # nn.Module.__call__ is untyped; declared here, callers keep their types

        def __call__(self, *given: Tensor) -> Distribution: ...


@dataclass(frozen=True, eq=False)
class Trace:
    """One walk: distributions are kept, numbers are computed when asked for.

    Attributes:
        sites: the latents in the order they were met, batch K·B.
        likelihood: p(x|z), batch K·B.
        samples: K, the number of draws for each example.
        given: what was known of the examples, batch K·B.
    """

    sites: tuple[Site, ...]
    likelihood: Distribution
    samples: int = 1
    given: Condition = ()

    @property
    def latents(self) -> tuple[Tensor, ...]:
        """Every site's z, (K·B, …)."""
        return tuple(site.z for site in self.sites)

    def log_likelihood(self, x: Tensor) -> Tensor:
        """log p(x|z) in nats for x (B, …): (K·B,)."""
        return self.likelihood.log_prob(cast(Tensor, tile(x, self.samples)))

    def log_weights(self, x: Tensor) -> Tensor:
        """log p(x, z) − log q(z|x) in nats for x (B, …): (K, B)."""
        log_w = self.log_likelihood(x)
        for site in self.sites:
            log_w = log_w + site.prior.log_prob(site.z) - site.posterior.log_prob(site.z)
        return self.unfold(log_w)

    @property
    def has_rate(self) -> bool:
        """Whether every site has one."""
        return all(site.has_rate for site in self.sites)

    def rate(self) -> tuple[Tensor, bool]:
        """R = Σ_sites KL(q ‖ p) in nats (K·B,), and whether all of it is in closed form."""
        rates = [site.rate() for site in self.sites]
        return torch.stack([nats for nats, _ in rates]).sum(0), all(closed for _, closed in rates)

    @property
    def units(self) -> Tensor:
        """Posterior means of every site whose numbers are units, side by side, (K·B, L)."""
        means = [s.posterior.mean.flatten(1) for s in self.sites if s.posterior.has_coordinates]
        z = self.latents[0]
        return torch.cat(means, 1) if means else z.new_empty(len(z), 0)

    def unfold(self, t: Tensor) -> Tensor:
        """(K·B, …) → (K, B, …)."""
        return t.unflatten(0, (self.samples, -1))


def join(latents: Iterable[Tensor]) -> Tensor:
    """Latents (B, …) of all sites side by side, as one code (B, L)."""
    return torch.cat([z.flatten(1) for z in latents], 1)


def cut(codes: Tensor, shapes: Iterable[Sequence[int]]) -> list[Tensor]:
    """The inverse of `join`, for latents of these shapes without the batch."""
    shapes = [tuple(shape) for shape in shapes]
    parts = codes.split([math.prod(shape) for shape in shapes], 1)
    return [z.unflatten(1, shape) for z, shape in zip(parts, shapes, strict=True)]


class Generator(nn.Module, ABC):
    """A generative program: it asks the draw for each latent and yields the likelihood."""

    @abstractmethod
    def forward(self, draw: Draw) -> Distribution:
        """p(x | z…), batch `draw.batch`."""

    @abstractmethod
    def update_buffers(self, sites: Sequence[Site]) -> None:
        """Hands every site of a walk to the part that inferred it, for
        `Conditional.update_buffers`."""


class Shallow(Generator):
    """One latent: p(z) p(x|z), with q(z | evidence); what is known the last two are told."""

    def __init__(
        self,
        prior: Conditional,
        posterior: Conditional,
        decoder: nn.Module,
        likelihood: Conditional,
    ) -> None:
        super().__init__()
        self.prior, self.posterior = prior, posterior
        self.decoder, self.likelihood = decoder, likelihood

    def forward(self, draw: Draw) -> Distribution:
        z = draw(self.prior(), lambda evidence: self.posterior(cast(Tensor, evidence), *draw.given))
        return self.likelihood(self.decoder(z, *draw.given))

    def update_buffers(self, sites: Sequence[Site]) -> None:
        self.posterior.update_buffers(sites[0])


class Block(nn.Module, ABC):
    """One level of a hierarchy: what it expects, what it infers, and how it changes the state h."""

    @abstractmethod
    def prior(self, h: Tensor) -> Distribution:
        """p(z | h) for the state h (B, …)."""

    @abstractmethod
    def posterior(self, h: Tensor, evidence: Evidence) -> Distribution:
        """q(z | h, evidence)."""

    @abstractmethod
    def merge(self, h: Tensor, z: Tensor) -> Tensor:
        """The state below this level, (B, …)."""

    def update_buffers(self, site: Site) -> None:
        """As `Conditional.update_buffers`, for the posterior of this level."""


class Ladder(Generator):
    """Latents from the top down; each posterior sees the decoder's state and the evidence.

    Args:
        root: n, and what is known where something is ↦ the state above the first level, (n, …);
            it is through the state that all below is told.
        blocks: the levels, top first.
        decoder: the last state ↦ the likelihood's parameters.
        likelihood: p(x | decoder's output).
    """

    def __init__(
        self,
        root: nn.Module,
        blocks: Iterable[Block],
        decoder: nn.Module,
        likelihood: Conditional,
    ) -> None:
        super().__init__()
        self.root, self.blocks = root, nn.ModuleList(blocks)
        self.decoder, self.likelihood = decoder, likelihood

    def forward(self, draw: Draw) -> Distribution:
        h = self.root(draw.batch, *draw.given)
        for block in cast("Iterable[Block]", self.blocks):
            z = draw(block.prior(h), partial(block.posterior, h))
            h = block.merge(h, z)
        return self.likelihood(self.decoder(h))

    def update_buffers(self, sites: Sequence[Site]) -> None:
        for block, site in zip(cast("Iterable[Block]", self.blocks), sites, strict=True):
            block.update_buffers(site)


class VAE(nn.Module):
    """An encoder and a generator: every member of the family.

    Args:
        encoder: any module x (B, …), and what is known of x where something is ↦ evidence, a
            tensor or a tuple of them with batch B.
        generator: the generative program.
    """

    def __init__(self, encoder: nn.Module, generator: Generator) -> None:
        super().__init__()
        self.encoder, self.generator = encoder, generator

    def forward(
        self,
        x: Tensor,
        samples: int = 1,
        temperature: float = 1.0,
        condition: Condition = (),
    ) -> Trace:
        """Infers: K latents for each x.

        Args:
            x: (B, …) at the model's scale.
            samples: K; the encoder runs once, its evidence is tiled.
            temperature: scales the posteriors' spread; 0 gives their centres.
            condition: what is known of each x, (B, C), for a conditional model; () for any other.
        """
        return self.infer(self.encoder(x, *condition), samples, temperature, condition)

    def infer(
        self,
        evidence: Evidence,
        samples: int = 1,
        temperature: float = 1.0,
        condition: Condition = (),
    ) -> Trace:
        """As `forward`, from what the encoder said of x; bounds encode once and infer often."""
        known = cast(Condition, tile(condition, samples))
        return self._walk(FromPosterior(tile(evidence, samples), temperature, known), samples)

    def sample(self, n: int, temperature: float = 1.0, condition: Condition = ()) -> Trace:
        """Generates n examples from the prior, of a condition (n, C) where the model has one."""
        return self._walk(FromPrior(n, temperature, condition))

    def decode(
        self, latents: Sequence[Tensor], temperature: float = 1.0, condition: Condition = ()
    ) -> Trace:
        """Decodes the first sites' latents (B, …); the sites below are drawn from their prior."""
        return self._walk(Given(latents, temperature, condition))

    def update_buffers(self, trace: Trace) -> None:
        """Lets every part change what is not a gradient's to change, after a step on this walk."""
        self.generator.update_buffers(trace.sites)

    def _walk(self, draw: Draw, samples: int = 1) -> Trace:
        likelihood = self.generator(draw)
        return Trace(tuple(draw.sites), likelihood, samples, draw.given)

    if TYPE_CHECKING:

        def __call__(
            self,
            x: Tensor,
            samples: int = 1,
            temperature: float = 1.0,
            condition: Condition = (),
        ) -> Trace: ...


def full_precision(t: Tensor) -> Tensor:
    """float32 for what autocast left in half precision; float32 and float64 stay as they are."""
    return t.float() if t.dtype in (torch.bfloat16, torch.float16) else t
