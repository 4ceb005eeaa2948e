"""Figures of the aggregate recomputed from the codes and prior draws themselves."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from vaelab.evaluation import latents


@pytest.fixture
def match(monkeypatch):
    """The figures of planted codes: of training, held out, and of the prior."""

    def of(codes, fresh, prior):
        clouds = {"train": codes, "held": fresh}
        monkeypatch.setattr(latents, "confined", lambda model, conditions: None)
        monkeypatch.setattr(latents, "_conditions", lambda batches, n: ())
        monkeypatch.setattr(latents, "_codes", lambda model, batches, seed: clouds[batches])
        monkeypatch.setattr(latents, "_prior", lambda run, train, n: prior)
        return latents._match(SimpleNamespace(model=None), "train", "held", 0).figures

    return of


def test_holes_are_measured_against_training_codes_and_calibrated_on_held_out_ones(match):
    g = torch.Generator().manual_seed(0)
    codes = torch.randn(700, 3, generator=g) * torch.tensor([1.0, 0.4, 2.0])
    fresh = 1.3 * torch.randn(500, 3, generator=g) * torch.tensor([1.0, 0.4, 2.0]) + 0.2
    prior = torch.randn(900, 3, generator=g)
    near = NearestNeighbors(n_neighbors=latents.K).fit(codes.numpy())
    limit = np.quantile(near.kneighbors(fresh.numpy())[0][:, -1], 0.95)
    outside = (near.kneighbors(prior.numpy())[0][:, -1] > limit).mean()
    other = NearestNeighbors(n_neighbors=latents.K).fit(fresh.numpy())
    swapped = (
        other.kneighbors(prior.numpy())[0][:, -1]
        > np.quantile(other.kneighbors(codes.numpy())[0][:, -1], 0.95)
    ).mean()
    assert abs(outside - swapped) > 0.02  # the two are told apart by these clouds
    assert match(codes, fresh, prior)["holes"].value == pytest.approx(outside, abs=0.005)
