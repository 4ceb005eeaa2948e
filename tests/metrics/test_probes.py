"""The probes of a trained model against models whose answers are known on paper."""

import math

import pytest
import torch
from torch import nn

from vaelab.core import VAE, Shallow
from vaelab.metrics.probes import attention, effective_beta, misfit
from vaelab.parts.likelihoods import FixedGaussian
from vaelab.parts.posteriors import DiagonalNormal, Point
from vaelab.parts.priors import Standard

L, D, NOISE = 3, 5, 0.7


class Linear(nn.Module):
    """The encoder of a linear-Gaussian model: means A x, one log σ a dimension."""

    def __init__(self, a, log_sigma):
        super().__init__()
        self.a, self.log_sigma = a, log_sigma

    def forward(self, x):
        return torch.cat([x @ self.a.T, self.log_sigma.expand(len(x), -1)], 1)


def model(log_sigma, posterior=None, weight=None):
    torch.manual_seed(1)
    decoder = nn.Linear(L, D)
    if weight is not None:
        decoder.weight.data = weight
    encoder = Linear(0.3 * torch.randn(L, D), log_sigma)
    if posterior is not None:
        encoder = nn.Linear(D, L)
    parts = Standard(L), posterior or DiagonalNormal(), decoder, FixedGaussian(NOISE)
    return VAE(encoder, Shallow(*parts)), decoder.weight.detach()


def batches(n=2000):
    return torch.randn(n, D, generator=torch.Generator().manual_seed(0)).split(256)


@pytest.mark.parametrize("scale", [0.3, 0.8])
def test_effective_beta_is_the_one_of_the_formula(scale):
    """dD/dt = Σ_j σ_j² ‖W_j‖² / s² and dR/dt = Σ_j σ_j² − 1 at t = 1, exactly."""
    log_sigma = torch.full((L,), math.log(scale))
    made, w = model(log_sigma)
    exact = scale**2 * float(w.square().sum()) / NOISE**2 / (L * (1 - scale**2))
    found = effective_beta(made, batches(8000))
    assert found is not None
    assert found.se < 0.05 * exact
    assert abs(found.value - exact) < 4 * found.se


def test_effective_beta_is_one_at_the_true_posterior():
    """σ_j⁻² = 1 + ‖W_j‖² / s² is the posterior of a decoder with orthogonal columns."""
    weight = torch.linalg.qr(torch.randn(D, L))[0] * torch.tensor([2.0, 1.0, 0.5])
    sigma = (1 + weight.square().sum(0) / NOISE**2).rsqrt()
    found = effective_beta(model(sigma.log(), weight=weight)[0], batches(8000))
    assert abs(found.value - 1) < 4 * found.se
    assert found.se < 0.1


def test_effective_beta_says_nothing_where_there_is_nothing_to_say():
    assert effective_beta(model(torch.zeros(L))[0], batches()) is None
    assert effective_beta(model(torch.zeros(L), posterior=Point())[0], batches()) is None


def test_effective_beta_leaves_the_random_state_alone():
    made, _ = model(torch.full((L,), -1.0))
    state = torch.get_rng_state()
    effective_beta(made, batches())
    assert torch.equal(torch.get_rng_state(), state)


def test_attention_is_none_where_the_decoder_is_deaf():
    deaf, _ = model(torch.full((L,), -1.0), weight=torch.zeros(D, L))
    assert attention(deaf, batches()).value == 0
    heard, _ = model(torch.full((L,), -1.0))
    # E ‖W(z − z')‖² / 2 s² where x and z are independent, plus what z knew of x.
    found = attention(heard, batches(8000))
    x = torch.cat(batches(8000))
    a, w, b = heard.encoder.a, heard.generator.decoder.weight, heard.generator.decoder.bias
    z = x @ a.T
    with torch.no_grad():
        own = (x - z @ w.T - b).square().sum(1).mean()
        other = (x - z.roll(1, 0) @ w.T - b).square().sum(1).mean()
    assert abs(found.value - float(other - own) / (2 * NOISE**2)) < 4 * found.se


@pytest.mark.parametrize("noise", [0.35, 0.7, 1.4])
def test_misfit_is_half_of_the_ratio_of_variances_less_one(noise):
    made, _ = model(torch.full((L,), -9.0), weight=torch.zeros(D, L))
    made.generator.decoder.bias.data.zero_()
    x = noise * torch.randn(8000, D)
    found = misfit(made, x.split(500))
    assert abs(found.value - D / 2 * ((noise / NOISE) ** 2 - 1)) < 4 * found.se
