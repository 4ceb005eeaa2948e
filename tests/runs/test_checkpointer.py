"""A training's results on disk while it goes on, when it ends, and when it does not."""

import dataclasses
import errno
import json
import os
import resource

import numpy as np
import pytest
import torch

from vaelab import recipes
from vaelab.data import load as load_data
from vaelab.data import with_columns
from vaelab.recipes.design import Design
from vaelab.runs import checkpointer
from vaelab.runs.load import load
from vaelab.runs.train import check_data_matches, train
from vaelab.training import Plan
from vaelab.utils import atomic_files

PLAN = Plan(epochs=3)


@pytest.fixture(scope="module")
def digits():
    return load_data("digits8x8")


def small(data):
    return recipes.vae(data.spec, latent=2, design=Design(width=16))


class Stop:
    """Presses Ctrl-C after some epochs, having looked at the folder."""

    def __init__(self, folder, after):
        self.folder, self.after, self.lines = folder, after, []

    def on_step(self, step, steps, row):
        if self.after == 0:
            raise KeyboardInterrupt

    def on_epoch(self, row, best):
        text = (self.folder / "unfinished" / "metrics.jsonl").read_text()
        self.lines.append([json.loads(line)["epoch"] for line in text.splitlines()])
        if row["epoch"] == self.after:
            raise KeyboardInterrupt


def test_every_epoch_is_on_disk_when_it_ends(tmp_path, digits):
    listener = Stop(tmp_path / "run", after=99)
    train(small(digits), digits, PLAN, out=tmp_path / "run", callbacks=[listener])
    assert listener.lines == [[1], [1, 2], [1, 2, 3]]
    assert not (tmp_path / "run" / "unfinished").exists()


def test_data_of_another_kind_than_the_recipe_is_made_for_are_refused(digits):
    """Of the same shape, but of other levels, scale, columns or classes."""
    rng = np.random.default_rng(0)
    two = load_data(rng.integers(0, 2, (60, 8, 8), dtype=np.uint8))
    with pytest.raises(ValueError, match="levels is 17, this data's is 2; build it with"):
        train(small(digits), two, PLAN)
    table, other = (load_data(rng.normal(3, s, (60, 4))) for s in (1, 2))
    with pytest.raises(ValueError, match=r"offset is \("):
        train(small(table), other, PLAN)
    told = recipes.vae(digits.spec, 2, design=Design(width=16, condition="labels"))
    with pytest.raises(ValueError, match="classes is"):
        check_data_matches(
            told.data, dataclasses.replace(digits.spec, classes=("a", "b"), shares=())
        )
    real = load_data(np.hstack([rng.normal(3, 1, (60, 1)), rng.integers(0, 3, (60, 1))]))
    kinds = with_columns(real, ["real", "categories"])
    with pytest.raises(ValueError, match="columns is"):
        check_data_matches(kinds.spec, real.spec)


def test_data_that_were_not_loaded_are_loaded(digits):
    run = train(small(digits), "digits8x8", PLAN)
    assert torch.equal(run.data.train.x, digits.train.x)
    with pytest.raises(TypeError, match="data is missing"):
        train(small(digits))


def test_what_is_kept_on_the_way_is_a_run(tmp_path, digits, monkeypatch):
    monkeypatch.setattr(checkpointer, "EVERY", 0.0)
    seen = []

    class Look(Stop):
        def on_epoch(self, row, best):
            run = load(self.folder / "unfinished")
            assert run.training["ending"] == "unfinished"
            seen.append((run.training["best_epoch"], run.sample(2).shape))

    train(small(digits), digits, PLAN, out=tmp_path / "run", callbacks=[Look(tmp_path / "run", 99)])
    assert [shape for _, shape in seen] == [(2, 1, 8, 8)] * 3
    assert seen[0][0] == 1


def test_interrupt_keeps_what_was_reached(tmp_path, digits):
    run = train(
        small(digits), digits, PLAN, out=tmp_path / "run", callbacks=[Stop(tmp_path / "run", 2)]
    )
    assert run.training["ending"] == "interrupted"
    assert len(load(tmp_path / "run").history) == 2


def test_interrupt_before_the_first_epoch_leaves_nothing(tmp_path, digits):
    with pytest.raises(KeyboardInterrupt):
        train(small(digits), digits, PLAN, out=tmp_path / "run", callbacks=[Stop(tmp_path, 0)])
    assert not (tmp_path / "run").exists()


def test_watching_and_keeping_change_no_number(tmp_path, digits, monkeypatch):
    monkeypatch.setattr(checkpointer, "EVERY", 0.0)
    alone = train(small(digits), digits, PLAN)
    kept = train(small(digits), digits, PLAN, out=tmp_path / "run")
    for a, b in zip(alone.history, kept.history, strict=True):
        assert a["valid_loss"] == b["valid_loss"]
        assert a["loss"] == b["loss"]


def test_overwriting_removes_what_is_no_longer_true_and_nothing_else(tmp_path, digits):
    folder = tmp_path / "run"
    train(small(digits), digits, PLAN, out=folder)
    (folder / "evaluation.json").write_text("{}")
    (folder / "notes.txt").write_text("mine")
    old = (folder / "weights.safetensors").read_bytes()
    train(small(digits), digits, Plan(epochs=1), out=folder, overwrite=True)
    assert (folder / "weights.safetensors").read_bytes() != old
    assert not (folder / "evaluation.json").exists()
    assert (folder / "notes.txt").read_text() == "mine"
    assert len(load(folder).history) == 1


def test_no_room_for_the_weights_is_met_before_training(tmp_path, digits, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    listener = Stop(tmp_path, after=0)
    with pytest.raises(OSError, match="No space"):
        train(small(digits), digits, PLAN, out=tmp_path / "run", callbacks=[listener])
    assert not (tmp_path / "run").exists()


def test_a_line_that_does_not_fit_leaves_no_part_of_itself(tmp_path):
    path = tmp_path / "lines"
    atomic_files.append(path, "0123456789\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            atomic_files.append(path, "0123456789\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(path)
    assert path.read_text() == "0123456789\n"
