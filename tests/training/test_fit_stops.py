"""What ends a fit before its time: numbers that are not finite, interrupts, a listener."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from fits import SHORT, Watcher, make, same, train, weights

from vaelab.core import ORDER, derive_seed
from vaelab.data import Data, Split
from vaelab.training import NotFinite, Row, Snapshot, fit


def test_a_poisoned_row_stops_the_run_and_is_named(few: Data) -> None:
    recipe = make(few, "vae", likelihood="gaussian")
    raw = recipe.data.prepare(few.train.x).clone()
    raw[200, 0, 3, 3] = math.nan
    spec = dataclasses.replace(recipe.data, dtype="float32", levels=None, scale=(1.0,), high=1.0)
    poisoned = dataclasses.replace(few, train=Split(raw, None))
    with pytest.raises(NotFinite) as error:
        fit(recipe.model, recipe.objective, poisoned, spec, SHORT)
    seed = derive_seed(0, ORDER, 1)
    order = torch.randperm(330, generator=torch.Generator().manual_seed(seed)).tolist()
    batch = order.index(200) // 100 + 1
    rows = 30 if batch == 4 else 100
    assert f"the data has 1 of {rows * 64} values that are not finite" in str(error.value)
    assert f"at step {batch} (epoch 1, batch {batch})" in str(error.value)
    # The model is handed back as after any training.
    assert not recipe.model.training
    assert "Try a smaller --lr" in str(error.value)


def test_a_poisoned_validation_row_stops_the_run_and_is_named(few: Data) -> None:
    recipe = make(few, "vae", likelihood="gaussian")
    raw = recipe.data.prepare(few.valid.x).clone()
    raw[7, 0, 3, 3] = math.inf
    spec = dataclasses.replace(recipe.data, dtype="float32", levels=None, scale=(1.0,), high=1.0)
    clean = Split(recipe.data.prepare(few.train.x), None)
    poisoned = dataclasses.replace(few, train=clean, valid=Split(raw, None))
    with pytest.raises(NotFinite, match=r"the data has 1 of .* in batch 1 of the validation split"):
        fit(recipe.model, recipe.objective, poisoned, spec, SHORT)


def test_an_interrupt_ends_cleanly_with_what_was_reached(few: Data) -> None:
    kept: list[Snapshot] = []

    def stop(row: Row, best: Snapshot | None) -> None:
        kept.extend([best] if best is not None else [])
        if row["epoch"] == 2:
            raise KeyboardInterrupt

    recipe, found = train(few, dataclasses.replace(SHORT, epochs=9), Watcher(stop))
    assert found.ending == "interrupted"
    assert len(found.history) == 2
    assert found.best_epoch == 2
    assert same(weights(recipe), kept[-1].weights)
    assert not recipe.model.training


def test_an_interrupt_in_the_first_epoch_leaves_a_usable_model(few: Data) -> None:
    def stop(step: int) -> None:
        raise KeyboardInterrupt

    recipe = make(few)
    start = weights(recipe)
    found = fit(recipe.model, recipe.objective, few, recipe.data, SHORT, Watcher(step=stop))
    assert (found.ending, found.history, found.best_epoch) == ("interrupted", [], 0)
    assert not same(weights(recipe), start)  # the step before it was taken
    assert all(t.isfinite().all() for t in weights(recipe).values())
    assert not recipe.model.training


def test_a_failing_listener_is_not_swallowed(few: Data) -> None:
    def fail(row: Row, best: Snapshot | None) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        train(few, SHORT, Watcher(fail))
