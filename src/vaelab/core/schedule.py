r"""Numbers that change while a model is trained, as functions of the share of it that is done.

Weights of an objective follow them, and so may a part of the model, as a relaxation's temperature.

t ∈ [0, 1] is the progress of training; a model is always judged at t = 1, so that every epoch is
held to the objective it will end with.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

PROGRESS = "progress"


class Schedule(nn.Module, ABC):
    """A number that depends on the progress of training, which `fit` sets before every step."""

    progress: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer(PROGRESS, _number(1.0), persistent=False)

    @abstractmethod
    def forward(self) -> Tensor:
        """The number now, ()."""

    if TYPE_CHECKING:

        def __call__(self) -> Tensor: ...


class Constant(Schedule):
    """The same number always."""

    value: Tensor

    def __init__(self, value: float) -> None:
        super().__init__()
        self.register_buffer("value", _number(value), persistent=False)

    def __str__(self) -> str:
        return f"{float(self.value):g}"

    def forward(self) -> Tensor:
        return self.value


class Rise(Schedule):
    """A line from one number to another over the first share of training, then level.

    Args:
        start: at t = 0.
        end: from t = `warmup_fraction` on.
        warmup_fraction: share of training it takes, in (0, 1].
    """

    start: Tensor
    end: Tensor

    def __init__(self, start: float, end: float, warmup_fraction: float = 0.5) -> None:
        super().__init__()
        if not 0 < warmup_fraction <= 1:
            raise ValueError(
                f"warmup_fraction is {warmup_fraction}; it is a share of training, above 0 and "
                "at most 1"
            )
        self.warmup_fraction = warmup_fraction
        self.register_buffer("start", _number(start), persistent=False)
        self.register_buffer("end", _number(end), persistent=False)

    def __str__(self) -> str:
        return f"({float(self.start):g} → {float(self.end):g})"

    def forward(self) -> Tensor:
        return torch.lerp(
            self.start, self.end, (self.progress / self.warmup_fraction).clamp(max=1.0)
        )


class Cycles(Schedule):
    """Rises from 0 to a number again and again, staying there for part of each (1903.10145).

    Args:
        end: reached in every cycle, and held at the end of training.
        cycles: how many, at least 1.
        warmup_fraction: share of a cycle that the rise takes, in (0, 1].
    """

    end: Tensor

    def __init__(self, end: float, cycles: int = 4, warmup_fraction: float = 0.5) -> None:
        super().__init__()
        if cycles < 1 or not 0 < warmup_fraction <= 1:
            raise ValueError(
                f"cycles is {cycles} and warmup_fraction {warmup_fraction}; expected at least 1 "
                "cycle, and a share of it "
                "above 0 and at most 1"
            )
        self.cycles, self.warmup_fraction = cycles, warmup_fraction
        self.register_buffer("end", _number(end), persistent=False)

    def __str__(self) -> str:
        return f"({self.cycles} × 0 → {float(self.end):g})"

    def forward(self) -> Tensor:
        # The last cycle ends held, not at the 0 of a cycle that will never come.
        inside = torch.remainder(self.progress * self.cycles, 1.0)
        share = torch.where(self.progress >= 1, torch.ones_like(inside), inside)
        return self.end * (share / self.warmup_fraction).clamp(max=1.0)


def as_schedule(weight: float | Schedule) -> Schedule:
    """A number as the schedule that never changes."""
    if isinstance(weight, Schedule):
        return weight
    if not math.isfinite(weight):
        raise ValueError(f"a weight is {weight}; expected a finite number")
    return Constant(weight)


def _number(value: float) -> Tensor:
    # A buffer, so that in a population it differs from member to member; a scalar of double
    # precision, so that it is the one given whatever the precision of the model.
    return torch.tensor(value, dtype=torch.float64)
