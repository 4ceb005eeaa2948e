"""The regularised autoencoder: what its decoder and its codes are charged."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from vaelab.core import VAE, Conditional, Shallow
from vaelab.objectives import CodeNorm, DecoderPenalty, Distortion, NormPenalisedPoint
from vaelab.objectives.regularise import Penalty, gradient_norm, weight_norm
from vaelab.parts.likelihoods import BernoulliLikelihood
from vaelab.parts.posteriors import DiagonalNormal, Point
from vaelab.parts.priors import Standard

D, L = 5, 3


def model(penalty: Penalty | None = gradient_norm, posterior: Conditional | None = None) -> VAE:
    torch.manual_seed(1)
    decoder = nn.Sequential(nn.Linear(L, 7), nn.GELU(), nn.Linear(7, D))
    likelihood = BernoulliLikelihood()
    if penalty is not None:
        posterior = NormPenalisedPoint(decoder, likelihood, penalty)
    assert posterior is not None
    outputs = 2 * L if isinstance(posterior, DiagonalNormal) else L
    return VAE(nn.Linear(D, outputs), Shallow(Standard(L), posterior, decoder, likelihood)).double()


def data(n: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(n, D, generator=generator, dtype=torch.float64).round()


def test_the_gradient_penalty_has_the_mean_of_the_jacobians_squares() -> None:
    vae, n = model(), 20_000
    x = data(1)
    generator = vae.generator
    z = vae.encoder(x)[0].detach()
    J = torch.autograd.functional.jacobian(
        lambda z: generator.likelihood(generator.decoder(z[None])).mean[0], z
    )
    expected = float((J**2).sum())
    torch.manual_seed(0)
    with torch.no_grad():
        found = DecoderPenalty()(vae(x.expand(n, D)), x.expand(n, D)).total
    se = float(found.std()) / n**0.5
    assert float(found.mean()) == pytest.approx(expected, abs=4 * se)
    assert se < 0.02 * expected


def test_the_gradient_penalty_reaches_decoder_and_encoder() -> None:
    vae, x = model(), data()
    torch.manual_seed(0)
    found = DecoderPenalty()(vae(x), x).mean
    names = [k for k, _ in vae.named_parameters() if k != "generator.decoder.2.bias"]
    gradients = torch.autograd.grad(found, [dict(vae.named_parameters())[k] for k in names])
    # By differences, in a direction of the encoder's and of the decoder's weights.
    for name in ("encoder.weight", "generator.decoder.0.weight", "generator.decoder.2.weight"):
        p = dict(vae.named_parameters())[name]
        along, values = torch.randn_like(p), []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                p.add_(step * along)
                torch.manual_seed(0)
                values.append(float(DecoderPenalty()(vae(x), x).mean))
                p.sub_(step * along)
        slope = (values[0] - values[1]) / 2e-5
        assert float((gradients[names.index(name)] * along).sum()) == pytest.approx(slope, rel=1e-4)


def test_the_weights_of_the_decoder_are_charged_and_nothing_else() -> None:
    vae, x = model(weight_norm), data()
    loss = DecoderPenalty()(vae(x), x)
    weights = [vae.generator.decoder[0].weight, vae.generator.decoder[2].weight]
    expected = 0.5 * sum(float((w**2).sum().detach()) for w in weights)
    torch.testing.assert_close(loss.total, torch.full((6,), expected).double())
    for gradient, w in zip(torch.autograd.grad(loss.mean, weights), weights, strict=True):
        torch.testing.assert_close(gradient, w.detach())


@pytest.mark.parametrize("penalty", [weight_norm, gradient_norm])
def test_the_decoder_is_registered_once_and_whatever_is_walked_with_is_charged(
    penalty: Penalty,
) -> None:
    vae, x = model(penalty), data()
    assert not [key for key in vae.state_dict() if "posterior" in key]
    assert len(list(vae.parameters())) == 6

    def charged(vae: VAE, weights: dict[str, Tensor] | None = None) -> Tensor:
        torch.manual_seed(0)
        trace = vae(x) if weights is None else functional_call(vae, weights, (x,))
        return DecoderPenalty()(trace, x).total

    before = charged(vae)
    twin = copy.deepcopy(vae)
    with torch.no_grad():
        for p in vae.parameters():
            p.mul_(1.5)
    torch.testing.assert_close(charged(twin), before)  # a copy has a decoder of its own
    assert not torch.allclose(charged(vae), before)
    lent = {key: t.detach().clone().requires_grad_() for key, t in twin.named_parameters()}
    found = charged(vae, lent)
    torch.testing.assert_close(found, before)  # the weights that are lent are the ones charged
    key = "generator.decoder.0.weight"
    assert float(torch.autograd.grad(found.mean(), [lent[key]])[0].abs().max()) > 0


def test_the_code_is_a_point_without_a_rate() -> None:
    vae, x = model(), data()
    trace = vae(x)
    torch.testing.assert_close(trace.latents[0], vae.encoder(x))
    assert not trace.has_rate
    with pytest.raises(TypeError, match="no density"):
        trace.rate()
    torch.testing.assert_close(CodeNorm()(trace, x).total, 0.5 * (vae.encoder(x) ** 2).sum(1))


def test_the_size_of_codes_is_a_mean_over_draws() -> None:
    vae, x = model(None, DiagonalNormal()), data()
    trace = vae(x, 3)
    expected = (trace.latents[0] ** 2).sum(1).view(3, 6).mean(0) / 2
    torch.testing.assert_close(CodeNorm()(trace, x).total, expected)


def test_a_posterior_that_charges_nothing_is_refused() -> None:
    vae, x = model(None, Point()), data()
    with pytest.raises(TypeError, match=r"Dirac.*NormPenalisedPoint"):
        (Distortion() + DecoderPenalty())(vae(x), x)
