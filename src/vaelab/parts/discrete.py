r"""Categorical latents: N variables of K classes, as one-hot vectors (B, N, K).

They come with two objectives. With one-hot draws (Jang et al., 1611.01144) the rate is the KL of
categorical distributions in closed form and the decoder receives an exact draw, so that the loss is
−ELBO of the discrete model and its bounds are valid. Only the *gradient* is that of a relaxation,
and biased. With relaxed draws (Maddison et al., 1611.00712) the gradient is unbiased, but the bound
belongs to another model, whose latents are the logarithms of points inside the simplex.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from vaelab.core import Block, Conditional, Evidence, Schedule, full_precision
from vaelab.distributions import Concrete, Distribution, OneHotCategorical
from vaelab.parts.posteriors import Posterior


class UniformClasses(Conditional):
    """Uniform prior over N variables of K classes.

    >>> UniformClasses(3, 4)().mean.shape
    torch.Size([1, 3, 4])

    Args:
        variables: number of variables N, at least 1.
        classes: number of classes K, at least 2.

    Raises:
        ValueError: if either is smaller.
    """

    logits: Tensor

    def __init__(self, variables: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("logits", _level(variables, classes), persistent=False)

    def forward(self, *given: Tensor) -> OneHotCategorical:
        return OneHotCategorical(self.logits, torch.ones_like(self.logits[..., :1, :1]))


class Classes(Posterior):
    """Categorical posterior, one logit per class; one-hot draws with the gradient of a relaxation.

    Reference: Categorical Reparameterization with Gumbel-Softmax, Jang et al., 2016,
    arXiv:1611.01144.

    >>> from vaelab.core.schedule import Constant
    >>> Classes(2, 3, tau=Constant(0.5))(torch.randn(5, 6)).sample().sum(-1)[0]
    tensor([1., 1.])

    Args:
        variables: number of variables N, at least 1.
        classes: number of classes K, at least 2.
        tau: temperature of the relaxation, > 0: the lower, the less biased and the noisier.
    """

    params = 1

    def __init__(self, variables: int, classes: int, tau: Schedule) -> None:
        super().__init__()
        self.shape, self.tau = _level(variables, classes).shape[1:], tau

    def forward(self, *given: Tensor) -> OneHotCategorical:
        logits = full_precision(given[0]).unflatten(1, self.shape)
        return OneHotCategorical(logits, self.tau().to(logits.dtype).view(1, 1, 1))


class UniformConcrete(Conditional):
    """Relaxation of `UniformClasses` at temperature τ.

    Args:
        variables: number of variables N, at least 1.
        classes: number of classes K, at least 2.
        tau: temperature, > 0.
    """

    logits: Tensor

    def __init__(self, variables: int, classes: int, tau: Schedule) -> None:
        super().__init__()
        self.tau = tau
        self.register_buffer("logits", _level(variables, classes), persistent=False)

    def forward(self, *given: Tensor) -> Concrete:
        return Concrete(self.logits, self.tau().to(self.logits.dtype).view(1, 1, 1))


class ConcreteClasses(Posterior):
    """Relaxed categorical posterior, one logit per class; draws are log-points inside the simplex.

    Reference: The Concrete Distribution, Maddison et al., 2016, arXiv:1611.00712.

    >>> from vaelab.core.schedule import Constant
    >>> ConcreteClasses(2, 3, tau=Constant(0.5))(torch.randn(5, 6)).sample().shape
    torch.Size([5, 2, 3])

    Args:
        variables: number of variables N, at least 1.
        classes: number of classes K, at least 2.
        tau: temperature, > 0.
    """

    params = 1

    def __init__(self, variables: int, classes: int, tau: Schedule) -> None:
        super().__init__()
        self.shape, self.tau = _level(variables, classes).shape[1:], tau

    def forward(self, *given: Tensor) -> Concrete:
        logits = full_precision(given[0]).unflatten(1, self.shape)
        return Concrete(logits, self.tau().to(logits.dtype).view(1, 1, 1))


def _level(variables: int, classes: int) -> Tensor:
    if variables < 1 or classes < 2:
        raise ValueError(
            f"variables is {variables} and classes {classes}; expected at least 1 variable, of at "
            "least 2 classes"
        )
    return torch.zeros(1, variables, classes)


class Blank(nn.Module):
    """Zero state above the first latent: n ↦ (n, *shape).

    Args:
        shape: shape of one example's state; (0,) if levels only append to it.
    """

    h: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("h", torch.zeros(1, *shape), persistent=False)

    def forward(self, n: int) -> Tensor:
        return self.h.expand(n, *self.h.shape[1:])


class Independent(Block):
    """One of several independent latents, as a level of a ladder.

    h is the concatenation of the latents so far, from a `Blank(0)` at the top or from the
    condition; each latent reads its own slice of the evidence.

    Args:
        own_prior: p(z).
        own_posterior: q(z | its slice of the evidence).
        start: start of the slice.
        stop: end of the slice.
    """

    def __init__(
        self, own_prior: Conditional, own_posterior: Posterior, start: int, stop: int
    ) -> None:
        super().__init__()
        self.own_prior, self.own_posterior = own_prior, own_posterior
        self.start, self.stop = start, stop

    def prior(self, h: Tensor) -> Distribution:
        return self.own_prior()

    def posterior(self, h: Tensor, evidence: Evidence) -> Distribution:
        return self.own_posterior(cast(Tensor, evidence)[:, self.start : self.stop])

    def merge(self, h: Tensor, z: Tensor) -> Tensor:
        return torch.cat([h, z.flatten(1)], 1)
