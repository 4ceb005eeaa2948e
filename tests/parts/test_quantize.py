"""Codebooks against brute force, by hand, and by enumeration; what is in use of them."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch
from torch import Tensor

from vaelab.distributions import kl
from vaelab.distributions.discrete import entropy
from vaelab.parts.quantize import (
    AveragedCodebook,
    Codebook,
    FiniteScalars,
    LearnedCodebook,
    nearest,
)

B, P, D, K = 5, 3, 2, 7
DECAY, DEAD = 0.99, 0.05
BOOKS: dict[str, type[LearnedCodebook] | type[AveragedCodebook]] = {
    "learned": LearnedCodebook,
    "averaged": AveragedCodebook,
}
LEVELS = (4, 3, 2)


def encoded(n: int = B, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, P, D, generator=generator, dtype=torch.float64)


def brute_force(e: Tensor, table: Tensor) -> list[int]:
    """The nearest code of each vector, by a loop."""
    found = []
    for vector in e.flatten(0, -2).tolist():
        apart = [math.dist(vector, code) for code in table.tolist()]
        found.append(apart.index(min(apart)))
    return found


@pytest.mark.parametrize("kind", BOOKS)
def test_each_vector_becomes_its_nearest_code(kind: str) -> None:
    book = BOOKS[kind](K, D).double()
    e = encoded()
    q = book.quantize(e)
    assert q.index.flatten().tolist() == brute_force(e, book.table)
    assert torch.equal(q.sample(), book.table[q.index])
    assert torch.equal(q.sample(0.0), q.mean)
    assert len(set(q.index.flatten().tolist())) > 2


def test_nearest_is_not_misled_by_half_precision() -> None:
    """Under autocast a product of matrices would be rounded to eight bits."""
    table = torch.tensor([[1.0, 0.0], [1.0, 1e-3]])
    e = torch.tensor([[[1.0, 9e-4], [1.0, 1e-4]]])
    with torch.autocast("cpu", torch.bfloat16):
        assert nearest(e, table).tolist() == [[1, 0]]


@pytest.mark.parametrize("book", [LearnedCodebook(K, D), FiniteScalars((3, 3))], ids=["vq", "fsq"])
def test_the_gradient_goes_straight_through(book: Codebook) -> None:
    """That of what is quantised is the one its code received, bit for bit."""
    e = encoded().float().requires_grad_()
    q = book.quantize(e)
    z = q.sample()
    assert torch.equal(z, q.code)  # and the value is exactly the code
    received = torch.randn_like(z)
    assert torch.equal(torch.autograd.grad(z, q.encoded, received, retain_graph=True)[0], received)
    (gradient,) = torch.autograd.grad(z, e, received)
    expected = received if q.encoded is e else received * (1 - torch.tanh(e) ** 2)
    torch.testing.assert_close(gradient, expected)


def test_codes_get_no_gradient_from_what_is_made_of_them() -> None:
    book = LearnedCodebook(K, D)
    z = book.quantize(encoded().float().requires_grad_()).sample()
    assert torch.autograd.grad(z.sum(), book.table, allow_unused=True) == (None,)


def test_averages_are_those_by_hand() -> None:
    """u and s of three batches as the paper's recursion, by a loop; codes are their ratio."""
    book = AveragedCodebook(K, D).double()
    book.usage.fill_(1 / K)
    book.sums.copy_(book.table / K)
    usage = dict.fromkeys(range(K), 1 / K)
    sums = {k: [float(t) / K for t in book.table[k]] for k in range(K)}
    for seed in range(3):
        e = encoded(40, seed)
        found = brute_force(e, book.table)
        with torch.no_grad():
            book.update_buffers(book.quantize(e))
        rows = e.flatten(0, 1).tolist()
        for k in range(K):
            own = [row for row, index in zip(rows, found, strict=True) if index == k]
            usage[k] = DECAY * usage[k] + (1 - DECAY) * len(own) / len(rows)
            for d in range(D):
                mean = sum(row[d] for row in own) / len(rows)
                sums[k][d] = DECAY * sums[k][d] + (1 - DECAY) * mean
        assert book.usage.tolist() == pytest.approx(list(usage.values()))
        by_hand = [[sums[k][d] / usage[k] for d in range(D)] for k in range(K)]
        torch.testing.assert_close(book.table, torch.tensor(by_hand, dtype=torch.float64))


def test_averaged_codes_find_the_clusters() -> None:
    torch.manual_seed(3)
    centres = torch.tensor([[3.0, 3.0], [-3.0, 3.0], [3.0, -3.0], [-3.0, -3.0]])
    book = AveragedCodebook(12, 2)
    for _ in range(500):
        e = centres[torch.randint(4, (64, 1))] + 0.1 * torch.randn(64, 1, 2)
        with torch.no_grad():
            book.update_buffers(book.quantize(e))
    assert torch.cdist(centres, book.table).amin(1).max() < 0.1
    # Every code is at one of them, and what they stand for adds up to a quarter each.
    apart, cluster = torch.cdist(book.table, centres).min(1)
    assert apart.max() < 0.3
    share = torch.zeros(4).index_add(0, cluster, book.usage / book.usage.sum())
    torch.testing.assert_close(share, torch.full((4,), 0.25), rtol=0, atol=0.05)


@pytest.mark.parametrize("kind", BOOKS)
def test_dead_codes_revive_where_something_is_encoded(kind: str) -> None:
    book, e = BOOKS[kind](K, D).double(), encoded(60)
    with torch.no_grad():
        book.update_buffers(book.quantize(e))  # the first step lays the codebook out over the data
        book.usage[4], lost, steps = 1 / K, book.table[4].clone(), 0
        while torch.allclose(book.table[4], lost) and steps < 1000:
            q = book.quantize(e + 5)
            index = torch.where(q.index == 4, 0, q.index)  # nothing is ever nearest to code 4
            book.update_buffers(dataclasses.replace(q, index=index))
            steps += 1
    # Its average falls from 1/K to DEAD/K in log DEAD / log DECAY steps.
    assert steps == pytest.approx(math.log(DEAD) / math.log(DECAY), abs=1)
    assert (e.flatten(0, 1) + 5 - book.table[4]).abs().sum(-1).min() < 1e-9
    assert float(book.usage[4]) == pytest.approx(1 / K)


def test_codes_in_use_are_left_alone() -> None:
    book = LearnedCodebook(K, D).double()
    book.usage.fill_(1.1 * DEAD / K)
    book.usage[2] = 0.9 * DEAD / K
    before = book.table.detach().clone()
    nowhere = torch.full((8, P, D), 50.0, dtype=torch.float64)
    q = dataclasses.replace(book.quantize(nowhere), index=torch.zeros(8, P, dtype=torch.long))
    with torch.no_grad():
        book.update_buffers(q)
    moved = (book.table != before).any(1)
    assert moved.tolist() == [False, False, True, *[False] * (K - 3)]


@pytest.mark.parametrize("kind", BOOKS)
def test_no_code_stays_dead_in_training(kind: str) -> None:
    """A codebook far from all that is encoded uses one code; after a step it uses many."""
    book = BOOKS[kind](32, D).double()
    with torch.no_grad():
        book.table.add_(100.0)
        assert len(book.quantize(encoded(100)).index.unique()) <= 2
        book.update_buffers(book.quantize(encoded(100)))
        assert len(book.quantize(encoded(100)).index.unique()) > 20


@pytest.mark.parametrize("levels", [LEVELS, (8, 5, 5), (2,), (3, 3)], ids=str)
def test_finite_scalars_reach_every_combination_of_levels_and_no_other(
    levels: tuple[int, ...],
) -> None:
    book = FiniteScalars(levels).double()
    n = math.prod(levels)
    # What the encoder says, over a grid fine enough to meet every level of every number.
    line = torch.linspace(-4, 4, 41, dtype=torch.float64)
    e = torch.cartesian_prod(*[line] * len(levels)).view(-1, 1, len(levels))
    q = book.quantize(e)
    reached = {tuple(row) for row in q.code.flatten(0, 1).tolist()}
    by_hand = {
        tuple(float(2 * step / (count - 1) - 1) for step, count in zip(steps, levels, strict=True))
        for steps in itertools.product(*(range(count) for count in levels))
    }
    assert len(reached) == n
    assert all(min(math.dist(r, h) for h in by_hand) < 1e-12 for r in reached)
    # The table lists them in the order of their index.
    torch.testing.assert_close(book.table[q.index], q.code)
    assert sorted(set(q.index.flatten().tolist())) == list(range(n))
    # Rounding is to the nearest level of what was squashed.
    assert (q.code - torch.tanh(e)).abs().max() <= 1 / (min(levels) - 1) + 1e-9


@pytest.mark.parametrize("book", [LearnedCodebook(K, D), FiniteScalars(LEVELS)], ids=["vq", "fsq"])
def test_the_rate_is_positions_log_codes(book: Codebook) -> None:
    K, D = book.table.shape
    e = torch.randn(B, P, D)
    q, p = book.quantize(e), book.prior(P).expand(B)
    nats = kl(q, p)
    assert nats is not None
    torch.testing.assert_close(nats, torch.full((B,), P * math.log(K)))
    # By enumeration: Σ_z q(z) (log q(z) − log p(z)) has one term, of the code itself.
    torch.testing.assert_close(q.log_prob(q.sample()) - p.log_prob(q.sample()), nats)


def test_codes_of_the_prior_are_equally_frequent() -> None:
    book = LearnedCodebook(K, D)
    z = book.prior(P).expand(7000).sample()
    index = nearest(z, book.table)
    torch.testing.assert_close(z, book.table[index])
    counts = torch.bincount(index.flatten(), minlength=K) / index.numel()
    assert (counts - 1 / K).abs().max() < 4 * math.sqrt(1 / K / index.numel())
    # Positions are independent of each other.
    pairs = torch.bincount(index[:, 0] * K + index[:, 1], minlength=K * K) / 7000
    assert (pairs - 1 / K**2).abs().max() < 5 * math.sqrt(1 / K**2 / 7000)
    assert book.prior(P).expand(2).sample(0.0).tolist() == [[book.table[0].tolist()] * P] * 2
    torch.testing.assert_close(book.prior(P).mean[0, 0], book.table.mean(0))


def test_perplexity_of_planted_assignments() -> None:
    book = LearnedCodebook(K, D)
    index = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 3]])  # four codes, equally often
    for _ in range(5):
        book.count(index)
    assert float(entropy(book.usage).exp()) == pytest.approx(4)
    skewed = torch.tensor([8.0, 4.0, 2.0, 2.0, 0.0])
    assert float(entropy(skewed)) == pytest.approx(1.75 * math.log(2))
    assert float(entropy(torch.zeros(3)).exp()) == 1.0
    assert entropy(torch.eye(4)).tolist() == [0.0] * 4


def test_usage_follows_what_was_used() -> None:
    book = LearnedCodebook(K, D)
    for _ in range(3):
        book.count(torch.tensor([[6, 6], [6, 0]]))
    expected = torch.zeros(K)
    for _ in range(3):
        expected = DECAY * expected + (1 - DECAY) * torch.tensor([0.25, *[0] * 5, 0.75])
    torch.testing.assert_close(book.usage, expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LearnedCodebook(1, 2), "codes is 1"),
        (lambda: FiniteScalars(()), "at least one number"),
        (lambda: FiniteScalars((4, 1)), r"levels are \(4, 1\)"),
    ],
)
def test_what_makes_no_code_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
