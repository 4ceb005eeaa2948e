"""The best state so far: weights with the optimizer state that belongs to them."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from vaelab.core import VAE
from vaelab.objectives import Objective
from vaelab.training.adamw import AdamW


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Copies on the CPU.

    Attributes:
        weights: the model's state by name.
        optimizer: the optimizer's tensors by "parameter.moment".
        objective: the objective's state by name; most have none, a critic's weights are one.
    """

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    objective: dict[str, Tensor] = field(default_factory=dict)


def snapshot(model: VAE, objective: Objective, optimizer: AdamW) -> Snapshot:
    """Copies the state of all as they are now."""
    states = (model.state_dict(), optimizer.tensors(), objective.state_dict())
    return Snapshot(*({name: copied(t) for name, t in state.items()} for state in states))


def restore(model: VAE, objective: Objective, best: Snapshot) -> None:
    """Give model and objective the state of a snapshot."""
    model.load_state_dict(best.weights)
    objective.load_state_dict(best.objective)


def release(model: VAE, objective: Objective) -> None:
    """Give both back after a training, however it ended: on the CPU, the model for use."""
    model.to("cpu").eval()
    objective.to("cpu")


def copied(t: Tensor) -> Tensor:
    """A copy on the CPU, whose memory is in order."""
    return t.detach().to("cpu", copy=True).contiguous()
