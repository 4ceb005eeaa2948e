"""A user's own factors of variation, beside the rows of an .npz file."""

from pathlib import Path

import numpy as np
import pytest
import torch

from vaelab.data import load

RNG = np.random.default_rng(0)
X = RNG.random((200, 4)).astype(np.float32)
KINDS = np.array(["disc", "bar", "ring"])[RNG.integers(0, 3, 200)]
PLACES = RNG.choice([-1.5, 0.0, 2.0], 200)


def saved(folder: Path, **arrays: np.ndarray) -> Path:
    np.savez(folder / "own.npz", **arrays)
    return folder / "own.npz"


def whole(data):
    """All rows with their factors, in the order of the file."""
    parts = [data.train, data.valid, data.test]
    x = torch.cat([part.x for part in parts])
    order = torch.cdist(torch.from_numpy(X), x).argmin(1)
    return x[order], torch.cat([part.factors.values for part in parts])[order]


def test_values_become_indices_and_stay_with_their_rows(tmp_path):
    factors = np.stack([PLACES, RNG.integers(5, 9, 200)], 1)
    data = load(saved(tmp_path, x=X, factors=factors))
    x, values = whole(data)
    assert torch.equal(x, torch.from_numpy(X))
    assert data.train.factors.names == ("factor 1", "factor 2")
    assert data.train.factors.ordered == (False, False)
    assert np.array_equal(np.array([-1.5, 0, 2])[values[:, 0]], PLACES)
    assert np.array_equal(5 + values[:, 1], factors[:, 1])
    assert data.train.y is None
    assert data.train.variation is data.train.factors


def test_names_order_and_labels_are_kept(tmp_path):
    factors = np.stack([KINDS, PLACES.astype(str)], 1)
    named = {"names": np.array(["kind", "place"]), "ordered": np.array([False, True])}
    y = (KINDS == "bar").astype(int)
    data = load(saved(tmp_path, x=X, y=y, factors=factors, **named))
    assert data.test.factors.names == ("kind", "place")
    assert data.test.factors.ordered == (False, True)
    # In sorted order: bar, disc, ring.
    assert torch.equal(data.test.y == 1, data.test.factors.values[:, 0] == 0)


def test_one_column_and_own_parts(tmp_path):
    cut = {"x_train": X[:150], "x_test": X[150:]}
    parts = {"factors_train": KINDS[:150], "factors_test": KINDS[150:]}
    data = load(saved(tmp_path, **cut, **parts))
    assert len(data.test) == 50
    kinds = np.array(["bar", "disc", "ring"])
    assert np.array_equal(kinds[data.test.factors.values[:, 0]], KINDS[150:])
    with pytest.raises(ValueError, match=r"shapes \[\(150,\), None\]"):
        load(saved(tmp_path, **cut, factors_train=KINDS[:150]))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"factors": KINDS[:150]}, r"own\.npz: factors of shape \(150,\).*each of the 200 of x"),
        ({"factors": X}, "factor 1 has 200 values in 200 rows.*digitize"),
        ({"factors": np.where(PLACES > 0, np.nan, PLACES)}, "factor 1 of row .* is nan"),
        ({"factors": KINDS, "names": np.array(["a", "b"])}, "names has 2 entries for 1 factors"),
        ({"factors": KINDS, "names": np.array([1])}, "names should be words"),
        ({"factors": KINDS, "ordered": np.array([1, 0])}, "ordered has 2 entries"),
        ({"factors": np.full(200, 1j)}, "numbers or words"),
    ],
)
def test_what_is_no_table_of_factors_is_refused(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message):
        load(saved(tmp_path, x=X, **arrays))
