"""A step whose loss is not finite ends the training, or is undone whole and counted."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vaelab import recipes
from vaelab.data import Data
from vaelab.data import load as load_data
from vaelab.objectives import Loss
from vaelab.recipes.design import Design
from vaelab.runs.train import train
from vaelab.training import Course, NotFinite, Plan, Row, State, fit
from vaelab.training.record import Sums
from vaelab.training.step import Step

PLAN = Plan(epochs=2, batch_size=50, ema=0.9, on_nonfinite="skip")
COMPARED = ("weights.safetensors", "optimizer.safetensors", "metrics.jsonl")


@pytest.fixture(scope="module")
def digits() -> Data:
    whole = load_data("digits8x8")
    rows = torch.arange(180)
    return dataclasses.replace(whole, train=whole.train.take(rows), valid=whole.valid.take(rows))


@pytest.fixture
def spoilt(monkeypatch: pytest.MonkeyPatch, digits: Data) -> None:
    """Make the loss of every batch with row 7 infinite."""
    row, step, forward = digits.train.x[7], Step.step, Step.forward
    found = [False]

    def seen(self: Step, take: Any, raw: Tensor, *condition: Tensor) -> Tensor:
        found[0] = bool((raw == row).flatten(1).all(1).any())
        return step(self, take, raw, *condition)

    def spoil(self: Step, batch: Any) -> Any:
        loss, trace = forward(self, batch)
        return (Loss(loss.total * math.inf, loss.parts) if found[0] else loss), trace

    monkeypatch.setattr(Step, "step", seen)
    monkeypatch.setattr(Step, "forward", spoil)


class States:
    """Keeper of the state after every step."""

    def __init__(self) -> None:
        self.states: list[State] = []

    def state(self) -> None:
        return None

    def after_step(self, course: Course) -> None:
        self.states.append(course.capture())

    def after_epoch(self, course: Course) -> None:
        self.states.append(course.capture())


@pytest.mark.parametrize("name", ["vq", "geco", "wae_gan"])
def test_a_skipped_step_changes_nothing(name: str, spoilt: None, digits: Data) -> None:
    recipe = getattr(recipes, name)(digits.spec, design=Design(width=8))
    keeper = States()
    result = fit(recipe.model, recipe.objective, digits, recipe.data, PLAN, keeper=keeper)
    assert [row["skipped"] for row in result.history] == [1, 1]
    assert all(math.isfinite(row["loss"]) for row in result.history)
    # The clock of schedules goes on; an epoch may begin with the batch that is skipped.
    assert any(
        all(
            torch.equal(t, before.tensors[name])
            for name, t in after.tensors.items()
            if not name.endswith(".progress")
        )
        for before, after in zip(keeper.states, keeper.states[1:], strict=False)
        if before.tensors.keys() == after.tensors.keys()
    )


def test_a_mean_is_over_the_rows_that_count(spoilt: None, digits: Data) -> None:
    recipe = recipes.vae(digits.spec, design=Design(width=8))
    plan = dataclasses.replace(PLAN, epochs=1, lr=1e-9)
    row = fit(recipe.model, recipe.objective, digits, recipe.data, plan).history[0]
    # At this rate nothing moves: the means of all and of most rows are nearly those of validation.
    assert abs(row["distortion"] / row["valid_distortion"] - 1) < 0.05


def test_a_training_stops_by_default(spoilt: None, digits: Data) -> None:
    recipe = recipes.vae(digits.spec, design=Design(width=8))
    plan = dataclasses.replace(PLAN, on_nonfinite="stop")
    with pytest.raises(NotFinite, match=r"not finite, at step \d \(epoch 1"):
        fit(recipe.model, recipe.objective, digits, recipe.data, plan)


def test_an_epoch_without_any_other_step_stops(spoilt: None, digits: Data) -> None:
    recipe = recipes.vae(digits.spec, design=Design(width=8))
    plan = dataclasses.replace(PLAN, batch_size=180)
    with pytest.raises(NotFinite, match="at every step of epoch 1"):
        fit(recipe.model, recipe.objective, digits, recipe.data, plan)


class Copies:
    """Keeps the folder as it is at every step."""

    def __init__(self, folder: Path, to: Path) -> None:
        self.folder, self.to = folder, to

    def on_step(self, step: int, steps: int, row: Row) -> None:
        shutil.copytree(self.folder, self.to / f"step-{step}")

    def on_epoch(self, row: Row, best: Any) -> None:
        shutil.copytree(self.folder, self.to / f"step-{row['epoch']:.0f}-epoch")


def test_resuming_stays_exact(
    spoilt: None, digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sums, "due", lambda self: True)
    recipe, out = recipes.vq(digits.spec, design=Design(width=8)), tmp_path / "whole"
    how: dict[str, Any] = {"progress": False, "checkpoint_every": 0.0}
    train(recipe, digits, PLAN, out=out, callbacks=[Copies(out, tmp_path)], **how)
    whole = [(out / name).read_bytes() for name in COMPARED]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [row["skipped"] for row in rows] == [1, 1]
    for copy in (tmp_path / "step-2", tmp_path / "step-7", tmp_path / "step-1-epoch"):
        (copy / "training.lock").unlink(missing_ok=True)
        train(recipe, digits, PLAN, out=copy, resume=True, **how)
        assert [(copy / name).read_bytes() for name in COMPARED] == whole, copy.name
