r"""Autoencoders kept smooth without noise: the regularised autoencoder (Ghosh et al. 1903.12436).

    D + β ½‖z‖² + λ P        P = ½‖θ_decoder‖²   or   P = ‖∂x̂/∂z‖²_F, x̂ the mean of p(x|z)

What the decoder is charged depends on it and on z, and is worked out on the walk, by a posterior
that knows the decoder; the objective reads it there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from vaelab.core import Condition, Conditional, Trace, full_precision
from vaelab.distributions import Dirac, Distribution, sum_dims
from vaelab.objectives.terms import Loss, Objective

Penalty = Callable[[nn.Module, Conditional, Tensor, Condition], Tensor]
"""Decoder, likelihood, z (B, …) and what is known beside it ↦ what they are charged, (B,)."""


def weight_norm(
    decoder: nn.Module, likelihood: Conditional, z: Tensor, told: Condition = ()
) -> Tensor:
    """½‖θ‖² over the decoder's weights, its biases left out; the same for every z."""
    squares = [p.square().sum() for p in decoder.parameters() if p.ndim > 1]
    return 0.5 * torch.stack(squares).sum().to(z.dtype).expand(len(z))


def gradient_norm(
    decoder: nn.Module, likelihood: Conditional, z: Tensor, told: Condition = ()
) -> Tensor:
    """‖J‖²_F of J = ∂x̂/∂z, estimated without bias as ‖vᵀJ‖² along one v ~ N(0, I)."""
    x, pull = torch.func.vjp(lambda z: full_precision(likelihood(decoder(z, *told)).mean), z)[:2]
    return sum_dims(pull(torch.randn_like(x))[0].square())


@dataclass(frozen=True, eq=False)
class NormPenalised(Distribution):
    """A point, with what the decoder is charged there: `value` is (B, …), `charge` (B,)."""

    value: Tensor
    charge: Tensor
    has_density: ClassVar[bool] = False

    @property
    def mean(self) -> Tensor:
        return self.value

    def log_prob(self, x: Tensor) -> Tensor:
        return Dirac(self.value).log_prob(x)

    def sample(self, temperature: float = 1.0) -> Tensor:
        return self.value


class NormPenalisedPoint(Conditional):
    """The code of a regularised autoencoder: the evidence itself, and its charge.

    Args:
        decoder: of the model; referred to, and no part of this module.
        likelihood: of the model; referred to likewise.
        penalty: what is charged.
    """

    def __init__(self, decoder: nn.Module, likelihood: Conditional, penalty: Penalty) -> None:
        super().__init__()
        # In a tuple, where torch does not see them: they are registered in the generator, and to
        # be saved once. They are read during the walk, so that whatever weights it is walked with
        # are the ones charged, and a copy of the model refers to its own.
        self._model = (decoder, likelihood)
        self.penalty = penalty

    def forward(self, *given: Tensor) -> NormPenalised:
        z = full_precision(given[0])
        return NormPenalised(z, self.penalty(*self._model, z, given[1:]))


class DecoderPenalty(Objective):
    """P, as the posterior charged it.

    Raises:
        TypeError: where no posterior did.
    """

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        charges = [
            s.posterior.charge for s in trace.sites if isinstance(s.posterior, NormPenalised)
        ]
        if not charges:
            kinds = ", ".join(type(s.posterior).__name__ for s in trace.sites)
            raise TypeError(
                f"no posterior charges its decoder (here: {kinds}); use NormPenalisedPoint"
            )
        nats = trace.unfold(torch.stack(charges).sum(0)).mean(0)
        return Loss(nats, {"decoder_penalty": nats})


class CodeNorm(Objective):
    """½‖z‖², over all latents: −log N(z; 0, I) without its constant."""

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        squares = torch.stack([sum_dims(z.square()) for z in trace.latents]).sum(0)
        nats = 0.5 * trace.unfold(squares).mean(0)
        return Loss(nats, {"code_norm": nats})
