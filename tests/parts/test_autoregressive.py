"""The prior over codes: probabilities by enumeration, draws, and a chain it has to find."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from vaelab.nets.causal import CausalTransformer
from vaelab.parts.autoregressive import Autoregressive, alphabet, fit_autoregressive
from vaelab.parts.discrete import UniformClasses
from vaelab.parts.priors import Standard
from vaelab.parts.quantize import LearnedCodebook, nearest

K, P, D = 3, 4, 2


def table() -> Tensor:
    return torch.randn(K, D, generator=torch.Generator().manual_seed(0))


def random_prior(seed: int = 0) -> Autoregressive:
    torch.manual_seed(seed)
    prior = Autoregressive(table(), P, width=16, layers=2)
    with torch.no_grad():  # far from uniform, so that there is something to see
        for p in prior.parameters():
            p.add_(0.2 * torch.randn_like(p))
    return prior


EVERY = torch.tensor(list(itertools.product(range(K), repeat=P)))


@torch.no_grad()
def test_the_probabilities_of_all_codes_sum_to_one() -> None:
    log_p = random_prior()().log_prob(table()[EVERY])
    assert log_p.shape == (K**P,)
    assert float(log_p.exp().sum()) == pytest.approx(1, abs=1e-5)
    assert log_p.exp().max() > 3 / K**P


@torch.no_grad()
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_draws_are_as_frequent_as_their_probability(temperature: float) -> None:
    prior, n = random_prior(), 20_000
    z = prior().expand(n).sample(temperature)
    assert z.shape == (n, P, D)
    index = nearest(z, table())
    torch.testing.assert_close(z, table()[index])
    # p(k_n | k_<n)^(1/T), each normalised by itself.
    logits = prior.net(EVERY) / temperature
    each = torch.log_softmax(logits, -1).gather(-1, EVERY[..., None])[..., 0]
    p = each.sum(1).exp()
    place = (index * torch.tensor([K ** (P - 1 - n) for n in range(P)])).sum(1)
    seen, expected = torch.bincount(place, minlength=K**P), n * p
    often = expected >= 5  # the rest together are one more
    seen, expected = (
        torch.cat([t[often], t[~often].sum()[None]]) for t in (seen.float(), expected)
    )
    chi_squared = float(((seen - expected) ** 2 / expected.clamp(min=1e-9)).sum())
    freedom = len(seen) - 1
    assert freedom > 20
    assert chi_squared < freedom + 5 * math.sqrt(2 * freedom)


@torch.no_grad()
def test_at_temperature_0_every_position_is_the_likeliest_after_those_before_it() -> None:
    prior = random_prior()
    z = prior().expand(2).sample(0.0)
    assert torch.equal(z[0], z[1])
    assert torch.equal(prior().mean, z[:1])
    index = nearest(z[0], table())
    for n in range(P):
        others = torch.stack(
            [torch.cat([index[:n], torch.tensor([k] * (P - n))]) for k in range(K)]
        )
        assert int(prior.net(others)[0, n].argmax()) == int(index[n])


@torch.no_grad()
def test_no_position_sees_itself_or_what_follows() -> None:
    net = random_prior().net
    assert isinstance(net, CausalTransformer)
    index = torch.zeros(1, P, dtype=torch.long)
    before = net(index)
    for n in range(P):
        changed = index.clone()
        changed[0, n] = 1
        differs = (net(changed) - before).abs().amax(-1)[0] > 1e-6
        assert differs.tolist() == [place > n for place in range(P)]


@torch.no_grad()
def chain(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Codes of a Markov chain, and the log-probability of every code there is."""
    torch.manual_seed(seed)
    step, first = torch.softmax(2 * torch.randn(K, K), -1), torch.softmax(torch.randn(K), -1)
    index = torch.multinomial(first, n, replacement=True)[:, None]
    for _ in range(P - 1):
        index = torch.cat([index, torch.multinomial(step[index[:, -1]], 1)], 1)
    log_p = first[EVERY[:, 0]].log()
    for before, after in itertools.pairwise(EVERY.T):
        log_p = log_p + step[before, after].log()
    return index, log_p


def fitted(prior: Autoregressive, codes: Tensor, **settings: float) -> list[float]:
    held_out, rest = codes.tensor_split([len(codes) // 10])
    torch.manual_seed(1)
    return fit_autoregressive(prior, rest, held_out, **settings)  # type: ignore[arg-type]


def test_it_finds_a_chain() -> None:
    index, true = chain(4000)
    prior = random_prior()
    costs = fitted(prior, table()[index], steps=250, lr=1e-2)
    log_p = prior().log_prob(table()[EVERY]).detach()
    entropy = float(-(true.exp() * true).sum())
    divergence = float((true.exp() * (true - log_p)).sum())
    independent = P * math.log(K)
    assert divergence < 0.03
    assert entropy < independent - 0.5  # there was something to find
    assert min(costs) == pytest.approx(entropy, abs=0.15)
    assert costs[0] > independent


def test_it_ends_with_its_best_weights() -> None:
    """Where no step improves on what it was, they are those it began with."""
    index, _ = chain(2000)
    prior = random_prior()
    fitted(prior, table()[index], steps=150, lr=1e-2)
    kept = {name: t.clone() for name, t in prior.state_dict().items()}
    costs = fitted(prior, table()[index], steps=3, lr=10.0)
    assert costs[0] == min(costs)
    assert all(torch.equal(t, kept[name]) for name, t in prior.state_dict().items())


def test_the_codes_a_position_may_take_come_from_the_latents_own_prior() -> None:
    book = LearnedCodebook(K, D)
    assert torch.equal(alphabet(book.prior(P).expand(3)), book.table)
    assert torch.equal(alphabet(UniformClasses(2, K)()), torch.eye(K))
    with pytest.raises(ValueError, match=r"the latent is not a code \(its prior is Normal\)"):
        alphabet(Standard(2)())


def test_codes_of_another_shape_are_refused() -> None:
    prior = random_prior()
    with pytest.raises(ValueError, match=r"shapes \(50, 8\) and \(5, 4, 2\); expected \(N, 4, 2\)"):
        fit_autoregressive(prior, torch.zeros(50, P * D), torch.zeros(5, P, D))
    with pytest.raises(ValueError, match="width is 30; expected a multiple of the 4 heads"):
        Autoregressive(table(), P, width=30)
