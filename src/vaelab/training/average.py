r"""Averaged weights, evaluated and saved if a plan has an `ema`.

w̄ ← γ w̄ + (1 − γ) w  after every step, from w̄ = w after the first          (Polyak & Juditsky 1992)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Average:
    """Moving averages of tensors that change in place; what has no average, as counts, is copied.

    Args:
        tensors: by name, as a `state_dict` has them: those a run saves, and nothing that follows
            from settings or from the clock.
        decay: γ.

    Attributes:
        tensors: the averages by name; none before the first update.
    """

    def __init__(self, tensors: Mapping[str, Tensor], decay: float) -> None:
        self.now = {name: t.detach() for name, t in tensors.items()}
        self.blend = get_ema_multi_avg_fn(decay)
        self.tensors: dict[str, Tensor] = {}

    def update(self) -> None:
        """After a step."""
        if not self.tensors:
            self.tensors = {name: t.clone() for name, t in self.now.items()}
            return
        real = [name for name, t in self.now.items() if t.is_floating_point()]
        self.blend([self.tensors[name] for name in real], [self.now[name] for name in real], None)
        for name in self.now.keys() - real:
            self.tensors[name].copy_(self.now[name])

    @contextmanager
    @torch.no_grad()
    def in_place(self) -> Iterator[None]:
        """Inside, whoever holds the tensors finds the averages in them."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, average in self.tensors.items():
            kept = average.clone()
            average.copy_(self.now[name])
            self.now[name].copy_(kept)
