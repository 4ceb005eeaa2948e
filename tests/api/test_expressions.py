"""Expressions that a newcomer types, written down before the interface was read.

A line works as it stands, or after `->` has the word that its error must name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import vaelab

LINES = [
    line
    for line in (Path(__file__).parent / "expressions.txt").read_text("utf-8").splitlines()
    if line and not line.startswith(("#", "["))
]
EXPRESSIONS = [tuple(part.strip() for part in line.partition(" -> ")[::2]) for line in LINES]

LEAST = 0.62
"""Share of the expressions that work; almost all others are words of other libraries."""


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a newcomer has at hand."""
    X, y = load_digits(return_X_y=True)
    X, y = X[:400].reshape(-1, 8, 8) / 16, y[:400]
    folder = tmp_path_factory.mktemp("pictures")
    for i, (pixels, label) in enumerate(zip(X[:40], y[:40], strict=True)):
        place = folder / "abcde"[label % 5]
        place.mkdir(exist_ok=True)
        Image.fromarray((255 * pixels).round().astype("uint8")).save(place / f"{i}.png")
    data = vaelab.load_data((X, y))
    run = vaelab.train("vae", data, latent=4, epochs=1)
    x = data.test.x[:5]
    return {
        "vaelab": vaelab,
        "np": np,
        "pd": pd,
        "torch": torch,
        "nn": nn,
        "plt": plt,
        "Image": Image,
        "DataLoader": DataLoader,
        "TensorDataset": TensorDataset,
        "X": X,
        "y": y,
        "df": pd.DataFrame(
            {"a": X[:, 3, 3], "b": X[:, 4, 4] + 1.5, "kind": np.array(["u", "v"])[y % 2]}
        ),
        "data": data,
        "run": run,
        "other": vaelab.train("beta_vae", data, latent=4, beta=4.0, epochs=1),
        "x": x,
        "z": run.encode(x),
        "folder": folder,
        "picture": next(folder.rglob("*.png")),
        "tmp": tmp_path_factory.mktemp("made"),
    }


@pytest.mark.parametrize(("expression", "word"), EXPRESSIONS, ids=[e for e, _ in EXPRESSIONS])
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_an_expression_works_or_its_error_names_the_word(
    names: dict[str, Any], expression: str, word: str
) -> None:
    if not word:
        eval(expression, names)
    else:
        with pytest.raises((AttributeError, TypeError, ValueError, LookupError, OSError)) as caught:
            eval(expression, names)
        assert word in str(caught.value), str(caught.value)


def test_most_expressions_work() -> None:
    assert len(EXPRESSIONS) >= 120
    assert sum(not word for _, word in EXPRESSIONS) >= LEAST * len(EXPRESSIONS)
