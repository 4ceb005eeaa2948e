"""A disk without room: refused at first, survived later, and gone on from."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from vaelab import recipes
from vaelab.data import Data
from vaelab.data import load as load_data
from vaelab.recipes.design import Design
from vaelab.runs.checkpointer import NotSaved
from vaelab.runs.train import train
from vaelab.training import Plan

PLAN = Plan(epochs=2, batch_size=50)
COMPARED = ("weights.safetensors", "optimizer.safetensors", "metrics.jsonl")
HOW: dict[str, Any] = {"progress": False, "checkpoint_every": 0.0}


@pytest.fixture(scope="module")
def digits() -> Data:
    whole = load_data("digits8x8")
    rows = torch.arange(120)
    return dataclasses.replace(whole, train=whole.train.take(rows), valid=whole.valid.take(rows))


class Disk:
    """Disk that is full at the nth flush."""

    def __init__(self, full_at: int = 0) -> None:
        self.flushes, self.full_at, self.fsync = 0, full_at, os.fsync

    def __call__(self, handle: int) -> None:
        self.flushes += 1
        if self.flushes == self.full_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.fsync(handle)


def trained(digits: Data, out: Path, resume: bool = False) -> list[bytes]:
    recipe = recipes.vae(digits.spec, design=Design(width=4))
    train(recipe, digits, PLAN, out=out, resume=resume, **HOW)
    return [(out / name).read_bytes() for name in COMPARED]


def test_a_disk_full_at_any_write_loses_nothing(
    digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    monkeypatch.setattr(os, "fsync", disk)
    expected = trained(digits, tmp_path / "whole")
    assert disk.flushes > 20
    for full_at in (*range(1, disk.flushes, 7), disk.flushes - 1, disk.flushes):
        out = tmp_path / f"full-{full_at}"
        monkeypatch.setattr(os, "fsync", Disk(full_at))
        try:
            found = trained(digits, out)
        except (OSError, NotSaved):
            found = trained(digits, out, resume=True)
        assert found == expected, full_at


def test_a_training_begins_only_if_there_is_room(
    digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipes.vae(digits.spec, design=Design(width=4))
    size = sum(t.nbytes for t in recipe.model.state_dict().values())
    room = (2 * 3 + 3 * 6) * size  # two runs, three checkpoints
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=room - 1))
    with pytest.raises(OSError, match=r"needs 0\.\d MiB here .* 2 checkpoints"):
        trained(digits, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=room))
    trained(digits, tmp_path / "run")
