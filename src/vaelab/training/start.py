"""Start of a model from a sample of its training data, before the first step."""

from __future__ import annotations

import torch

from vaelab.core import VAE
from vaelab.core.start import start_at_marginal
from vaelab.data import Batches

ROWS, NUMBERS = 4096, 2**24
"""Largest number of rows, and of numbers in them, that the marginal is estimated from."""


@torch.no_grad()
def start(model: VAE, train: Batches) -> None:
    """Start an untrained model at the marginal of its training data, by evenly spaced rows.

    Args:
        model: model on the device of the batches.
        train: training split.
    """
    most = max(1, min(ROWS, NUMBERS // train.spec.dims))
    rows = train.x[:: -(-len(train) // most)]
    x = train.spec.prepare(rows.to(train.device))
    if torch.isfinite(x).all():  # otherwise the first step names what is not, and where
        start_at_marginal(model, x)
