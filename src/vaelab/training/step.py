r"""One step: walk, loss, gradient, update.

θ ← AdamW(θ, ∇ mean_b loss(x_b))          the mean over the batch is the only one there is
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vaelab.objectives import Distortion, Loss, Objective, Rate
from vaelab.walk import VAE, Trace


class NotFinite(ArithmeticError):
    """A value became infinite or not a number; the message names tensor, step and batch."""


class Step:
    """The model, its objective and its optimizer, and how a batch changes them.

    Args:
        model: on the device of the batches.
        objective: what is minimised.
        optimizer: over the model's parameters.
        clip: largest norm of the gradient, in nats.
        bf16: whether the networks run in bf16; likelihoods and rates do not.
        full: rows of a full batch, the only ones the compiled walk is used for; 0 to never compile.
    """

    def __init__(
        self,
        model: VAE,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        clip: float,
        bf16: bool = False,
        full: int = 0,
    ) -> None:
        self.model, self.objective, self.optimizer = model, objective, optimizer
        self.clip, self.bf16, self.full = clip, bf16, full
        self.parameters = list(model.parameters())
        self.compiled = self.evaluate
        if full:
            # With the noise of the eager walk, so that compiling changes figures by rounding only.
            self.compiled = torch.compile(
                self.evaluate, dynamic=False, options={"fallback_random": True}
            )

    def __call__(self, x: Tensor) -> dict[str, Tensor]:
        """Takes one step on x (B, …); returns the sum over the batch of each figure in nats.

        Raises:
            NotFinite: before the weights are touched; on an accelerator, where looking would make
                every step wait, `fit` finds it when it reads the sums.
        """
        evaluate = self.compiled if len(x) == self.full else self.evaluate
        mean, found = evaluate(x)
        for p in self.parameters:
            p.grad = None
        mean.backward()
        norm = nn.utils.get_total_norm([p.grad for p in self.parameters if p.grad is not None])
        if x.device.type == "cpu":
            # Before clipping: scaled by a norm that is not a number, every gradient looks guilty.
            if not math.isfinite(float(norm + mean.detach())):
                raise NotFinite(self.diagnose(x))
            if norm > self.clip:
                nn.utils.clip_grads_with_norm_(self.parameters, self.clip, norm)
        else:
            nn.utils.clip_grads_with_norm_(self.parameters, self.clip, norm)
        self.optimizer.step()
        return found

    def evaluate(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of x, averaged over the batch, and its figures."""
        loss, trace = self.forward(x)
        return loss.mean, figures(loss, trace, x)

    def forward(self, x: Tensor) -> tuple[Loss, Trace]:
        """The loss of x and the walk it was computed on."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            trace = self.model(x, self.objective.samples)
        return self.objective(trace, x), trace

    def diagnose(self, x: Tensor) -> str:
        """Walks x once more and names the first tensor that is not finite."""
        loss, trace = self.forward(x)
        return first_not_finite(self.model, x, trace, loss)


def figures(loss: Loss, trace: Trace, x: Tensor) -> dict[str, Tensor]:
    """The loss, its parts, and rate and distortion whatever the objective: sums over the batch."""
    with torch.no_grad():
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
