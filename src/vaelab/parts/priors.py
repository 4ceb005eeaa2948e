r"""Priors p(z): conditionals that need nothing given.

    N(0, I)          N(μ, σ²)          Σ_k π_k N(μ_k, σ_k²)          1/K Σ_k q(z | u_k)

Of a prior that is learned, the rate pays only for what the posterior adds to it. What it does not
have in closed form is estimated from the draw of z that the walk made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vaelab.core import Conditional
from vaelab.distributions import Mixture, Normal
from vaelab.parts.posteriors import bounded


class Standard(Conditional):
    """N(0, I) over latents of the given shape.

    >>> Standard(2)().mean.shape
    torch.Size([1, 2])
    """

    mu: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mu", torch.zeros(1, *shape), persistent=False)

    def forward(self, *given: Tensor) -> Normal:
        return Normal(self.mu, torch.zeros_like(self.mu))


class LearnedNormal(Conditional):
    """N(μ, σ²), both learned for every dimension of the given shape; N(0, I) to begin with."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.mu = nn.Parameter(torch.zeros(1, *shape))
        self.log_sigma = nn.Parameter(torch.zeros(1, *shape))

    def forward(self, *given: Tensor) -> Normal:
        return Normal(self.mu, bounded(self.log_sigma))


class NormalMixture(Conditional):
    """Σ_k π_k N(μ_k, σ_k²) with all of it learned (1611.02648); at first, draws of N(0, I) for μ.

    Args:
        components: K, at least 1.
        shape: of the latents.
    """

    def __init__(self, components: int, *shape: int) -> None:
        super().__init__()
        _some(components, "components")
        self.logits = nn.Parameter(torch.zeros(1, components))
        self.mu = nn.Parameter(torch.randn(components, *shape))
        self.log_sigma = nn.Parameter(torch.zeros(components, *shape))

    def forward(self, *given: Tensor) -> Mixture:
        components = Normal(self.mu, bounded(self.log_sigma))
        return Mixture(torch.log_softmax(self.logits, 1), components)


class Vamp(Conditional):
    """1/K Σ_k q(z | u_k): the posteriors at K learned pseudo-inputs u (VampPrior, 1705.07120).

    It refers to the model's own encoder and posterior, and holds no weights of theirs: they are
    trained, kept and moved with the model.

    Args:
        encoder: of the model, x ↦ evidence.
        posterior: of the model.
        pseudo_inputs: K, at least 1.
        shape: of one x.
        bounded: whether x lies in [0, 1], so that the pseudo-inputs must.
        condition: what the encoder is told of each, (K, C), where the model is conditional.
    """

    log_weights: Tensor
    condition: Tensor | None

    def __init__(
        self,
        encoder: nn.Module,
        posterior: Conditional,
        pseudo_inputs: int,
        shape: Sequence[int],
        bounded: bool,
        condition: Tensor | None = None,
    ) -> None:
        super().__init__()
        _some(pseudo_inputs, "pseudo_inputs")
        # In a tuple: as attributes they would be registered here too, and every weight kept twice.
        # A deep copy of the model refers to the copied encoder, as the two meet in its memo.
        self.inference = (encoder, posterior)
        self.bounded = bounded
        self.raw = nn.Parameter(torch.randn(pseudo_inputs, *shape))
        even = torch.full((1, pseudo_inputs), -math.log(pseudo_inputs))
        self.register_buffer("log_weights", even, persistent=False)
        self.register_buffer("condition", condition, persistent=False)

    @property
    def pseudo_inputs(self) -> Tensor:
        """u at the model's scale, (K, …): at first noise about mid-grey, or about the mean of x."""
        return torch.sigmoid(self.raw) if self.bounded else self.raw

    def forward(self, *given: Tensor) -> Mixture:
        encoder, posterior = self.inference
        told = () if self.condition is None else (self.condition,)
        return Mixture(self.log_weights, posterior(encoder(self.pseudo_inputs, *told)))


def _some(count: int, name: str) -> None:
    if count < 1:
        raise ValueError(f"{name} is {count}; a mixture needs at least 1")
