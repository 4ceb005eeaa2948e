"""What the tests of training share."""

from __future__ import annotations

import dataclasses

import pytest

from vaelab.data import Data, Split


@pytest.fixture(scope="module")
def few(digits: Data) -> Data:
    """330 digits to train on: batches of 100, the last of 30."""
    return dataclasses.replace(
        digits, train=Split(digits.train.x[:330], None), valid=Split(digits.valid.x[:110], None)
    )
