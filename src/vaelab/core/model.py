r"""Generative programs, their executions (traces) and the VAE.

p(x, z) = p(z₁) p(z₂|z₁) … p(x|z)          q(z|x) = q(z₁|x) q(z₂|z₁, x) …

log w = log p(x|z) + Σ_sites [log p(z) − log q(z|x)],   E_q[w] = p(x)

In a conditional model every factor may depend on a condition c of x as well.
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
from vaelab.utils.hints import hinting


class Conditional(nn.Module, ABC):
    """Module that yields a distribution p(· | given); unconditional if nothing is given."""

    @abstractmethod
    def forward(self, *given: Tensor) -> Distribution:
        """Return the distribution given tensors of shape (B, …)."""

    def update_buffers(self, site: Site) -> None:
        """Update state that has no gradient, after a step with this site and without gradients.

        A codebook that follows running averages of its codes does so here, never in `forward`.
        """

    if TYPE_CHECKING:  # nn.Module.__call__ is untyped; declared here, callers keep their types

        def __call__(self, *given: Tensor) -> Distribution: ...


@dataclass(frozen=True, eq=False)
class Trace:
    """Execution of a program: it keeps distributions and computes numbers on demand.

    Attributes:
        sites: latents in the order of the program, batch K·B.
        likelihood: p(x|z), batch K·B.
        samples: number of draws per example, K.
        given: condition of the examples, batch K·B.
    """

    sites: tuple[Site, ...]
    likelihood: Distribution
    samples: int = 1
    given: Condition = ()

    @property
    def latents(self) -> tuple[Tensor, ...]:
        """z of every site, (K·B, …)."""
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
        """True if every site has a rate."""
        return all(site.has_rate for site in self.sites)

    def rate(self) -> tuple[Tensor, bool]:
        """R = Σ_sites KL(q ‖ p) in nats (K·B,), and True if all of it is in closed form."""
        rates = [site.rate() for site in self.sites]
        return torch.stack([nats for nats, _ in rates]).sum(0), all(closed for _, closed in rates)

    @property
    def units(self) -> Tensor:
        """Posterior means of every site with coordinates, concatenated, (K·B, L)."""
        means = [s.posterior.mean.flatten(1) for s in self.sites if s.posterior.has_coordinates]
        z = self.latents[0]
        return torch.cat(means, 1) if means else z.new_empty(len(z), 0)

    def unfold(self, t: Tensor) -> Tensor:
        """(K·B, …) → (K, B, …)."""
        return t.unflatten(0, (self.samples, -1))


def join(latents: Iterable[Tensor]) -> Tensor:
    """Concatenate the latents (B, …) of all sites to one code (B, L).

    >>> join([torch.zeros(5, 2), torch.zeros(5, 3, 4)]).shape
    torch.Size([5, 14])
    """
    return torch.cat([z.flatten(1) for z in latents], 1)


def cut(codes: Tensor, shapes: Iterable[Sequence[int]]) -> list[Tensor]:
    """Split codes (B, L) into latents of these shapes (without the batch): the inverse of `join`.

    >>> [z.shape for z in cut(torch.zeros(5, 14), [(2,), (3, 4)])]
    [torch.Size([5, 2]), torch.Size([5, 3, 4])]
    """
    shapes = [tuple(shape) for shape in shapes]
    parts = codes.split([math.prod(shape) for shape in shapes], 1)
    return [z.unflatten(1, shape) for z, shape in zip(parts, shapes, strict=True)]


class Generator(nn.Module, ABC):
    """Generative program: it requests each latent from the draw and yields the likelihood."""

    @abstractmethod
    def forward(self, draw: Draw) -> Distribution:
        """Return p(x | z…), batch `draw.batch`."""

    @abstractmethod
    def update_buffers(self, sites: Sequence[Site]) -> None:
        """Pass every site of a trace to `update_buffers` of the part that inferred it."""


class Shallow(Generator):
    """Single-latent program p(z) p(x|z), with q(z | evidence).

    In a conditional model the posterior and the decoder receive the condition.

    Args:
        prior: p(z).
        posterior: q(z | evidence, condition).
        decoder: module z, condition ↦ parameters of the likelihood.
        likelihood: p(x | decoder's output).
    """

    @hinting
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
    """Level of a hierarchy: its prior, its posterior and its update of the state h."""

    @abstractmethod
    def prior(self, h: Tensor) -> Distribution:
        """Return p(z | h) for the state h (B, …)."""

    @abstractmethod
    def posterior(self, h: Tensor, evidence: Evidence) -> Distribution:
        """Return q(z | h, evidence)."""

    @abstractmethod
    def merge(self, h: Tensor, z: Tensor) -> Tensor:
        """Return the state below this level, (B, …)."""

    def update_buffers(self, site: Site) -> None:
        """Update state without a gradient, as `Conditional.update_buffers`."""


class Ladder(Generator):
    """Hierarchy of latents from the top down; a posterior reads the decoder's state too.

        h ← root(c)      z_l ~ p(z_l | h)  or  q(z_l | h, evidence)      h ← merge_l(h, z_l)

    Reference: Ladder Variational Autoencoders, Sønderby et al., 2016, arXiv:1602.02282.

    Args:
        root: module n, condition ↦ the state above the first level, (n, …). All levels receive the
            condition through the state.
        blocks: levels, top first.
        decoder: module from the last state to the parameters of the likelihood.
        likelihood: p(x | decoder's output).
    """

    @hinting
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
    """Variational autoencoder: an encoder and a generative program.

    Reference: Auto-Encoding Variational Bayes, Kingma & Welling, 2013, arXiv:1312.6114.

    >>> from vaelab.parts.likelihoods import BernoulliLikelihood
    >>> from vaelab.parts.posteriors import DiagonalNormal
    >>> from vaelab.parts.priors import Standard
    >>> likelihood, decoder = BernoulliLikelihood(), nn.Linear(2, 6)
    >>> generator = Shallow(Standard(2), DiagonalNormal(), decoder, likelihood)
    >>> model, x = VAE(nn.Linear(6, 4), generator), torch.ones(5, 6)
    >>> model(x, samples=3).log_weights(x).shape
    torch.Size([3, 5])
    >>> model.sample(4).likelihood.mean.shape
    torch.Size([4, 6])

    Args:
        encoder: any module from x (B, …), and the condition if there is one, to evidence: a tensor
            or a tuple of tensors with batch B.
        generator: generative program.
    """

    @hinting
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
        """Infer K latents for each x.

        Args:
            x: data (B, …) at the model's scale.
            samples: number of draws K; the encoder runs once, its evidence is tiled.
            temperature: scale of the posteriors' spread; 0 gives their centres.
            condition: condition of each x, (B, C), for a conditional model; () for any other.
        """
        return self.infer(self.encoder(x, *condition), samples, temperature, condition)

    def infer(
        self,
        evidence: Evidence,
        samples: int = 1,
        temperature: float = 1.0,
        condition: Condition = (),
    ) -> Trace:
        """Infer from the evidence of an encoder; bounds encode once and infer often."""
        repeated = cast(Condition, tile(condition, samples))
        return self._walk(FromPosterior(tile(evidence, samples), temperature, repeated), samples)

    def sample(self, n: int, temperature: float = 1.0, condition: Condition = ()) -> Trace:
        """Generate n examples from the prior, under a condition (n, C) if the model has one."""
        return self._walk(FromPrior(n, temperature, condition))

    def decode(
        self, latents: Sequence[Tensor], temperature: float = 1.0, condition: Condition = ()
    ) -> Trace:
        """Decode latents (B, …) of the first sites; the others are drawn from their prior."""
        return self._walk(Given(latents, temperature, condition))

    def update_buffers(self, trace: Trace) -> None:
        """Update all state that has no gradient, after a step on this trace."""
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
    """Convert the half precision of autocast to float32; keep float32 and float64."""
    return t.float() if t.dtype in (torch.bfloat16, torch.float16) else t
