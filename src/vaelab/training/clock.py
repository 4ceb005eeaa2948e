"""Progress of a training run, distributed to everything that follows a schedule."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from vaelab.core.schedule import PROGRESS


class Clock:
    """Every schedule's buffer of progress t ∈ [0, 1], in models and objectives, set at once.

    Args:
        named: buffers by name, as `named_buffers` gives them.
    """

    def __init__(self, named: Iterable[tuple[str, Tensor]]) -> None:
        self.buffers = [t for name, t in named if name.split(".")[-1] == PROGRESS]

    def set(self, progress: float) -> None:
        """Set it: 0 at the first step, 1 for evaluation and from then on."""
        for t in self.buffers:
            t.fill_(progress)
