"""The best state so far: weights with the optimizer state that belongs to them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vaelab.walk import VAE


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Copies on the CPU.

    Attributes:
        weights: the model's state by name.
        optimizer: the optimizer's tensors by "parameter.moment".
    """

    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]


def snapshot(model: VAE, optimizer: torch.optim.Optimizer) -> Snapshot:
    """Copies the state of both as they are now."""
    state = optimizer.state_dict()["state"]
    return Snapshot(
        {name: _copy(t) for name, t in model.state_dict().items()},
        {
            f"{index}.{name}": _copy(t)
            for index, moments in state.items()
            for name, t in moments.items()
            if isinstance(t, Tensor)
        },
    )


def restore(model: VAE, best: Snapshot) -> None:
    """Gives the model the weights of a snapshot."""
    model.load_state_dict(best.weights)


def _copy(t: Tensor) -> Tensor:
    return t.detach().to("cpu", copy=True).contiguous()
