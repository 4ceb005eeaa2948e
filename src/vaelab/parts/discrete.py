r"""Latents of classes: N variables that are each one of K, as one-hot vectors (B, N, K).

Two honest objectives come with them. With one-hot draws (Jang et al., 1611.01144) the rate is the
KL of categorical distributions, in closed form; what the decoder sees is an exact draw, so the loss
is −ELBO of the discrete model and its bounds are bounds. Only the *gradient* is that of a
relaxation, and biased. With relaxed draws (Maddison et al., 1611.00712) the gradient is exact, and
the bound is that of another model, whose latents are the logarithms of points inside the simplex.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from vaelab.core import Block, Conditional, Evidence, Schedule, full_precision
from vaelab.distributions import Concrete, Distribution, OneHotCategorical
from vaelab.parts.posteriors import Posterior


class UniformClasses(Conditional):
    """Every class alike, for N variables of K classes.

    Args:
        variables: N, at least 1.
        classes: K, at least 2.
    """

    logits: Tensor

    def __init__(self, variables: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("logits", _level(variables, classes), persistent=False)

    def forward(self, *given: Tensor) -> OneHotCategorical:
        return OneHotCategorical(self.logits, torch.ones_like(self.logits[..., :1, :1]))


class Classes(Posterior):
    """One logit a class; draws are one-hot, with the gradient of their relaxation at τ.

    Args:
        variables: N, at least 1.
        classes: K, at least 2.
        tau: the relaxation's temperature, > 0: a smaller one is less biased and more noisy.
    """

    params = 1

    def __init__(self, variables: int, classes: int, tau: Schedule) -> None:
        super().__init__()
        self.shape, self.tau = _level(variables, classes).shape[1:], tau

    def forward(self, *given: Tensor) -> OneHotCategorical:
        logits = full_precision(given[0]).unflatten(1, self.shape)
        return OneHotCategorical(logits, self.tau().to(logits.dtype).view(1, 1, 1))


class UniformConcrete(Conditional):
    """The relaxation of `UniformClasses` at τ.

    Args:
        variables: N, at least 1.
        classes: K, at least 2.
        tau: its temperature, > 0.
    """

    logits: Tensor

    def __init__(self, variables: int, classes: int, tau: Schedule) -> None:
        super().__init__()
        self.tau = tau
        self.register_buffer("logits", _level(variables, classes), persistent=False)

    def forward(self, *given: Tensor) -> Concrete:
        return Concrete(self.logits, self.tau().to(self.logits.dtype).view(1, 1, 1))


class ConcreteClasses(Posterior):
    """One logit a class; draws are relaxed at τ, logarithms of points inside the simplex.

    Args:
        variables: N, at least 1.
        classes: K, at least 2.
        tau: its temperature, > 0.
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
    """Zeros above the first latent, where nothing is known yet: n ↦ (n, *shape).

    Args:
        shape: of one example's state; (0,) where levels only add to it.
    """

    h: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("h", torch.zeros(1, *shape), persistent=False)

    def forward(self, n: int) -> Tensor:
        return self.h.expand(n, *self.h.shape[1:])


class Independent(Block):
    """One of several latents that know nothing of each other, as a level of a ladder.

    h is the latents so far, side by side, from a `Blank(0)` at the top, or from the condition; each
    latent reads its own stretch of the evidence.

    Args:
        own_prior: p(z).
        own_posterior: q(z | its stretch of the evidence).
        start: where its stretch begins.
        stop: where it ends.
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
