r"""Weights and what moves them: AdamW (1711.05101), on a gradient of bounded norm.

m ← β₁ m + (1−β₁) g        v ← β₂ v + (1−β₂) g²        θ ← θ − η (m̂ / (√v̂ + ε) + λ θ)

The optimizer is torch's, and so is its state. Where a whole step is one compiled program, the same
update is written out for the compiler, which then reads every weight, moment and gradient once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

Gradients = Sequence[Tensor | None]


class Learner:
    """Some parameters with their optimizer.

    Args:
        parameters: at least one that learns.
        lr: peak learning rate.
        weight_decay: decoupled weight decay.
        clip: largest norm of the gradient.

    Attributes:
        parameters: those that learn.
        optimizer: torch's AdamW over them.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, clip: float
    ) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        device = self.parameters[0].device
        self.peak, self.clip = lr, clip
        self.optimizer = torch.optim.AdamW(
            self.parameters, lr, weight_decay=weight_decay, fused=device.type != "mps"
        )
        self.moments: list[tuple[Tensor, Tensor] | None] = []
        self.steps: list[Tensor] = []
        self.taken = 0
        self.decay, self.size, self.root = (torch.ones((), device=device) for _ in range(3))

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self.optimizer.param_groups[0]["lr"])

    @lr.setter
    def lr(self, value: float) -> None:
        self.optimizer.param_groups[0]["lr"] = value

    def gradients(self, mean: Tensor) -> Gradients:
        """∂ mean / ∂ parameters; None where it does not depend on one."""
        return torch.autograd.grad(mean, self.parameters, allow_unused=True)

    def take(self, gradients: Gradients, norm: Tensor, every: Tensor) -> None:
        """A step by torch's AdamW.

        Args:
            gradients: of the parameters, in their order.
            norm: of these gradients.
            every: not finite where anything in the step is not; a fused update then moves nothing.
        """
        self.optimizer.found_inf = (~torch.isfinite(every)).float()  # type: ignore[attr-defined]
        for p, g in zip(self.parameters, gradients, strict=True):
            # The fused update goes through memory in order, whatever the strides say.
            p.grad = g if g is None or g.stride() == p.stride() else torch.empty_like(p).copy_(g)
        # On a CPU, looking does not make every step wait.
        if norm.device.type != "cpu" or norm > self.clip:
            nn.utils.clip_grads_with_norm_(self.parameters, self.clip, norm)
        self.optimizer.step()

    def prepare(self) -> None:
        """Before `take_traced`: this step's numbers, worked out where no element repeats them."""
        if not self.moments:
            states = [self.optimizer.state.get(p) for p in self.parameters]
            self.moments = [(s["exp_avg"], s["exp_avg_sq"]) if s else None for s in states]
            self.steps = [s["step"] for s in states if s]
        group, step = self.optimizer.param_groups[0], self.taken + 1
        beta1, beta2 = group["betas"]
        self.decay.fill_(1 - group["lr"] * group["weight_decay"])
        self.size.fill_(group["lr"] / (1 - beta1**step))
        self.root.fill_(1 / math.sqrt(1 - beta2**step))

    @torch.no_grad()
    def take_traced(self, gradients: Gradients, norm: Tensor, every: Tensor) -> None:
        """The step of `take`, for the compiler; the optimizer has its state from a first one."""
        group = self.optimizer.param_groups[0]
        (beta1, beta2), eps = group["betas"], group["eps"]
        finite = torch.isfinite(every)
        # A minimum over a stack is computed once, where a scalar's would be at every element.
        share = torch.stack([torch.ones_like(norm), self.clip / (norm + 1e-6)]).amin()
        for p, g, moments in zip(self.parameters, gradients, self.moments, strict=True):
            if g is None or moments is None:
                continue
            m, v = moments
            g = g * share
            new_m = m + (1 - beta1) * (g - m)
            new_v = v + (1 - beta2) * (g * g - v)
            new_p = p * self.decay - self.size * new_m / (new_v.sqrt() * self.root + eps)
            for old, new in ((p, new_p), (m, new_m), (v, new_v)):
                old.copy_(torch.where(finite, new, old))
        for step in self.steps:
            step.add_(1)


def norm_of(gradients: Gradients) -> Tensor:
    """The norm of all gradients together, in float32 or better."""
    there = [g for g in gradients if g is not None]
    return nn.utils.get_total_norm(there)
