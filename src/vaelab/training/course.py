"""State of a fit between two steps: all that the rest of it depends on, besides plan and data.

Orders and noise are functions of the seed and of the number of an epoch or step, so that a state
holds no random generator and no position of an iterator. A fit that goes on from a state computes
what it would have computed without a break, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vaelab.core import VAE
from vaelab.objectives import Objective
from vaelab.training.average import Average
from vaelab.training.checkpoint import Snapshot, copied
from vaelab.training.record import Record, Row
from vaelab.training.step import Step

BEST = ("weights", "optimizer", "objective")


@dataclass(frozen=True, eq=False)
class State:
    """State of a fit after a step, on the CPU.

    Attributes:
        tensors: weights, buffers, moments, averages, best weights and sums of figures, by name.
        facts: numbers of steps and the like, as JSON.
        history: rows of the epochs before.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    history: list[Row] = field(default_factory=list)


class Course:
    """All parts of a fit that change, to be captured and restored.

    Args:
        model: on the device of the fit.
        objective: likewise.
        step: their step.
        average: averaged weights, if any.
        record: history and best weights.

    Attributes:
        done: number of steps taken.
    """

    def __init__(
        self, model: VAE, objective: Objective, step: Step, average: Average | None, record: Record
    ) -> None:
        self.model, self.objective, self.step = model, objective, step
        self.average, self.record, self.done = average, record, 0

    @property
    def ready(self) -> bool:
        """True if a state can be captured: it is settled if the step is compiled."""
        return self.step.settled

    def capture(self) -> State:
        """Copy the state."""
        tensors = self._in_place() | {"sums": self.step.sums.sums}
        if self.average is not None:
            tensors |= _prefixed("average", self.average.tensors)
        record = self.record
        if record.best is not None:
            for part in BEST:
                tensors |= _prefixed(f"best.{part}", getattr(record.best, part))
        facts = {
            "step": self.done,
            "epochs": len(record.fit.history),
            "best_epoch": record.fit.best_epoch,
            "best_loss": record.best_loss if math.isfinite(record.best_loss) else None,
            **self.step.state(),
        }
        return State({k: copied(t) for k, t in tensors.items()}, facts, list(record.fit.history))

    @torch.no_grad()
    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises:
            ValueError: if it is the state of another model, objective or plan.
        """
        for name, t in self._in_place().items():
            kept = state.tensors.get(name)
            if kept is None or kept.shape != t.shape or kept.dtype != t.dtype:
                raise ValueError(
                    f"the checkpoint is of another model: {name} is missing or differs"
                )
            if not torch.equal(t, kept.to(t.device)):  # constants may share memory of their own
                t.copy_(kept)
        facts, record = state.facts, self.record
        self.step.resume(facts, state.tensors["sums"])
        if self.average is not None:
            device = next(self.model.parameters()).device
            averages = _part(state.tensors, "average")
            self.average.tensors = {name: t.to(device) for name, t in averages.items()}
        record.fit.history[:] = state.history
        record.fit.best_epoch = facts["best_epoch"]
        record.best_loss = math.inf if facts["best_loss"] is None else facts["best_loss"]
        if record.fit.best_epoch:
            record.best = Snapshot(*(_part(state.tensors, f"best.{part}") for part in BEST))
        self.done = facts["step"]

    def _in_place(self) -> dict[str, Tensor]:
        """Tensors that the fit changes in place, by name."""
        found: dict[str, Tensor] = {}
        modules: tuple[tuple[str, nn.Module], ...]
        modules = (("model", self.model), ("objective", self.objective))
        for name, module in modules:
            found |= _prefixed(name, dict(module.named_parameters()))
            found |= _prefixed(name, dict(module.named_buffers()))
        for i, learner in enumerate(self.step.learners):
            found |= _prefixed(f"optimizer.{i}", learner.optimizer.tensors())
        return {name: t.detach() for name, t in found.items()}


class Keeper(Protocol):
    """Storage of the states of a fit; it may end the fit by raising `Interrupted`."""

    def state(self) -> State | None:
        """The state to go on from, or None to begin."""

    def after_step(self, course: Course) -> None:
        """Keep the state after a step inside of an epoch, if it is time."""

    def after_epoch(self, course: Course) -> None:
        """Keep the state after an epoch, if it is time."""


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": t for name, t in tensors.items()}


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {k.removeprefix(start): t for k, t in tensors.items() if k.startswith(start)}
