"""Decoding of posterior means beside posterior draws, and the caption that warns of it."""

import pytest
import torch
from diseased import runs
from torch import nn

from vaelab import VAE, Shallow
from vaelab.data import load
from vaelab.metrics.mean_code import excess_at_mean
from vaelab.parts.likelihoods import LaplaceLikelihood
from vaelab.parts.posteriors import DiagonalNormal
from vaelab.parts.priors import Standard
from vaelab.plots import gallery


class Shell(nn.Module):
    """Decodes z to +1 within a radius of 2, and to −1 outside it."""

    def forward(self, z):
        return torch.where(z.norm(dim=1, keepdim=True) < 2, 1.0, -1.0).expand(-1, 3).clone()


def test_the_excess_is_that_by_hand():
    encoder = nn.Linear(3, 100)
    with torch.no_grad():
        encoder.weight.zero_()
        encoder.bias.zero_()  # posteriors are the prior: draws of 50 latents lie at radius 7
    model = VAE(encoder, Shallow(Standard(50), DiagonalNormal(), Shell(), LaplaceLikelihood()))
    x = torch.tensor([[1.0, -1.0, -1.0], [-1.0, -1.0, -1.0]])
    found = excess_at_mean(model, x, (), lambda likelihood: likelihood.mean, x)
    # Means decode to +1, with errors 8 and 12; draws to −1, with errors 4 and 0; variance 1.
    assert found.tolist() == pytest.approx([4.0, 12.0])


def test_the_caption_of_reconstructions_warns_where_means_decode_worse_than_draws(tmp_path):
    run = runs.grey_at_the_mean(tmp_path)
    data = load(tmp_path / "data.npz")
    _, caption = gallery.reconstructions(run, data)
    assert "far worse than posterior draws" in caption


def test_reconstructions_of_a_trained_run_carry_no_warning(tmp_path):
    run = runs.trained(tmp_path, runs.recipes.vae, "digits8x8", 30, latent=4)
    _, caption = gallery.reconstructions(run, load("digits8x8"))
    assert "worse" not in caption
