r"""Weights and what moves them: AdamW, on a gradient of bounded norm.

g ← g · min(1, clip / |g|)        θ ← AdamW(θ, g)
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from vaelab.compile import recording
from vaelab.training.adamw import AdamW, Gradients


class Learner:
    """Some parameters with their optimizer.

    Args:
        parameters: at least one that learns.
        lr: peak learning rate.
        weight_decay: decoupled weight decay.
        clip: largest norm of the gradient.

    Raises:
        ValueError: if none learns.

    Attributes:
        parameters: those that learn.
        optimizer: their optimizer.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], lr: float, weight_decay: float, clip: float
    ) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        if not self.parameters:
            raise ValueError("there is nothing to learn: no parameter has requires_grad set")
        self.clip = clip
        self.optimizer = AdamW(self.parameters, lr, weight_decay)

    def gradients(self, mean: Tensor) -> Gradients:
        """∂ mean / ∂ parameters; None for one that it does not depend on."""
        learning = [p for p in self.parameters if p.requires_grad]  # some may be frozen by now
        found = iter(torch.autograd.grad(mean, learning, allow_unused=True))
        return [next(found) if p.requires_grad else None for p in self.parameters]

    def step(self, gradients: Gradients, norm: Tensor, total: Tensor) -> None:
        """A step.

        Args:
            gradients: gradients of the parameters, in their order.
            norm: norm of these gradients.
            total: not finite if anything in the step is not; a fused optimizer step then moves
                nothing.
        """
        # On a CPU, looking does not make every step wait.
        if norm.device.type != "cpu" or norm > self.clip:
            share = self.share(norm)
            # Not in place: two parameters that are added have one gradient between them.
            gradients = [None if g is None else g * share for g in gradients]
        self.optimizer.step(gradients, total)

    def step_for_compile(self, gradients: Gradients, norm: Tensor, total: Tensor) -> None:
        """The step of `step`, for the compiler."""
        self.optimizer.step_traced(gradients, self.share(norm), total)

    def share(self, norm: Tensor) -> Tensor:
        """Factor that bounds the norm of a gradient, in [0, 1]."""
        # A minimum over a stack is computed once, where a scalar's would be at every element.
        return torch.stack([torch.ones_like(norm), self.clip / (norm + 1e-6)]).amin()


def norm_of(gradients: Gradients) -> Tensor:
    """The norm of all gradients together, in float32 or better."""
    there = [g for g in gradients if g is not None]
    # All at once where they are: for the compiler one by one, so that it may read each in passing.
    return nn.utils.get_total_norm(there, foreach=False if recording() else None)
