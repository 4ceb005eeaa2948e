r"""N models of one shape side by side: one walk for all, and what each would have done alone.

θ = (θ_1, …, θ_N)        loss_i(x) = objective_i(model_i(x))        one step:  Σ_i ∇_{θ_i} loss_i

Every weight gains a first axis of N, and the walk is mapped over it (`torch.func.vmap`). As member
i's loss depends on θ_i alone, the gradient of the sum holds each member's own gradient; clipping
is by each member's own norm, and AdamW works by element, so that it does not know of the stacking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from vaelab.compile import Program
from vaelab.core import VAE, Block, Conditional, Ladder, Shallow, Trace, fork_rng
from vaelab.data import Batch
from vaelab.objectives import Loss, Objective, Scaled, Sum
from vaelab.training.adamw import AdamW
from vaelab.training.checkpoint import Snapshot, copied
from vaelab.training.clock import Clock
from vaelab.training.plan import Plan
from vaelab.training.step import figures, first_not_finite, identity

Tensors = dict[str, Tensor]

OWN = ("seed", "lr", "weight_decay", "clip")
"""Fields of a plan that may differ between members."""

PASSIVE = (
    *(
        None,
        Conditional.update_buffers,
        Block.update_buffers,
        Objective.update_buffers,
        Sum.update_buffers,
        Scaled.update_buffers,
    ),
    *(Shallow.update_buffers, Ladder.update_buffers, VAE.update_buffers),
)
"""The implementations of `update_buffers` that do nothing, or only delegate to parts that are
examined themselves."""


class Walked(NamedTuple):
    """One batch as every member saw it.

    Attributes:
        mean: the loss in nats, averaged over the batch, (N,).
        figures: sums over the batch by name, each (N,).
        units: posterior means, all sites side by side, (N, B, L).
    """

    mean: Tensor
    figures: Tensors
    units: Tensor


def facts(model: VAE, objective: Objective, plan: Plan) -> dict[str, Any]:
    """All that must be equal for two models to be trained as one, by name."""
    found: dict[str, Any] = {}
    for root, whole in (("", model), ("objective.", objective)):
        for name, module in whole.named_modules():
            place = (root + name).rstrip(".") or "model"
            found[place] = type(module).__name__
            found |= {f"{place}.{k}": v for k, v in vars(module).items() if _plain(k, v)}
        tensors = [*whole.named_parameters(), *whole.named_buffers()]
        found |= {f"{root}{name}": (*t.shape, str(t.dtype)) for name, t in tensors}
    own = {f.name: getattr(plan, f.name) for f in fields(plan) if f.name not in OWN}
    return found | {f"plan.{name}": value for name, value in own.items()}


def _plain(name: str, value: Any) -> bool:
    known = isinstance(value, bool | int | float | str | tuple | None)
    return known and not name.startswith("_") and name != "training"


def difference(a: Mapping[str, Any], b: Mapping[str, Any]) -> str | None:
    """The first of two collections of facts that is not the same, in words; None if all are."""
    for name in {**a, **b}:
        if a.get(name) != b.get(name):
            return f"{name} is {a.get(name)} in one and {b.get(name)} in another"
    return None


def unstackable(model: VAE, objective: Objective, plan: Plan) -> str | None:
    """Reason why a model cannot be trained in a stack, or None."""
    if plan.on_nonfinite == "skip":
        return "a step of all cannot be skipped by one"
    if any(True for _ in objective.parameters()):
        return "its objective has a critic, which learns against it"
    for module in (*model.modules(), *objective.modules()):
        if getattr(type(module), "update_buffers", None) not in PASSIVE:
            return f"{type(module).__name__} changes its state between steps"
    return None


Walk = tuple[Tensors, Tensor, list[Tensor | None]]


class Team(NamedTuple):
    """Members side by side that share their learning rate and decay, and their optimizer."""

    span: slice
    optimizer: AdamW


class Stack:
    """N models with their objectives and optimizer, and how a batch changes them all.

    Args:
        models: models of one shape, on the device of the batches; their weights are copied.
        objectives: objectives of one shape, one a model.
        plans: one a model, equal but for `OWN`.
        bf16: whether the networks run in bf16; likelihoods and rates do not.
        full: rows of a full batch, the only ones the compiled walk is used for; 0 to never compile.
        prepare: raw rows to the models' scale, if they do not come so.

    Attributes:
        parameters: every weight with a first axis of N, matrices turned.
        broken: the first value that is not finite, in words, by member.
    """

    unguarded = frozenset({"broken", "gradients"})  # which no compiled step reads

    def __init__(
        self,
        models: Sequence[VAE],
        objectives: Sequence[Objective],
        plans: Sequence[Plan],
        bf16: bool = False,
        full: int = 0,
        prepare: Callable[[Tensor], Tensor] = identity,
    ) -> None:
        self.models, self.objectives, self.bf16, self.full = models, objectives, bf16, full
        self.prepare = prepare
        stacked, self.buffers = stack_module_state(list(models))
        self.parameters = {
            name: transpose_stacked(p.detach()).contiguous().requires_grad_(p.requires_grad)
            for name, p in stacked.items()
        }
        device = next(iter(self.parameters.values())).device
        of_objectives = stack_module_state(list(objectives))
        self.weights = {k: t.detach().to(device) for part in of_objectives for k, t in part.items()}
        self.clock = Clock([*self.buffers.items(), *self.weights.items()])
        self.clip = torch.tensor([plan.clip for plan in plans], device=device)
        self.teams = self._teams(plans)
        self.broken: dict[int, str] = {}
        self.gradients: dict[str, Tensor | None] = {}
        self.program = Program("a step of all", self.walk_back) if full else None

    def _teams(self, plans: Sequence[Plan]) -> list[Team]:
        """An optimizer for each run of members that share their learning rate and decay."""
        settings, found, start = [(plan.lr, plan.weight_decay) for plan in plans], [], 0
        for (lr, decay), members in groupby(settings):
            span = slice(start, start + len(list(members)))
            views = [p.detach()[span] for p in self.parameters.values()]
            found.append(Team(span, AdamW(views, lr, decay)))
            start = span.stop
        return found

    def scale(self, share: float) -> None:
        """Set all learning rates to a share of their peak."""
        for _, optimizer in self.teams:
            optimizer.scale(share)

    def step(self, batch: Batch) -> Tensors:
        """One step of every member on a batch; returns its sums over the batch, each (N,)."""
        walk = self.program if self.program and len(batch.x) == self.full else self.walk_back
        found, norm, gradients = walk(batch.x, *batch.condition)
        self.gradients = dict(zip(self.parameters, gradients, strict=True))
        on_cpu = norm.device.type == "cpu"  # where looking does not make every step wait
        if on_cpu:
            self._look(torch.isfinite(norm), batch)
        if not on_cpu or (norm > self.clip).any():
            share = (self.clip / (norm + 1e-6)).clamp(max=1.0)
            gradients = [
                None if g is None else g * share.view(-1, *[1] * (g.ndim - 1)) for g in gradients
            ]
        for span, optimizer in self.teams:
            optimizer.step([None if g is None else g[span] for g in gradients])
            optimizer.count()
        return found

    def walk_back(self, raw: Tensor, *condition: Tensor) -> Walk:
        """Walk a batch with every member, and back.

        Returns:
            Sums over the batch and norms of gradients, each (N,), and the gradients, None if the
            losses do not depend on a weight. A norm is not finite if its loss is not.
        """
        walked = self.walk(self.parameters, Batch(self.prepare(raw), condition))
        learn = [p for p in self.parameters.values() if p.requires_grad]
        of_those = iter(torch.autograd.grad(walked.mean.sum(), learn, allow_unused=True))
        gradients = [next(of_those) if p.requires_grad else None for p in self.parameters.values()]
        norms = [g.reshape(len(g), -1).norm(dim=1) for g in gradients if g is not None]
        norm = torch.stack(norms).norm(dim=0) + 0 * walked.mean.detach()
        return walked.figures, norm, gradients

    def walk(self, parameters: Tensors, batch: Batch) -> Walked:
        """Walk a batch with every member, each with noise of its own."""
        mapped = vmap(self._alone, in_dims=(0, 0, 0, None), randomness="different")
        return Walked(*mapped(parameters, self.buffers, self.weights, batch))

    def _alone(
        self, parameters: Tensors, buffers: Tensors, weights: Tensors, batch: Batch
    ) -> tuple[Tensor, Tensors, Tensor]:
        model, objective = self.models[0], self.objectives[0]
        x, condition = batch
        parameters = {name: transpose_stacked(p, 2) for name, p in parameters.items()}
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
            trace: Trace = functional_call(
                model, (parameters, buffers), (x, objective.samples, 1.0, condition)
            )
        loss: Loss = functional_call(objective, weights, (trace, x))
        return loss.mean, figures(loss, trace, x), trace.unfold(trace.units.detach())[0]

    def _look(self, finite: Tensor, batch: Batch) -> None:
        for i in (~finite).nonzero().flatten().tolist():
            self.broken[i] = self.diagnose(i, batch)

    def diagnose(self, i: int, batch: Batch) -> str:
        """Walk a batch with member i alone and name its first tensor that is not finite."""
        model, objective = self.models[i], self.objectives[i]
        for name, p in model.named_parameters():
            stacked = self.parameters[name]
            p.data.copy_(transpose_stacked(stacked.data)[i])
            gradient = self.gradients.get(name)
            p.grad = None if gradient is None else transpose_stacked(gradient)[i]
        # The others go on with the draws that they would have had.
        with torch.no_grad(), fork_rng(0, batch.x.device):
            x, condition = self.prepare(batch.x), batch.condition
            with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16):
                trace = model(x, objective.samples, condition=condition)
            found = first_not_finite(model, x, trace, objective(trace, x))
        model.zero_grad()
        return found

    def lr(self, i: int) -> float:
        """Member i's learning rate now."""
        return next(optimizer.lr for span, optimizer in self.teams if i < span.stop)

    def snapshot(self, i: int, parameters: Tensors) -> Snapshot:
        """Member i's weights among `parameters`, with its optimizer's state."""
        stacked = {name: transpose_stacked(p) for name, p in parameters.items()} | self.buffers
        weights = {name: copied(stacked[name][i]) for name in self.models[i].state_dict()}
        span, optimizer = next(team for team in self.teams if i < team.span.stop)
        moments = {
            name: copied(t if t.ndim == 0 else transpose_stacked(t)[i - span.start])
            for name, t in optimizer.tensors().items()
        }
        return Snapshot(weights, moments)


def transpose_stacked(t: Tensor, matrix: int = 3) -> Tensor:
    """A stack of matrices (N, a, b) as (N, b, a), and back; anything else as it is.

    The gradient of a batch of matrix products comes out turned; laid out like this it is taken as
    it is, where autograd would otherwise copy it for every weight at every step.

    Args:
        t: a stacked tensor, or with `matrix` 2 one member's part of it.
        matrix: axes of a matrix.
    """
    return t.mT if t.ndim == matrix else t
