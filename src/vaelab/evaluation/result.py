"""Result of one part of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from vaelab.metrics.estimate import Estimate


@dataclass(frozen=True, eq=False)
class Result:
    """Figures and what belongs to them; two are joined by `|`.

    Attributes:
        figures: estimates by their names in `DEFINITIONS`.
        of_each: figures of every example, (N,) in the order of the split, on the CPU.
        facts: settings that the figures depend on, as JSON values.
        notes: sentences on figures that are loose, missing or of too few examples.
    """

    figures: dict[str, Estimate] = field(default_factory=dict)
    of_each: dict[str, Tensor] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __or__(self, other: Result) -> Result:
        return Result(
            self.figures | other.figures,
            self.of_each | other.of_each,
            self.facts | other.facts,
            (*self.notes, *other.notes),
        )
