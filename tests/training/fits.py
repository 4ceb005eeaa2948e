"""Short fits of small recipes, and what to tell two of them apart by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import vaelab.recipes  # noqa: F401  (its functions register themselves)
from vaelab.data import Data
from vaelab.recipes.design import Design
from vaelab.recipes.registry import Recipe, find
from vaelab.training import Fit, Plan, Row, Snapshot, fit

SHORT = Plan(epochs=3, batch_size=100, precision="fp32")


def make(data: Data, name: str = "vae", **design: Any) -> Recipe:
    return find(name)(data.spec, latent=3, design=Design(**({"width": 16} | design)))


def train(
    data: Data, plan: Plan = SHORT, listener: Any = None, name: str = "vae"
) -> tuple[Recipe, Fit]:
    recipe = make(data, name)
    return recipe, fit(recipe.model, recipe.objective, data, recipe.data, plan, listener)


def weights(recipe: Recipe) -> dict[str, Tensor]:
    return {key: t.clone() for key, t in recipe.model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(t, b[key]) for key, t in a.items())


def timeless(history: list[Row]) -> list[Row]:
    clock = ("seconds", "images_per_s")
    return [{key: v for key, v in row.items() if key not in clock} for row in history]


class Watcher:
    """A listener that does something at a step or an epoch."""

    def __init__(
        self,
        epoch: Callable[[Row, Snapshot | None], None] | None = None,
        step: Callable[[int], None] | None = None,
    ) -> None:
        self.epoch, self.step = epoch, step

    def on_step(self, step: int, steps: int, row: Row) -> None:
        if self.step is not None:
            self.step(step)

    def on_epoch(self, row: Row, best: Snapshot | None) -> None:
        if self.epoch is not None:
            self.epoch(row, best)
