"""The split of the rate: numerical integration, closed forms, and terms that add up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from torch.distributions import Normal as TorchNormal

from vaelab.distributions import Dirac, Laplace, Normal, TransformedNormal
from vaelab.metrics import aggregate as room
from vaelab.metrics.aggregate import rate_split

STANDARD = Normal(torch.zeros(1, 3), torch.zeros(1, 3))


def pieces(mu: Tensor, sigma: Tensor, size: int = 100) -> list[Normal]:
    return [Normal(m, s.log()) for m, s in zip(mu.split(size), sigma.split(size), strict=True)]


def integrated(mu: Tensor, sigma: Tensor, prior: TorchNormal) -> tuple[float, float]:
    """I_q(x; z) and KL(q(z) ‖ p(z)) in one dimension, by the trapezoid."""
    t = torch.linspace(-12, 12, 400_001, dtype=torch.float64)
    each = TorchNormal(mu.double(), sigma.double()).log_prob(t[:, None])
    log_q = each.logsumexp(1) - math.log(len(mu))
    mismatch = torch.trapezoid(log_q.exp() * (log_q - prior.log_prob(t)), t)
    own = -0.5 - 0.5 * math.log(2 * math.pi) - sigma.double().log()
    information = own.mean() + torch.trapezoid(-log_q.exp() * log_q, t)
    return float(information), float(mismatch)


def test_one_dimension_by_integration() -> None:
    mu, sigma = torch.tensor([-2.0, 0.0, 0.3, 4.0]), torch.tensor([0.3, 0.1, 1.0, 0.5])
    prior = Normal(torch.full((1, 1), 0.5), torch.full((1, 1), 0.4))
    information, mismatch = integrated(mu, sigma, TorchNormal(0.5, math.exp(0.4)))
    found = rate_split(pieces(mu[:, None], sigma[:, None]), prior, 40_000)
    for part, exact in ((found.information, information), (found.mismatch, mismatch)):
        assert part.value == pytest.approx(exact, abs=4 * part.se)
        assert part.se < 0.02
    assert found.total_correlation.value == pytest.approx(0, abs=1e-6)
    assert found.dimension_wise.value == pytest.approx(found.mismatch.value, abs=1e-6)
    assert found.ceiling == pytest.approx(math.log(4))


def test_a_linear_gaussian_aggregate_in_closed_form() -> None:
    """Means from N(0, C) and one Σ: q(z) = N(0, C + Σ), but for N being finite."""
    n, scale = 6000, torch.tensor([0.9, 0.7, 1.1])
    root = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.5, 0.0], [-0.3, 0.4, 0.6]])
    mu = torch.randn(n, 3) @ root.T
    total = (mu.T @ mu / n).double() + torch.diag(scale.double() ** 2)
    diagonal = total.diagonal()
    information = 0.5 * (torch.logdet(total) - 2 * scale.double().log().sum())
    correlation = 0.5 * (diagonal.log().sum() - torch.logdet(total))
    alone = 0.5 * (diagonal - 1 - diagonal.log()).sum()
    found = rate_split(pieces(mu, scale.expand(n, 3), 2500), STANDARD, 3000)
    for part, exact in (
        (found.information, information),
        (found.total_correlation, correlation),
        (found.dimension_wise, alone),
        (found.mismatch, correlation + alone),
        (found.rate, information + correlation + alone),
    ):
        assert part.value == pytest.approx(float(exact), abs=4 * part.se + 0.01)


def test_the_parts_add_up_to_the_rate() -> None:
    mu, sigma = torch.randn(150, 3), 0.1 + torch.rand(150, 3)
    found = rate_split(pieces(mu, sigma), STANDARD, 300)
    parts = (found.information, found.total_correlation, found.dimension_wise)
    assert sum(p.value for p in parts) == pytest.approx(found.rate.value, abs=1e-5)
    mismatch = found.total_correlation.value + found.dimension_wise.value
    assert found.mismatch.value == pytest.approx(mismatch, abs=1e-5)


def test_separate_regions_tell_all_there_is() -> None:
    found = rate_split(pieces(100 * torch.randn(64, 3), torch.full((64, 3), 0.1)), STANDARD, 500)
    assert found.information.value == pytest.approx(found.ceiling, abs=1e-4)
    assert found.information.se < 1e-3


def test_collapsed_regions_tell_nothing() -> None:
    found = rate_split(pieces(torch.zeros(64, 3), torch.ones(64, 3)), STANDARD, 500)
    for part in (found.rate, found.information, found.mismatch, found.total_correlation):
        assert part.value == pytest.approx(0, abs=1e-5)


def test_any_posterior_is_split_in_two(monkeypatch: pytest.MonkeyPatch) -> None:
    mu, sigma = torch.randn(90, 3), 0.1 + torch.rand(90, 3)
    whole = rate_split(pieces(mu, sigma, 40), STANDARD, 400)
    monkeypatch.setattr(room, "Normal", Laplace)  # nothing is a normal now
    found = rate_split(pieces(mu, sigma, 40), STANDARD, 400)
    assert found.information.value == pytest.approx(whole.information.value, abs=1e-5)
    assert found.mismatch.value == pytest.approx(whole.mismatch.value, abs=1e-5)
    assert found.total_correlation is None
    assert found.dimension_wise is None


def test_what_dimensions_share_is_told_whatever_the_prior() -> None:
    mu, sigma = torch.randn(90, 3), 0.1 + torch.rand(90, 3)
    zero = torch.zeros(1, 3)
    of_normal, of_other = (
        rate_split(pieces(mu, sigma), prior, 400) for prior in (STANDARD, Laplace(zero, zero))
    )
    assert of_other.total_correlation == of_normal.total_correlation
    assert of_other.information == of_normal.information
    assert of_other.dimension_wise is None


@dataclass(frozen=True, eq=False)
class Shifted(TransformedNormal):
    """z = u + 2, which is a normal; counts how often it is run backwards."""

    log: ClassVar[list[int]] = []

    def push(self, u: Tensor) -> tuple[Tensor, Tensor]:
        return u + 2, u.new_zeros(len(u))

    def pull(self, z: Tensor) -> Tensor:
        self.log.append(len(z))
        return z - 2


def test_a_flow_is_run_backwards_so_often_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    mu, sigma = torch.randn(300, 3), 0.1 + torch.rand(300, 3)
    flows = [Shifted(q.mu - 2, q.log_sigma) for q in pieces(mu, sigma)]
    whole = rate_split(pieces(mu, sigma), STANDARD, 4000)
    for most, draws in ((300 * 4000, 4000), (300 * 100, 100), (300, room.FEWEST)):
        monkeypatch.setattr(room, "INVERTED", most)
        Shifted.log.clear()
        found = rate_split(flows, STANDARD, 4000)
        assert sum(Shifted.log) == 300 * draws
        assert found.rate.n == draws
        for name in ("rate", "information", "mismatch"):
            ours, theirs = getattr(found, name), getattr(whole, name)
            assert ours.value == pytest.approx(theirs.value, abs=4 * (ours.se + theirs.se))


def test_chunks_change_nothing_and_the_seed_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    mu, sigma = torch.randn(90, 3), 0.1 + torch.rand(90, 3)
    before = torch.random.get_rng_state()
    whole = rate_split(pieces(mu, sigma), STANDARD, 400, seed=3)
    assert torch.equal(before, torch.random.get_rng_state())
    assert rate_split(pieces(mu, sigma), STANDARD, 400, seed=4).rate != whole.rate
    monkeypatch.setattr(room, "CHUNK_ELEMENTS", 90 * 7)
    again = rate_split(pieces(mu, sigma), STANDARD, 400, seed=3)
    assert again.information.value == pytest.approx(whole.information.value, abs=1e-6)


def test_what_has_no_split_is_refused() -> None:
    with pytest.raises(TypeError, match="no density"):
        rate_split([Dirac(torch.zeros(5, 3))], STANDARD, 10)
    with pytest.raises(ValueError, match="at least 1 of each"):
        rate_split([], STANDARD, 10)
    with pytest.raises(ValueError, match="at least 1 of each"):
        rate_split(pieces(torch.zeros(5, 3), torch.ones(5, 3)), STANDARD, 0)
