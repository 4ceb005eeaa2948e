r"""Constrained optimization of a term: GECO (Rezende & Viola 1810.00597).

    min_θ R + λ (D − κ)        log λ ← log λ + ν tanh(C̄),   C̄ the running mean of D − κ

The multiplier rises while the constraint D ≤ κ is violated and falls once it holds, so that the
rate is as small as a distortion of κ allows. Within a nat of κ the update is the paper's log λ ←
log λ + ν C̄; farther away a step is at most ν, so that a bad start does not displace λ for long.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaelab.core import Trace
from vaelab.objectives.terms import Loss, Objective

FURTHEST = 10.0


class Constraint(Objective):
    """Constrained term λ (term − κ): a multiplier λ holds the mean of the term at κ.

    Losses before and after an update of λ are not comparable. The step of log λ is ν tanh(C̄), that
    of the paper ν C̄: the same near the bound, and bounded far from it.

    Reference: Taming VAEs, Rezende & Viola, 2018, arXiv:1810.00597.

    >>> from vaelab.objectives import Distortion, Rate
    >>> (Rate() + Constraint(Distortion(), at_most=80.0)).monitorable
    False

    Args:
        term: term in nats per example.
        at_most: bound κ, nats per example.
        speed: largest step ν > 0 of log λ; λ stays within e^±10.
        memory: decay of the running mean, in [0, 1).

    Raises:
        ValueError: if speed or memory is out of range.
    """

    monitorable = False
    log_multiplier: Tensor
    excess: Tensor

    def __init__(
        self, term: Objective, at_most: float, speed: float = 0.02, memory: float = 0.9
    ) -> None:
        super().__init__()
        if not speed > 0 or not 0 <= memory < 1:
            raise ValueError(
                f"speed is {speed} and memory {memory}; expected a speed above 0 and a memory of "
                "at least 0 and below 1"
            )
        self.term, self.at_most, self.speed, self.memory = term, at_most, speed, memory
        self.samples, self.batch_coupled = term.samples, term.batch_coupled
        self.register_buffer("log_multiplier", torch.zeros((), dtype=torch.float64))
        self.register_buffer("excess", torch.zeros((), dtype=torch.float64))

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        loss = self.term(trace, x)
        over = loss.total - self.at_most
        estimated = frozenset({"constraint"}) if loss.estimated else frozenset()
        return Loss(self.log_multiplier.exp() * over, {"constraint": over}, estimated)

    def critic_loss(self, trace: Trace, x: Tensor) -> Loss | None:
        return self.term.critic_loss(trace, x)

    @torch.no_grad()
    def update_buffers(self, trace: Trace, x: Tensor) -> None:
        self.term.update_buffers(trace, x)
        over = self.term(trace, x).mean - self.at_most
        self.excess.lerp_(over.to(self.excess), 1 - self.memory)
        self.log_multiplier.add_(self.speed * torch.tanh(self.excess)).clamp_(-FURTHEST, FURTHEST)
