"""Rows of splits, figures by name, and summaries, recomputed by other means."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import vaelab
from vaelab import Data


def test_a_split_is_a_sequence_of_rows() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(5, 2, (60, 3)).astype("float32"), rng.integers(0, 3, 60)
    data = vaelab.load_data((x, y))
    first, label = data.train[0]
    assert torch.equal(first, data.train.x[0])
    assert label == data.train.y[0]
    assert torch.equal(data.train[-3:].x, data.train.x[-3:])
    assert [int(label) for _, label in data.test] == data.test.y.tolist()
    with pytest.raises(IndexError):
        data.train[len(data.train)]
    plain = vaelab.load_data(x)
    assert torch.equal(plain.train[2], plain.train.x[2])
    loaded = next(iter(torch.utils.data.DataLoader(data.train, batch_size=5)))
    assert torch.equal(loaded[0], data.train.x[:5])


def test_a_description_counts_and_measures_each_split() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(1e4, 2, (80, 3)).astype("float32"), rng.integers(0, 3, 80)
    data = vaelab.load_data((x, y))
    frame = data.describe().to_frame().set_index("split")
    rows = data.train.x.double()
    assert frame.loc["train", "rows"] == len(rows)
    assert frame.loc["train", "mean"] == pytest.approx(float(rows.mean()))
    assert frame.loc["train", "std"] == pytest.approx(float(rows.std(correction=0)))
    assert frame.loc["test", "n[2]"] == int((data.test.y == 2).sum())


def test_a_summary_counts_the_parameters(digits: Data) -> None:
    run = vaelab.train("vae", digits, latent=3, width=16, likelihood="gaussian", epochs=1)
    summary = run.summary()
    assert summary.parameters == sum(p.numel() for p in run.model.parameters())
    sizes = dict(zip(summary.to_frame()["name"], summary.to_frame()["parameters"], strict=True))
    assert sizes["encoder"] == sum(p.numel() for p in run.model.encoder.parameters())
    assert "D + R" in repr(summary)
    x = digits.test.x[:4]
    assert torch.equal(run.encode(digits.test[1]), run.encode(digits.test.x[1]))
    assert torch.equal(run.score(x)["rate"], run.score(x).rate)
    every = run.traverse(steps=5)
    assert every.shape[:2] == (3, 5)
    assert torch.equal(every[0], run.traverse(run.codes.order[0], steps=5)[0])
