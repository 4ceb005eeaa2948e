"""Planar and inverse autoregressive posteriors against Jacobians, integrals and zuko's own map."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from vaelab.core import VAE, Conditional, Shallow
from vaelab.distributions import Normal, TransformedNormal, kl
from vaelab.parts.flow_posteriors import (
    AutoregressiveFlow,
    InverseAutoregressive,
    Planar,
    PlanarFlow,
)
from vaelab.parts.posteriors import Posterior
from vaelab.parts.priors import Standard

B = 4
KINDS = ("planar", "iaf")


def posterior(kind: str, latent: int, flows: int = 3) -> Posterior:
    torch.manual_seed(7)
    made: Posterior = Planar(flows)
    if kind == "iaf":
        made = InverseAutoregressive(latent, flows, 16)
    return made.double()


def pushed(
    kind: str, latent: int, n: int = B, same: bool = False, scale: float = 1.5
) -> TransformedNormal:
    """A posterior of n examples; of `same` n times the same."""
    part = posterior(kind, latent)
    h = scale * torch.randn(1 if same else n, part.outputs(latent), dtype=torch.float64)
    q = part(h.expand(n, -1))
    assert isinstance(q, TransformedNormal)
    return q


@pytest.mark.parametrize("latent", [1, 2, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_log_det_is_that_of_the_jacobian_and_the_way_back_is_the_inverse(
    kind: str, latent: int
) -> None:
    q = pushed(kind, latent)
    u = torch.randn(B, latent, dtype=torch.float64)
    z, log_det = q.push(u)
    torch.testing.assert_close(q.pull(z), u, rtol=1e-9, atol=1e-9)
    jacobian = torch.autograd.functional.jacobian(lambda u: q.push(u)[0].sum(0), u)
    exact = torch.linalg.slogdet(jacobian.transpose(0, 1))
    torch.testing.assert_close(log_det, exact.logabsdet)
    assert (exact.sign > 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_density_of_an_own_draw_is_that_of_any_other_point(kind: str) -> None:
    q = pushed(kind, 5)
    z, met = q.sample_with_density()
    assert isinstance(met, TransformedNormal)
    assert met.log_prob(z) is met.log_own
    torch.testing.assert_close(met.log_prob(z), met.log_prob(z.clone()), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(met.log_prob(z), q.log_prob(z), rtol=1e-9, atol=1e-9)
    # Held parameters are no longer those of the draw: its density is found anew, and the gradient
    # is the one that goes through z alone.
    held = replace(met, **{name: t.detach() for name, t in met.tensors().items()})
    assert held.log_prob(z) is not held.log_own
    cold, colder = q.sample_with_density(0.0)
    torch.testing.assert_close(cold, q.mean, rtol=0, atol=0)
    torch.testing.assert_close(colder.log_prob(cold), q.log_prob(cold.clone()))


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_density_there_and_back(kind: str) -> None:
    part = posterior(kind, 3)
    h = torch.randn(2, part.outputs(3), dtype=torch.float64, requires_grad=True)
    z = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda h, z: part(h).log_prob(z), (h, z), atol=1e-4)

    def own(h: Tensor) -> tuple[Tensor, Tensor]:
        torch.manual_seed(2)
        z, q = part(h).sample_with_density()
        return z, q.log_prob(z)

    assert torch.autograd.gradcheck(own, (h,))


@pytest.mark.parametrize("kind", KINDS)
def test_the_density_integrates_to_one(kind: str) -> None:
    t = torch.linspace(-14, 14, 401, dtype=torch.float64)
    z = torch.cartesian_prod(t, t)
    with torch.no_grad():
        q = pushed(kind, 2, len(z), same=True, scale=0.6)
        mass = float(q.log_prob(z).exp().sum()) * float(t[1] - t[0]) ** 2
    assert mass == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_samples_of_one_number_have_the_density(kind: str) -> None:
    grid = torch.linspace(-15, 15, 20_001, dtype=torch.float64)[:, None]
    density = pushed(kind, 1, len(grid), same=True).log_prob(grid).exp().detach().numpy()
    total = np.cumsum(density) * float(grid[1] - grid[0])
    assert total[-1] == pytest.approx(1, abs=1e-3)
    z = pushed(kind, 1, 20_000, same=True).sample()[:, 0].detach().numpy()
    assert stats.kstest(z, lambda z: np.interp(z, grid[:, 0].numpy(), total)).pvalue > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_importance_weights_average_to_one(kind: str) -> None:
    n, latent = 50_000, 3
    q = pushed(kind, latent, n, same=True, scale=0.5)
    z, met = q.sample_with_density()
    # A target as wide as these draws, so that the weights have a variance.
    p = Normal(q.mean, torch.zeros_like(z))
    weight = (p.log_prob(z) - met.log_prob(z)).detach().exp()
    assert float(weight.mean()) == pytest.approx(1, abs=4.5 * float(weight.std()) / math.sqrt(n))
    assert kl(met, p) is None


def test_gates_are_those_of_zukos_own_autoregressive_map() -> None:
    from torch.distributions import AffineTransform, Transform
    from zuko.transforms import AutoregressiveTransform, DependentTransform

    from vaelab.parts.flow_posteriors import _gate

    q = pushed("iaf", 4)
    assert isinstance(q, AutoregressiveFlow)
    u = torch.randn(B, 4, dtype=torch.float64)
    z, log_det = u, torch.zeros(B, dtype=torch.float64)
    for net in q.gates.nets:

        def meta(t: Tensor, net: nn.Module = net) -> Transform:
            m, log_gate = _gate(net, t, q.context)
            return DependentTransform(AffineTransform(m - m * log_gate.exp(), log_gate.exp()), 1)

        z, change = AutoregressiveTransform(meta, 4).call_and_ladj(z)
        log_det = log_det + change
    torch.testing.assert_close(q.push(u), (z, log_det))


@pytest.mark.parametrize("size", [-1e4, -30.0, 0.0, 30.0, 1e4])
@pytest.mark.parametrize("kind", KINDS)
def test_no_output_of_a_network_breaks_a_flow(kind: str, size: float) -> None:
    part = posterior(kind, 3).float()
    signs = torch.randint(0, 2, (64, part.outputs(3))) * 2.0 - 1
    h = (size * signs).requires_grad_()
    z, q = part(h).sample_with_density()
    log_q = q.log_prob(z)
    (gradient,) = torch.autograd.grad(log_q.sum() + z.sum(), h)
    assert all(t.isfinite().all() for t in (z, log_q, gradient))


def test_planar_maps_stay_invertible_where_the_network_says_otherwise() -> None:
    w = torch.tensor([[[2.0, 0.0]], [[1e-30, 0.0]], [[0.0, 0.0]], [[30.0, 10.0]]])
    v = torch.tensor([[[-40.0, 1.0]], [[-40.0, 1.0]], [[1.0, 2.0]], [[-30.0, -9.0]]])
    zero = torch.zeros(B, 2)
    q = PlanarFlow(zero, zero, w, v, torch.zeros(B, 1))
    line = torch.linspace(-3, 3, 601)
    for i in range(B):
        one = PlanarFlow(*(t[i : i + 1] for t in q.tensors().values())).expand(601)
        assert isinstance(one, PlanarFlow)
        along = one.push(line[:, None] * torch.tensor([1.0, 0.0]))[0]
        towards = along @ (w[i, 0] / w[i, 0].norm().clamp(min=1e-38))
        assert (towards.diff() > -1e-5).all()
    assert torch.equal(q.push(zero)[0], zero)


class UnitNormal(Conditional):
    """p(x | z) = N(z, 1)."""

    def forward(self, *given: Tensor) -> Normal:
        return Normal(given[0], torch.zeros_like(given[0]))


@pytest.mark.parametrize("kind", KINDS)
def test_many_samples_of_each_example(kind: str) -> None:
    K, latent = 3, 2
    part = posterior(kind, latent)
    encoder = nn.Linear(latent, part.outputs(latent)).double()
    generator = Shallow(Standard(latent).double(), part, nn.Identity(), UnitNormal())
    model = VAE(encoder, generator)
    x = torch.randn(B, latent, dtype=torch.float64)
    trace = model(x, K)
    log_w = trace.log_weights(x)
    assert log_w.shape == (K, B)
    site = trace.sites[0]
    q = part(encoder(x))
    for k, z in enumerate(site.z.unflatten(0, (K, B))):
        p = Normal(torch.zeros_like(z), torch.zeros_like(z))
        exact = Normal(z, torch.zeros_like(z)).log_prob(x) + p.log_prob(z) - q.log_prob(z)
        torch.testing.assert_close(log_w[k], exact)
    rate, closed = trace.rate()
    assert not closed
    torch.testing.assert_close(rate, site.posterior.log_prob(site.z) - site.prior.log_prob(site.z))
    assert torch.equal(model(x, temperature=0.0).latents[0], model(x, temperature=0.0).latents[0])


@pytest.mark.parametrize("kind", KINDS)
def test_runs_under_vmap_with_weights_of_its_own_and_is_captured_whole(kind: str) -> None:
    first, second = (posterior(kind, 3, flows=2).float() for _ in range(2))
    with torch.no_grad():
        for p in second.parameters():
            p.mul_(1.5)
    h = torch.randn(B, first.outputs(3))

    def walk(part: Posterior, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z, q = part(h).sample_with_density()
        return z, q.log_prob(z), q.mean

    def alone(weights: dict[str, Tensor], buffers: dict[str, Tensor]) -> tuple[Tensor, ...]:
        q = torch.func.functional_call(first, (weights, buffers), (h,))
        # Asked after the call, as a trace is: the weights are still those of the call.
        z, met = q.sample_with_density()
        return z, met.log_prob(z), met.log_prob(z.clone()), met.mean

    weights, buffers = torch.func.stack_module_state([first, second])
    if weights:
        found = torch.func.vmap(alone, randomness="different")(weights, buffers)
        torch.testing.assert_close(found[1], found[2], rtol=1e-4, atol=1e-4)
        for part, mean in zip((first, second), found[3], strict=True):
            torch.testing.assert_close(mean, part(h).mean, rtol=1e-4, atol=1e-5)
    else:
        each = torch.func.vmap(lambda h: walk(first, h), randomness="different")
        several = each(h.expand(2, *h.shape))
        assert not torch.equal(several[0][0], several[0][1])
    captured = torch.compile(walk, backend="aot_eager", fullgraph=True)
    pair = []
    for function in (walk, captured):
        torch.manual_seed(6)
        pair.append(function(first, h))
    torch.testing.assert_close(*pair)


def test_a_flow_has_a_map_at_least() -> None:
    for make in (Planar, lambda flows: InverseAutoregressive(2, flows)):
        with pytest.raises(ValueError, match="flows is 0"):
            make(0)
