r"""Regularized autoencoders: smooth without noise (Ghosh et al. 1903.12436).

    D + β ½‖z‖² + λ P        P = ½‖θ_decoder‖²   or   P = ‖∂x̂/∂z‖²_F, x̂ the mean of p(x|z)

The penalty on the decoder depends on it and on z. A posterior that refers to the decoder computes
it while the program runs; the objective reads it from there.
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
"""Penalty on a decoder: decoder, likelihood, z (B, …) and condition ↦ (B,)."""


def weight_norm(
    decoder: nn.Module, likelihood: Conditional, z: Tensor, condition: Condition = ()
) -> Tensor:
    """Squared norm ½‖θ‖² of the decoder's weights, biases excluded; the same for every z."""
    squares = [p.square().sum() for p in decoder.parameters() if p.ndim > 1]
    return 0.5 * torch.stack(squares).sum().to(z.dtype).expand(len(z))


def gradient_norm(
    decoder: nn.Module, likelihood: Conditional, z: Tensor, condition: Condition = ()
) -> Tensor:
    """Squared Jacobian norm ‖∂x̂/∂z‖²_F, estimated without bias as ‖vᵀJ‖² for one v ~ N(0, I)."""
    x, pull = torch.func.vjp(lambda z: full_precision(likelihood(decoder(z, *condition)).mean), z)[
        :2
    ]
    return sum_dims(pull(torch.randn_like(x))[0].square())


@dataclass(frozen=True, eq=False)
class NormPenalised(Distribution):
    """Point with the penalty on the decoder there.

    Attributes:
        value: the point, (B, …).
        charge: penalty, (B,).
    """

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
    """Code of a regularized autoencoder: the evidence itself, with its penalty.

    Reference: From Variational to Deterministic Autoencoders, Ghosh et al., 2019, arXiv:1903.12436.

    Args:
        decoder: decoder of the model; referenced, not part of this module.
        likelihood: likelihood of the model; referenced likewise.
        penalty: penalty to compute.
    """

    def __init__(self, decoder: nn.Module, likelihood: Conditional, penalty: Penalty) -> None:
        super().__init__()
        # In a tuple, hidden from torch: they are registered in the generator and saved once.
        # Read on each call, so that the penalty is of the weights in use, and a copy of the model
        # refers to its own.
        self._model = (decoder, likelihood)
        self.penalty = penalty

    def forward(self, *given: Tensor) -> NormPenalised:
        z = full_precision(given[0])
        return NormPenalised(z, self.penalty(*self._model, z, given[1:]))


class DecoderPenalty(Objective):
    """Penalty P computed by the posterior.

    Raises:
        TypeError: if no posterior computed one.
    """

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        charges = [
            s.posterior.charge for s in trace.sites if isinstance(s.posterior, NormPenalised)
        ]
        if not charges:
            kinds = ", ".join(type(s.posterior).__name__ for s in trace.sites)
            raise TypeError(
                f"no posterior penalises its decoder (posteriors: {kinds}); use NormPenalisedPoint"
            )
        nats = trace.unfold(torch.stack(charges).sum(0)).mean(0)
        return Loss(nats, {"decoder_penalty": nats})


class CodeNorm(Objective):
    """Squared norm ½‖z‖² of all latents: −log N(z; 0, I) without its constant.

    >>> from vaelab.objectives import Distortion
    >>> (Distortion() + 0.1 * CodeNorm()).formula
    'D + 0.1 code norm'
    """

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        squares = torch.stack([sum_dims(z.square()) for z in trace.latents]).sum(0)
        nats = 0.5 * trace.unfold(squares).mean(0)
        return Loss(nats, {"code_norm": nats})
