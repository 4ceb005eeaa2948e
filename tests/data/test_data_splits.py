"""Splits are disjoint, complete, and the same for the same seed."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vaelab.data import Data, load
from vaelab.data.splits import SourceData, choose

X = np.arange(100 * 2, dtype=np.float32).reshape(100, 2)


def found(*own: int, shuffle: bool = False) -> SourceData:
    x = torch.arange(sum(own))[:, None]
    return SourceData(x, None, (own[0], own[1], own[2]), shuffle=shuffle)


@given(
    n=st.integers(10, 300),
    valid=st.floats(0.01, 0.4),
    test=st.floats(0.01, 0.4),
    seed=st.integers(0, 99),
)
def test_every_row_is_in_one_split(n: int, valid: float, test: float, seed: int) -> None:
    parts = choose(found(n, 0, 0), valid, test, seed)
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(n))
    assert min(map(len, parts)) >= 1
    assert abs(len(parts[1]) - n * valid) <= 1
    again = choose(found(n, 0, 0), len(parts[1]), len(parts[2]), seed)
    assert all(torch.equal(a, b) for a, b in zip(parts, again, strict=True))


def rows(data: Data) -> list[list[float]]:
    return [s.x[:, 0].tolist() for s in (data.train, data.valid, data.test)]


def test_the_seed_is_all_that_matters() -> None:
    assert rows(load(X, seed=1)) == rows(load(X.copy(), seed=1))
    assert rows(load(X, seed=1)) != rows(load(X, seed=2))
    assert load(X, seed=5).spec.seed == 5


def test_the_split_of_a_seed_never_changes() -> None:
    # Stored runs name rows by seed; a change here would move them into other splits.
    _, valid, test = choose(found(20, 0, 0), 0.1, 0.1, 0)
    assert (valid.tolist(), test.tolist()) == ([13, 19], [4, 5])


def test_own_parts_are_kept_in_order() -> None:
    train, valid, test = choose(found(50, 0, 20), 10, 0.1, 0)
    assert test.tolist() == list(range(50, 70))
    assert sorted([*train.tolist(), *valid.tolist()]) == list(range(50))
    assert len(valid) == 10


def test_own_parts_sorted_by_class_are_shuffled_within_themselves() -> None:
    train, valid, test = choose(found(50, 20, 30, shuffle=True), 0.1, 0.1, 0)
    assert sorted(train.tolist()) == list(range(50)) != train.tolist()
    assert sorted(valid.tolist()) == list(range(50, 70)) != valid.tolist()
    assert sorted(test.tolist()) == list(range(70, 100)) != test.tolist()


def test_labels_follow_their_rows() -> None:
    data = load((X, X[:, 0].astype(int) // 20))
    for split in (data.train, data.valid, data.test):
        assert split.y is not None
        assert split.y.dtype == torch.int64
        assert torch.equal(split.y, (split.x[:, 0] // 20).long())


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 0, 100, True])
def test_senseless_shares_are_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share between 0 and 1"):
        load(X, valid=share)
    with pytest.raises(ValueError, match="share between 0 and 1"):
        load(X, test=share)


def test_something_must_remain_to_train_on() -> None:
    with pytest.raises(ValueError, match="leave none to train on"):
        load(X, valid=0.5, test=0.5)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="9 rows seen; a data set needs at least 10"):
        load(X[:9])
