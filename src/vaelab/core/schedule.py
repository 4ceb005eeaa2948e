r"""Schedules: numbers that change during training, as functions of its progress t ∈ [0, 1].

Weights of an objective follow them, and so may a part of the model, such as the temperature of a
relaxation. A model is always evaluated at t = 1, so that every epoch is compared under the final
objective.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

PROGRESS = "progress"


class Schedule(nn.Module, ABC):
    """Number that depends on the progress of training, which `fit` sets before every step."""

    progress: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer(PROGRESS, _number(1.0), persistent=False)

    @abstractmethod
    def forward(self) -> Tensor:
        """Return the current number, ()."""

    if TYPE_CHECKING:

        def __call__(self) -> Tensor: ...


class Constant(Schedule):
    """Constant number.

    >>> Constant(4.0)()
    tensor(4., dtype=torch.float64)
    """

    value: Tensor

    def __init__(self, value: float) -> None:
        super().__init__()
        self.register_buffer("value", _number(value), persistent=False)

    def __str__(self) -> str:
        return f"{float(self.value):g}"

    def forward(self) -> Tensor:
        return self.value


class Rise(Schedule):
    """Linear warm-up over the first share of training, constant afterwards.

    Reference: Generating Sentences from a Continuous Space, Bowman et al., 2015, arXiv:1511.06349.

    >>> rise = Rise(0.0, 1.0, warmup_fraction=0.5)
    >>> rise.progress.fill_(0.25)
    tensor(0.2500, dtype=torch.float64)
    >>> rise()
    tensor(0.5000, dtype=torch.float64)

    Args:
        start: value at t = 0.
        end: value from t = `warmup_fraction` on.
        warmup_fraction: share of training that the warm-up takes, in (0, 1].

    Raises:
        ValueError: if `warmup_fraction` is out of range.
    """

    start: Tensor
    end: Tensor

    def __init__(self, start: float, end: float, warmup_fraction: float = 0.5) -> None:
        super().__init__()
        if not 0 < warmup_fraction <= 1:
            raise ValueError(
                f"warmup_fraction is {warmup_fraction}; expected a share of training above 0 "
                "and at most 1"
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
    """Cyclical warm-up from 0 to a number, which is held for the rest of each cycle.

    Reference: Cyclical Annealing Schedule: A Simple Approach to Mitigating KL Vanishing, Fu et al.,
    2019, arXiv:1903.10145.

    >>> cycles = Cycles(1.0, cycles=4, warmup_fraction=0.5)
    >>> _ = cycles.progress.fill_(0.25 + 0.25 / 4)  # a quarter into the second cycle
    >>> cycles()
    tensor(0.5000, dtype=torch.float64)

    Args:
        end: value reached in every cycle, and held at the end of training.
        cycles: number of cycles, at least 1.
        warmup_fraction: share of a cycle that the warm-up takes, in (0, 1].

    Raises:
        ValueError: if `cycles` or `warmup_fraction` is out of range.
    """

    end: Tensor

    def __init__(self, end: float, cycles: int = 4, warmup_fraction: float = 0.5) -> None:
        super().__init__()
        if cycles < 1 or not 0 < warmup_fraction <= 1:
            raise ValueError(
                f"cycles is {cycles} and warmup_fraction {warmup_fraction}; expected at least 1 "
                "cycle, and a share of a cycle above 0 and at most 1"
            )
        self.cycles, self.warmup_fraction = cycles, warmup_fraction
        self.register_buffer("end", _number(end), persistent=False)

    def __str__(self) -> str:
        return f"({self.cycles} × 0 → {float(self.end):g})"

    def forward(self) -> Tensor:
        # At t = 1 the last cycle stays at its end instead of starting over at 0.
        inside = torch.remainder(self.progress * self.cycles, 1.0)
        share = torch.where(self.progress >= 1, torch.ones_like(inside), inside)
        return self.end * (share / self.warmup_fraction).clamp(max=1.0)


def as_schedule(weight: float | Schedule) -> Schedule:
    """Convert a number to a constant schedule.

    Raises:
        ValueError: if it is not finite.
    """
    if isinstance(weight, Schedule):
        return weight
    if not math.isfinite(weight):
        raise ValueError(f"a weight is {weight}; expected a finite number")
    return Constant(weight)


def _number(value: float) -> Tensor:
    # A buffer, so that members of a population may differ; double precision, so that the value is
    # exact whatever the precision of the model.
    return torch.tensor(value, dtype=torch.float64)
