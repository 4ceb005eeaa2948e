r"""One step: walk, loss, gradient, update; then the critic's, and state that is no gradient's.

θ ← AdamW(θ, ∇_θ mean_b loss(x_b))          the mean over the batch is the only one there is
φ ← AdamW(φ, ∇_φ mean_b critic_loss(x_b))    a critic's own loss, which never reaches θ
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vaelab.compile import Program
from vaelab.core import VAE, Trace
from vaelab.data import Batch
from vaelab.objectives import Distortion, Loss, Objective
from vaelab.training.adamw import Gradients
from vaelab.training.learner import Learner, norm_of
from vaelab.training.plan import Plan
from vaelab.training.record import Sums

Take = Callable[[Learner, Gradients, Tensor, Tensor], None]


def identity(x: Tensor) -> Tensor:
    """For rows that come at the model's scale."""
    return x


class NotFinite(ArithmeticError):
    """A value became infinite or not a number; the message names tensor, step and batch."""


class Step:
    """The model, its objective, their optimizers, and the update by a batch.

    Args:
        model: on the device of the batches.
        objective: the objective to minimise; on the same device.
        plan: learning rate, weight decay and clip.
        bf16: whether the networks run in bf16; likelihoods and rates do not.
        full: rows of a full batch, the only ones the compiled step is used for; 0 to never compile.
        prepare: raw rows to the model's scale, if they do not come so.

    Attributes:
        learner: the model's weights and their optimizer.
        critic: the same of the objective's own, if it has any.
        sums: sums of each figure in nats, over the steps taken since they were last cleared.
        skipped: number of steps that were undone, and of their rows, since sums were cleared.
    """

    def __init__(
        self,
        model: VAE,
        objective: Objective,
        plan: Plan,
        bf16: bool = False,
        full: int = 0,
        prepare: Callable[[Tensor], Tensor] = identity,
    ) -> None:
        self.model, self.objective = model, objective
        self.bf16, self.full, self.prepare = bf16, full, prepare
        self.sums, self.skipped, self.rows_skipped = Sums(), 0, 0
        self.skips = plan.on_nonfinite == "skip"
        settings = (plan.lr, plan.weight_decay, plan.clip)
        self.learner = Learner(model.parameters(), *settings)
        opposed = any(p.requires_grad for p in objective.parameters())
        self.critic = Learner(objective.parameters(), *settings) if opposed else None
        self.learners = [self.learner] + ([self.critic] if self.critic else [])
        traced = partial(self.step, Learner.step_for_compile)
        self.program = Program("the training step", traced, exclusive=True) if full else None

    @property
    def settled(self) -> bool:
        """True unless it is yet to be decided if the step is compiled."""
        return self.program is None or self.program.settled

    def state(self) -> dict[str, Any]:
        """Figures summed over, and which step was reached by optimizers and program."""
        program = None if self.program is None else self.program.state()
        taken = [learner.optimizer.taken for learner in self.learners]
        skipped = [self.skipped, self.rows_skipped]
        figures = list(self.sums.names)
        return {"figures": figures, "taken": taken, "program": program, "skipped": skipped}

    def resume(self, state: Mapping[str, Any], sums: Tensor) -> None:
        """Go on from the state of another process."""
        if state["figures"]:
            device = next(self.model.parameters()).device
            self.sums.names, self.sums.sums = tuple(state["figures"]), sums.to(device)
        self.skipped, self.rows_skipped = state.get("skipped", (0, 0))
        for learner, taken in zip(self.learners, state["taken"], strict=True):
            learner.optimizer.taken = taken
        if self.program is not None and state["program"] is not None:
            self.program.resume(state["program"])

    def revisit(self) -> None:
        """Trace a step again soon, and copy weights afresh: an epoch has ended."""
        if self.program is not None:
            self.program.revisit()

    def refresh(self) -> None:
        """Copy weights afresh: code that is not vaelab's has run since the last step."""
        if self.program is not None:
            self.program.refresh()

    def clear(self) -> None:
        """Begin an epoch."""
        self.sums.clear()
        self.skipped = self.rows_skipped = 0

    def scale(self, share: float) -> None:
        """Set all learning rates to a share of their peak."""
        for learner in self.learners:
            learner.optimizer.scale(share)

    def __call__(self, batch: Batch) -> str:
        """Take one step on a batch of raw rows, and add its figures to the sums.

        Returns:
            The reason if the step was undone, as the plan may ask for; else "".

        Raises:
            NotFinite: with the weights untouched; on an accelerator, where looking would make
                every step wait, `fit` finds it when it reads the sums.
        """
        held = self._held() if self.skips else []
        names = self.sums.names
        if self.program is not None and not self.program.reason and len(batch.x) == self.full:
            for learner in self.learners:
                learner.optimizer.prepare()
            norm = self.program(batch.x, *batch.condition)
        else:
            norm = self.step(Learner.step, batch.x, *batch.condition)
        if (self.skips or norm.device.type == "cpu") and not math.isfinite(float(norm)):
            found = self.diagnose(batch)
            if not self.skips:
                raise NotFinite(found)
            self._undo(held, names)
            self.skipped, self.rows_skipped = self.skipped + 1, self.rows_skipped + len(batch.x)
            return found
        for learner in self.learners:
            learner.optimizer.count()
        return ""

    def _held(self) -> list[tuple[Tensor, Tensor]]:
        """All that a step changes though its loss is not finite, with copies."""
        changed = [*self.model.buffers(), *self.objective.buffers(), self.sums.sums]
        for learner in self.learners:
            optimizer = learner.optimizer
            changed.append(optimizer.counts)
            if not optimizer.fused:
                changed += [*optimizer.weights, *optimizer.m, *optimizer.v]
        return [(t, t.detach().clone()) for t in changed]

    @torch.no_grad()
    def _undo(self, held: list[tuple[Tensor, Tensor]], names: tuple[str, ...]) -> None:
        for t, before in held:
            t.copy_(before)
        if not names:  # sums of the very first step are other tensors
            self.sums.names, self.sums.sums = (), torch.zeros(())

    def step(self, take: Take, raw: Tensor, *condition: Tensor) -> Tensor:
        """One step on a batch; the norm of all gradients.

        Args:
            take: how a learner moves along its gradients.
            raw: rows.
            condition: theirs.
        """
        x = self.prepare(raw)
        loss, trace = self.forward(Batch(x, condition))
        found, losses = figures(loss, trace, x), [loss]
        if self.critic is not None:
            against = self.objective.critic_loss(trace, x)
            assert against is not None, "an objective with parameters says what they minimise"
            found |= {name: nats.detach().sum() for name, nats in against.parts.items()}
            losses.append(against)
        gradients = [
            learner.gradients(its.mean) for learner, its in zip(self.learners, losses, strict=True)
        ]
        norms = [norm_of(of_one) for of_one in gradients]
        # With the losses: a gradient may be finite where what it is of is not.
        total = torch.stack([*norms, *(0 * its.mean.detach() for its in losses)]).sum()
        for learner, of_one, norm in zip(self.learners, gradients, norms, strict=True):
            take(learner, of_one, norm, total)
        with torch.no_grad():
            self.model.update_buffers(trace)
            self.objective.update_buffers(trace, x)
            self.sums.add(found)
        return total

    def forward(self, batch: Batch) -> tuple[Loss, Trace]:
        """The loss of a batch and the walk it was computed on."""
        x, condition = batch
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            trace = self.model(x, self.objective.samples, condition=condition)
        return self.objective(trace, x), trace

    def diagnose(self, batch: Batch) -> str:
        """Walk a batch once more and name the first tensor that is not finite."""
        x = self.prepare(batch.x)
        loss, trace = self.forward(Batch(x, batch.condition))
        gradients = self.learner.gradients(loss.mean)
        for p, g in zip(self.learner.parameters, gradients, strict=True):
            p.grad = g
        found = first_not_finite(self.model, x, trace, loss)
        self.model.zero_grad()
        return found


def figures(loss: Loss, trace: Trace, x: Tensor) -> dict[str, Tensor]:
    """The loss, its parts, and rate and distortion whatever the objective: sums over the batch.

    Of several layers of latents, also the rate of each.
    """
    with torch.no_grad():
        found = {"loss": loss.total} | loss.parts
        if "distortion" not in found:
            found |= Distortion()(trace, x).parts
        if "rate" not in found and trace.has_rate:
            found["rate"] = trace.unfold(trace.rate()[0]).mean(0)
        if trace.has_rate and len(trace.sites) > 1:
            for layer, site in enumerate(trace.sites, 1):
                found[f"rate_layer_{layer}"] = trace.unfold(site.rate()[0]).mean(0)
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
