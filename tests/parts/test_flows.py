"""Flows: the change of variables is exact, there and back, and it is zuko's."""

from __future__ import annotations

import math
from typing import cast

import pytest
import torch
import zuko
from scipy import stats
from torch import Tensor

from vaelab.distributions import Normal
from vaelab.parts.flows import Flow, Flowed, FlowName

NAMES: list[FlowName] = ["coupling", "autoregressive"]


def flow(name: FlowName, *shape: int, layers: int = 3) -> Flow:
    """A flow away from where it begins, in double precision."""
    made = Flow(*shape, flow=name, layers=layers, width=8).double()
    with torch.no_grad():
        for p in made.parameters():
            p.add_(0.3 * torch.randn_like(p))
        made.shift.normal_()
        made.log_scale.normal_(std=0.2)
    return made


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_the_density_integrates_to_one(name: FlowName) -> None:
    t = torch.linspace(-15, 15, 601, dtype=torch.float64)
    z = torch.cartesian_prod(t, t)
    p = cast(Flowed, flow(name, 2)())
    density = p.expand(len(z)).log_prob(z).exp().view(601, 601)
    total = torch.trapezoid(torch.trapezoid(density, t), t)
    assert float(total) == pytest.approx(1, abs=1e-4)
    # And it is no normal.
    assert stats.normaltest(p.expand(4000).sample()).pvalue.min() < 1e-3


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_samples_agree_with_the_density(name: FlowName) -> None:
    """E_p[q/p] = 1 for a q inside p, and each margin is that of the density."""
    p = cast(Flowed, flow(name, 2)())
    z = p.expand(20_000).sample()
    q = Normal(z.mean(0, keepdim=True), (0.5 * z.std(0, keepdim=True)).log())
    ratio = (q.log_prob(z) - p.expand(len(z)).log_prob(z)).exp()
    assert float(ratio.mean()) == pytest.approx(1, abs=4 * float(ratio.std()) / math.sqrt(len(z)))
    t = torch.linspace(-15, 15, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(t, t)
    density = p.expand(len(grid)).log_prob(grid).exp().view(601, 601)
    margin = torch.trapezoid(density, t)
    cdf = torch.cumulative_trapezoid(margin, t).numpy()
    found = torch.from_numpy(stats.ecdf(z[:, 0].numpy()).cdf.evaluate(t[1:].numpy()))
    assert float((found - torch.from_numpy(cdf)).abs().max()) < 1.63 / math.sqrt(len(z))  # KS at 1%


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_it_goes_there_and_back(name: FlowName) -> None:
    chain = flow(name, 5).chain
    u = torch.randn(7, 5, dtype=torch.float64)
    z, forth = chain(u, back=True)
    again, back = chain(z)
    torch.testing.assert_close(again, u)
    torch.testing.assert_close(forth, -back)


@pytest.mark.parametrize("name", NAMES)
def test_the_determinant_is_that_of_the_jacobian(name: FlowName) -> None:
    chain = flow(name, 4).chain
    z = torch.randn(1, 4, dtype=torch.float64)

    def f(one: Tensor) -> Tensor:
        return chain(one[None])[0][0]

    jacobian = torch.autograd.functional.jacobian(f, z[0])
    log_det = torch.linalg.slogdet(cast(Tensor, jacobian)).logabsdet
    torch.testing.assert_close(chain(z)[1][0].detach(), log_det)


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_it_agrees_with_zukos_own(name: FlowName) -> None:
    ours = flow(name, 6)
    ours.shift.zero_()
    ours.log_scale.zero_()
    passes = 2 if name == "coupling" else None
    theirs = zuko.flows.MAF(6, transforms=3, hidden_features=(8, 8), passes=passes).double()
    weights = {k.replace("maps", "transforms"): t for k, t in ours.chain.state_dict().items()}
    theirs.transform.load_state_dict(weights)
    z = torch.randn(9, 6, dtype=torch.float64)
    torch.testing.assert_close(ours().expand(9).log_prob(z), theirs().log_prob(z))


@pytest.mark.parametrize("name", NAMES)
def test_every_number_comes_to_depend_on_every_other(name: FlowName) -> None:
    chain = flow(name, 5, layers=4).chain
    z = torch.randn(20, 5, dtype=torch.float64)  # at one place alone, a rectifier may be off
    jacobian = torch.autograd.functional.jacobian(lambda rows: chain(rows)[0].sum(0), z)
    assert bool((cast(Tensor, jacobian).abs().sum(1) > 0).all())


@torch.no_grad()
def test_latents_of_any_shape() -> None:
    prior = flow("coupling", 2, 3, 2)
    p = prior().expand(5)
    z = p.sample()
    assert z.shape == (5, 2, 3, 2)
    assert p.log_prob(z).shape == (5,)
    torch.testing.assert_close(p.log_prob(z)[3:4], prior().log_prob(z[3:4]))
    # Scaling and shifting the latents changes the density by the volume alone.
    still = flow("coupling", 2, 3, 2)
    still.load_state_dict(prior.state_dict())
    still.shift.zero_()
    still.log_scale.zero_()
    standard = (z - prior.shift) * torch.exp(-prior.log_scale)
    expected = still().expand(5).log_prob(standard) - prior.log_scale.sum()
    torch.testing.assert_close(p.log_prob(z), expected)


@torch.no_grad()
def test_temperature_scales_the_noise_it_is_made_of() -> None:
    prior = flow("autoregressive", 3)
    p = prior().expand(4)
    cold = p.sample(temperature=0.0)
    assert torch.equal(cold, cold[:1].expand(4, 3))
    centre, _ = prior.chain(torch.zeros(1, 3, dtype=torch.float64), back=True)
    torch.testing.assert_close(cold[:1], prior.shift + prior.log_scale.exp() * centre)
    torch.manual_seed(1)
    noise = torch.randn(4, 3, dtype=torch.float64)
    torch.manual_seed(1)
    standard = (p.sample(temperature=0.5) - prior.shift) * torch.exp(-prior.log_scale)
    torch.testing.assert_close(prior.chain(standard)[0], 0.5 * noise)


def test_its_mean_is_not_made_up() -> None:
    with pytest.raises(TypeError, match="no closed form"):
        _ = Flow(2)().mean
