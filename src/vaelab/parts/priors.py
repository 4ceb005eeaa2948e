r"""Priors p(z): conditionals without inputs.

    N(0, I)          N(μ, σ²)          Σ_k π_k N(μ_k, σ_k²)          1/K Σ_k q(z | u_k)

A rate without a closed form is estimated from the draw of z.
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
    """Standard normal prior N(0, I) over latents of the given shape.

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
    """Normal prior N(μ, σ²) with μ and σ learned for every dimension; it starts as N(0, I).

    >>> LearnedNormal(2)().sigma.detach()
    tensor([[1., 1.]])
    """

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.mu = nn.Parameter(torch.zeros(1, *shape))
        self.log_sigma = nn.Parameter(torch.zeros(1, *shape))

    def forward(self, *given: Tensor) -> Normal:
        return Normal(self.mu, bounded(self.log_sigma))


class NormalMixture(Conditional):
    """Mixture prior Σ_k π_k N(μ_k, σ_k²), all learned; each μ_k starts as a draw of N(0, I).

    Reference: Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders,
    Dilokthanakul et al., 2016, arXiv:1611.02648.

    >>> NormalMixture(3, 2)().expand(5).sample().shape
    torch.Size([5, 2])

    Args:
        components: number of components K, at least 1.
        shape: shape of the latents.

    Raises:
        ValueError: if there are no components.
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
    """VampPrior 1/K Σ_k q(z | u_k): the mixture of posteriors at K learned pseudo-inputs u.

    It refers to the model's own encoder and posterior and holds no weights of theirs: they are
    trained, saved and moved with the model.

    Reference: VAE with a VampPrior, Tomczak & Welling, 2017, arXiv:1705.07120.

    >>> from vaelab.parts.posteriors import DiagonalNormal
    >>> prior = Vamp(nn.Linear(6, 4), DiagonalNormal(), pseudo_inputs=3, shape=(6,), bounded=True)
    >>> prior().expand(5).sample().shape
    torch.Size([5, 2])

    Args:
        encoder: encoder of the model, x ↦ evidence.
        posterior: posterior of the model.
        pseudo_inputs: number of pseudo-inputs K, at least 1.
        shape: shape of one x.
        bounded: True if x lies in [0, 1], to which pseudo-inputs are then confined.
        condition: condition of each pseudo-input, (K, C), if the model is conditional.

    Raises:
        ValueError: if there are no pseudo-inputs.
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
        # In a tuple: as attributes they would be registered here too, and every weight saved twice.
        # A deep copy of the model refers to the copied encoder, since both share its memo.
        self.inference = (encoder, posterior)
        self.bounded = bounded
        self.raw = nn.Parameter(torch.randn(pseudo_inputs, *shape))
        even = torch.full((1, pseudo_inputs), -math.log(pseudo_inputs))
        self.register_buffer("log_weights", even, persistent=False)
        self.register_buffer("condition", condition, persistent=False)

    @property
    def pseudo_inputs(self) -> Tensor:
        """Pseudo-inputs u at the model's scale, (K, …); they start as noise about mid-grey or 0."""
        return torch.sigmoid(self.raw) if self.bounded else self.raw

    def forward(self, *given: Tensor) -> Mixture:
        encoder, posterior = self.inference
        condition = () if self.condition is None else (self.condition,)
        return Mixture(self.log_weights, posterior(encoder(self.pseudo_inputs, *condition)))


def _some(count: int, name: str) -> None:
    if count < 1:
        raise ValueError(f"{name} is {count}; a mixture needs at least 1")
