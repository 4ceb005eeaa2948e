"""Images compared by structure and by features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from torch import Tensor, nn

from vaelab.core import Site, Trace
from vaelab.distributions import Dirac, Normal
from vaelab.objectives import Distortion, FeatureDistortion, StructuralDistortion
from vaelab.objectives.perceptual import ms_ssim

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the paper


def images(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(*shape, generator=generator, dtype=torch.float64)
    ramp = torch.linspace(0, 1, shape[-1], dtype=torch.float64)
    return 0.5 * noise + 0.5 * ramp


def decoded(mean: Tensor, samples: int = 1) -> Trace:
    z = torch.zeros(len(mean), 1, dtype=mean.dtype)
    site = Site(z, Normal(z, z), Dirac(z))
    return Trace((site,), Normal(mean, torch.zeros_like(mean)), samples)


def by_scipy(a: np.ndarray, b: np.ndarray, scales: int, size: int = 11) -> float:
    """Wang et al. 2003 for images (C, H, W), from their formulas."""
    at = np.arange(size) - (size - 1) / 2
    window = np.exp(-0.5 * (at / 1.5) ** 2)
    window /= window.sum()
    cut = size // 2

    def blur(t: np.ndarray) -> np.ndarray:
        t = correlate1d(correlate1d(t, window, axis=1), window, axis=2)
        return t[:, cut : t.shape[1] - cut, cut : t.shape[2] - cut]

    found = 1.0
    for s in range(scales):
        mu_a, mu_b = blur(a), blur(b)
        va, vb, cov = blur(a * a) - mu_a**2, blur(b * b) - mu_b**2, blur(a * b) - mu_a * mu_b
        value = (2 * cov + 9e-4) / (va + vb + 9e-4)
        if s == scales - 1:
            value = value * (2 * mu_a * mu_b + 1e-4) / (mu_a**2 + mu_b**2 + 1e-4)
        found *= value.mean() ** (WEIGHTS[s] / sum(WEIGHTS[:scales]))
        h, w = (n // 2 * 2 for n in a.shape[1:])
        a, b = (t[:, :h, :w].reshape(len(t), h // 2, 2, w // 2, 2).mean((2, 4)) for t in (a, b))
    return found


@pytest.mark.parametrize(
    ("shape", "scales", "size"),
    [
        ((2, 1, 28, 28), 2, 11),
        ((2, 3, 47, 50), 3, 11),
        ((1, 1, 176, 180), 5, 11),
        ((2, 1, 8, 8), 1, 7),
        ((2, 2, 9, 7), 1, 7),
    ],
)
def test_ms_ssim_agrees_with_its_formulas(shape: tuple[int, ...], scales: int, size: int) -> None:
    a = images(*shape)
    b = 0.7 * a + 0.3 * images(*shape, seed=1)
    expected = [by_scipy(u, v, scales, size) for u, v in zip(a.numpy(), b.numpy(), strict=True)]
    np.testing.assert_allclose(ms_ssim(a, b), expected, rtol=1e-9)


def test_ms_ssim_agrees_with_torchmetrics() -> None:
    theirs = pytest.importorskip("torchmetrics.functional.image")
    a = images(3, 2, 60, 61)
    b = 0.7 * a + 0.3 * images(3, 2, 60, 61, seed=1)
    betas = tuple(weight / sum(WEIGHTS[:3]) for weight in WEIGHTS[:3])
    found = theirs.multiscale_structural_similarity_index_measure(
        a, b, data_range=1.0, betas=betas, reduction="none", normalize="relu"
    )
    # Theirs looks past the edges, by reflection, at the last scale; a window is to fit.
    torch.testing.assert_close(ms_ssim(a, b), found, rtol=5e-3, atol=0)


def test_the_term_is_0_for_equal_images_and_grows_with_what_is_lost() -> None:
    x = images(4, 1, 28, 28)
    term = StructuralDistortion()
    torch.testing.assert_close(
        term(decoded(x), x).total, torch.zeros(4).double(), atol=1e-9, rtol=0
    )
    values = [
        float(term(decoded(x + s * images(4, 1, 28, 28, seed=1)), x).mean) for s in (0.1, 0.3, 1.0)
    ]
    assert 0 < values[0] < values[1] < values[2] < 28 * 28
    apart = [term(decoded(1 - x[i : i + 1]), x[i : i + 1]).total for i in range(4)]
    torch.testing.assert_close(term(decoded(1 - x), x).total, torch.cat(apart))


def test_opposite_images_have_a_finite_gradient() -> None:
    x = images(2, 1, 28, 28).round()
    mean = (1 - x).requires_grad_()
    loss = StructuralDistortion()(decoded(mean), x)
    (gradient,) = torch.autograd.grad(loss.mean, [mean])
    assert torch.isfinite(gradient).all()
    assert float(loss.mean.detach()) > 0.9 * 28 * 28


def test_the_range_of_the_data_is_a_unit() -> None:
    x, y = images(2, 1, 16, 16), images(2, 1, 16, 16, seed=1)
    torch.testing.assert_close(
        StructuralDistortion(255.0)(decoded(255 * y), 255 * x).total,
        StructuralDistortion()(decoded(y), x).total,
    )


def test_draws_are_averaged() -> None:
    x, y = images(2, 1, 12, 12), images(6, 1, 12, 12, seed=1)
    for term in (StructuralDistortion(), FeatureDistortion(nn.Flatten())):
        each = torch.stack([term(decoded(part), x).total for part in y.split(2)])
        torch.testing.assert_close(term(decoded(y, 3), x).total, each.mean(0))


def test_features_of_the_identity_are_a_normal_likelihood() -> None:
    x, y = images(3, 5), images(3, 5, seed=1)
    found = FeatureDistortion(nn.Identity(), sigma=0.5)(decoded(y), x).total
    torch.testing.assert_close(found, 2 * ((x - y) ** 2).sum(1))
    unit = FeatureDistortion(nn.Identity())(decoded(y), x).total
    constant = 2.5 * float(torch.log(torch.tensor(2 * torch.pi)))
    torch.testing.assert_close(unit + constant, Distortion()(decoded(y), x).total)


def test_the_network_is_frozen_and_the_users_own_is_left_alone() -> None:
    network = nn.Sequential(nn.Linear(5, 4), nn.Dropout(0.5), nn.BatchNorm1d(4)).double()
    term = FeatureDistortion(network)
    assert all(not p.requires_grad for p in term.parameters())
    assert all(p.requires_grad for p in network.parameters())
    assert network.training
    x = images(3, 5)
    y = images(3, 5, seed=1).requires_grad_()
    term.train()
    before = {k: t.clone() for k, t in term.state_dict().items()}
    once, again = term(decoded(y), x), term(decoded(y), x)
    torch.testing.assert_close(once.total, again.total)  # no dropout
    alone = term(decoded(y[:1]), x[:1])
    torch.testing.assert_close(alone.total, once.total[:1])  # no statistics of the batch
    once.mean.backward()
    assert y.grad is not None
    assert float(y.grad.abs().max()) > 0
    assert all(p.grad is None for p in term.parameters())
    with torch.no_grad():
        network[0].weight.add_(1.0)
    torch.testing.assert_close(term(decoded(y), x).total, once.total)
    assert all(torch.equal(t, before[k]) for k, t in term.state_dict().items())


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match=r"compares images \(C, H, W\); these are \(5,\)"):
        StructuralDistortion()(decoded(images(3, 5)), images(3, 5))
    with pytest.raises(ValueError, match="data_range is 0"):
        StructuralDistortion(0.0)
    with pytest.raises(ValueError, match="sigma is 0"):
        FeatureDistortion(nn.Identity(), sigma=0.0)
