r"""One step: walk, loss, gradient, update.

θ ← AdamW(θ, ∇ mean_b loss(x_b))          the mean over the batch is the only one there is
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vaelab.objectives import Distortion, Loss, Objective, Rate
from vaelab.walk import VAE, Trace


class NotFinite(ArithmeticError):
    """A value became infinite or not a number; the message names tensor, step and batch."""


@dataclass(frozen=True)
class Step:
    """The model, its objective and its optimizer, and how a batch changes them."""

    model: VAE
    objective: Objective
    optimizer: torch.optim.Optimizer
    clip: float
    bf16: bool

    def __call__(self, x: Tensor) -> dict[str, Tensor]:
        """Takes one step on x (B, …); returns the sum over the batch of each figure in nats.

        Raises:
            NotFinite: before the weights are touched.
        """
        loss, trace = self.forward(x)
        self.optimizer.zero_grad(set_to_none=True)
        loss.mean.backward()
        parameters = list(self.model.parameters())
        norm = nn.utils.clip_grad_norm_(parameters, self.clip)
        if not torch.isfinite(norm + loss.mean.detach()):
            raise NotFinite(first_not_finite(self.model, x, trace, loss))
        self.optimizer.step()
        return figures(loss, trace, x)

    def forward(self, x: Tensor) -> tuple[Loss, Trace]:
        """The loss of x and the walk it was computed on."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            trace = self.model(x, self.objective.samples)
        return self.objective(trace, x), trace


@torch.no_grad()
def figures(loss: Loss, trace: Trace, x: Tensor) -> dict[str, Tensor]:
    """The loss, its parts, and rate and distortion whatever the objective: sums over the batch."""
    found = {"loss": loss.total} | loss.parts
    if "distortion" not in found:
        found |= Distortion()(trace, x).parts
    if "rate" not in found and trace.has_rate:
        found |= Rate()(trace, x).parts
    return {name: nats.detach().sum() for name, nats in found.items()}


def first_not_finite(model: VAE, x: Tensor, trace: Trace, loss: Loss) -> str:
    """Names the first tensor, in the order of the walk, that holds a value that is not finite."""
    named: list[tuple[str, Tensor]] = [("the data", x)]
    named += [(f"parameter {name}", p) for name, p in model.named_parameters()]
    for i, site in enumerate(trace.sites):
        named += [(f"site {i} posterior {k}", t) for k, t in site.posterior.tensors().items()]
        named += [(f"site {i} prior {k}", t) for k, t in site.prior.tensors().items()]
        named += [(f"site {i} latent z", site.z)]
    named += [(f"likelihood {k}", t) for k, t in trace.likelihood.tensors().items()]
    named += [(f"loss term {k}", t) for k, t in loss.parts.items()]
    named += [
        (f"gradient of {k}", p.grad) for k, p in model.named_parameters() if p.grad is not None
    ]
    for name, tensor in named:
        bad = ~torch.isfinite(tensor)
        if bad.any():
            return f"{name} has {int(bad.sum())} of {bad.numel()} values that are not finite"
    return "the loss is not finite"
