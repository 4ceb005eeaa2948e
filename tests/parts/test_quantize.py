"""Codebooks against brute force, by hand, and by enumeration; levels of codes; what they cost."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from vaelab.objectives import Distortion, Loss, Objective, Rate
from vaelab.objectives.codebook import CodebookLoss, Commitment
from vaelab.parts.discrete import Blank
from vaelab.parts.likelihoods import FixedGaussian
from vaelab.parts.posteriors import DiagonalNormal
from vaelab.parts.priors import Standard
from vaelab.parts.quantize import (
    DEAD,
    DECAY,
    AveragedCodebook,
    Codebook,
    DenseCodes,
    FiniteScalars,
    LearnedCodebook,
    ResidualCodes,
    nearest,
)
from vaelab.walk import VAE, Ladder, Normal, Quantized, Shallow, Trace, UniformCodes, kl
from vaelab.walk.discrete import entropy

B, P, D, K = 5, 3, 2, 7
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
            book.settle(book.quantize(e))
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
            book.settle(book.quantize(e))
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
        book.settle(book.quantize(e))  # the first step lays the codebook out over the data
        book.usage[4], lost, steps = 1 / K, book.table[4].clone(), 0
        while torch.allclose(book.table[4], lost) and steps < 1000:
            q = book.quantize(e + 5)
            index = torch.where(q.index == 4, 0, q.index)  # nothing is ever nearest to code 4
            book.settle(dataclasses.replace(q, index=index))
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
        book.settle(q)
    moved = (book.table != before).any(1)
    assert moved.tolist() == [False, False, True, *[False] * (K - 3)]


@pytest.mark.parametrize("kind", BOOKS)
def test_no_code_stays_dead_in_training(kind: str) -> None:
    """A codebook far from all that is encoded uses one code; after a step it uses many."""
    book = BOOKS[kind](32, D).double()
    with torch.no_grad():
        book.table.add_(100.0)
        assert len(book.quantize(encoded(100)).index.unique()) <= 2
        book.settle(book.quantize(encoded(100)))
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


def vq(book: Codebook | None = None, stages: int = 1) -> VAE:
    books = [book or LearnedCodebook(K, D) for _ in range(stages)]
    blocks = [ResidualCodes(book, P, book is books[0]) for book in books]
    decoder = nn.Sequential(nn.Flatten(), nn.Linear(P * D, 4))
    encoder = nn.Sequential(nn.Linear(4, P * D), nn.Unflatten(1, (P, D)))
    return VAE(encoder, Ladder(Blank(P, D), blocks, decoder, FixedGaussian(0.5)))


def test_log_weights_are_a_bound_known_exactly() -> None:
    """The codes of a tiny model, all of them: −D − P log K ≤ log p(x), each term by hand."""
    torch.manual_seed(0)
    model = vq(LearnedCodebook(3, D)).double()
    x = torch.randn(6, 4, dtype=torch.float64)
    with torch.no_grad():
        trace = model(x, 2)
        table = model.generator.blocks[0].book.table  # type: ignore[union-attr,index]
        every = torch.tensor(list(itertools.product(range(3), repeat=P)))
        zs = table[every]
        log_joint = torch.stack([model.decode([z[None]]).likelihood.log_prob(x) for z in zs])
        exact = torch.logsumexp(log_joint, 0) - P * math.log(3)
        log_w = trace.log_weights(x)
    assert log_w.shape == (2, 6)
    torch.testing.assert_close(log_w[0], log_w[1])
    torch.testing.assert_close(-log_w[0], (Distortion() + Rate())(trace, x).total)
    assert (log_w[0] <= exact + 1e-12).all()
    own = [every.tolist().index(row) for row in trace.sites[0].posterior.index[:6].tolist()]
    by_hand = log_joint[own, torch.arange(6)] - P * math.log(3)
    torch.testing.assert_close(log_w[0], by_hand)


def walked(n: int = 6) -> tuple[VAE, Trace, Tensor]:
    torch.manual_seed(1)
    model = vq().double()
    x = torch.randn(n, 4, dtype=torch.float64)
    return model, model(x), x


def test_codebook_losses_are_sums_over_an_example_with_a_gradient_each_to_one_side() -> None:
    model, trace, x = walked()
    q = trace.sites[0].posterior
    assert isinstance(q, Quantized)
    by_hand = [
        sum((a - b) ** 2 for a, b in zip(e.flatten().tolist(), c.flatten().tolist(), strict=True))
        for e, c in zip(q.encoded, q.code, strict=True)
    ]
    table = model.generator.blocks[0].book.table  # type: ignore[union-attr,index]
    for term, side, other in (
        (CodebookLoss(), table, model.encoder[0].weight),  # type: ignore[index]
        (Commitment(), model.encoder[0].weight, table),  # type: ignore[index]
    ):
        loss = term(trace, x)
        assert loss.total.tolist() == pytest.approx(by_hand)
        reached, not_reached = torch.autograd.grad(
            loss.mean, [side, other], retain_graph=True, allow_unused=True
        )
        assert reached is not None
        assert reached.abs().sum() > 0
        assert not_reached is None


@pytest.mark.parametrize("term", [CodebookLoss(), Commitment()])
def test_a_term_of_codebooks_says_so_where_there_is_none(term: Objective) -> None:
    generator = Shallow(Standard(2), DiagonalNormal(), nn.Linear(2, 4), FixedGaussian())
    x = torch.randn(3, 4)
    trace = VAE(nn.Linear(4, 4), generator)(x)
    with pytest.raises(TypeError, match=r"no latent here is quantised \(its posteriors: Normal\)"):
        term(trace, x)


def summed_over_the_batch(trace: Trace, x: Tensor) -> Loss:
    """As a peer has it: the reconstruction by example, the codebook's loss over all of them."""
    nats = CodebookLoss()(trace, x).total.sum().expand(len(x))
    return Loss(nats, {"codebook": nats})


@pytest.mark.parametrize(
    ("term", "the_same"), [(CodebookLoss(), True), (summed_over_the_batch, False)]
)
def test_an_image_weighs_the_same_alone_and_among_others(term: object, the_same: bool) -> None:
    model, trace, x = walked(64)
    whole = term(trace, x).total  # type: ignore[operator]
    alone = torch.cat([term(model(row), row).total for row in x.split(1)])  # type: ignore[operator]
    assert torch.allclose(whole, alone) == the_same


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


def test_the_prior_over_codes_says_how_many_are_in_use() -> None:
    model, _, x = walked()
    assert isinstance(model.generator, Ladder)
    book = model.generator.blocks[0].book
    with torch.no_grad():
        book.count(torch.tensor([[0, 1, 2], [0, 1, 2]]))  # type: ignore[operator]
    trace = model(x)
    torch.testing.assert_close(trace.sites[0].prior.perplexity, torch.full((6,), 3.0).to(x))
    assert trace.units.shape == (6, 0)
    assert Normal(torch.zeros(6, 1), torch.zeros(6, 1)).perplexity is None


def test_usage_follows_what_was_used() -> None:
    book = LearnedCodebook(K, D)
    for _ in range(3):
        book.count(torch.tensor([[6, 6], [6, 0]]))
    expected = torch.zeros(K)
    for _ in range(3):
        expected = DECAY * expected + (1 - DECAY) * torch.tensor([0.25, *[0] * 5, 0.75])
    torch.testing.assert_close(book.usage, expected)


def test_each_stage_codes_what_is_left_over() -> None:
    torch.manual_seed(2)
    model = vq(stages=3).double()
    x = torch.randn(8, 4, dtype=torch.float64)
    trace = model(x)
    left = model.encoder(x)
    for site, block in zip(trace.sites, model.generator.blocks, strict=True):  # type: ignore[arg-type]
        table = block.book.table  # type: ignore[union-attr]
        found = brute_force(left, table)
        assert site.posterior.index.flatten().tolist() == found
        left = left - table[found].view_as(left)
    rate, exact = trace.rate()
    torch.testing.assert_close(rate, torch.full_like(rate, 3 * P * math.log(K)))
    assert exact


def test_through_all_stages_the_encoder_gets_its_gradient_just_once() -> None:
    model = vq(stages=3).double()
    x = torch.randn(8, 4, dtype=torch.float64)
    states: list[Tensor] = []

    def keep(module: nn.Module, given: tuple[Tensor, ...]) -> None:
        given[0].retain_grad()
        states.append(given[0])

    model.generator.decoder.register_forward_pre_hook(keep)  # type: ignore[operator,union-attr]
    evidence = model.encoder(x)
    evidence.retain_grad()
    Distortion()(model.infer(evidence), x).mean.backward()
    assert evidence.grad is not None
    torch.testing.assert_close(evidence.grad, states[0].grad)
    assert evidence.grad.abs().min() > 0


def test_every_stage_commits_the_encoder() -> None:
    """∂/∂e Σ_s ‖r_s − sg(c_s)‖² with r_s what is left at stage s: each pulls on e by itself."""
    model = vq(stages=3).double()
    x = torch.randn(8, 4, dtype=torch.float64)
    evidence = model.encoder(x).detach().requires_grad_()
    trace = model.infer(evidence)
    (gradient,) = torch.autograd.grad(Commitment()(trace, x).total.sum(), evidence)
    apart = [site.posterior.encoded - site.posterior.code for site in trace.sites]  # type: ignore[attr-defined]
    torch.testing.assert_close(gradient, 2 * torch.stack(apart).sum(0).detach())


def test_a_level_of_perceptrons_keeps_positions_apart() -> None:
    block = DenseCodes(LearnedCodebook(K, D), P, 6, level=1)
    h, evidence = torch.randn(B, 6), (torch.randn(B, 9), torch.randn(B, 6))
    q = block.posterior(h, evidence)
    e = block.to_code(torch.cat([h, evidence[1]], 1))
    torch.testing.assert_close(q.encoded.flatten(1), e)
    assert q.code.shape == (B, P, D)
    assert isinstance(block.prior(h), UniformCodes)
    assert block.merge(h, q.sample()).shape == h.shape


@pytest.mark.parametrize("book", [AveragedCodebook(K, D), LearnedCodebook(K, D)], ids=BOOKS)
def test_a_step_compiles_as_one_graph_and_agrees(book: Codebook) -> None:
    torch.manual_seed(4)
    model = vq(book)
    objective = Distortion() + Rate() + CodebookLoss() + 0.25 * Commitment()
    x = torch.randn(16, 4)

    def step(x: Tensor) -> Tensor:
        trace = model(x)
        total = objective(trace, x).total
        with torch.no_grad():
            model.settle(trace)
        return total

    before = {k: t.clone() for k, t in model.state_dict().items()}
    torch.manual_seed(5)
    expected, after = step(x), {k: t.clone() for k, t in model.state_dict().items()}
    model.load_state_dict(before)
    torch.manual_seed(5)
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), expected)
    assert not torch.equal(before["generator.blocks.0.book.table"], book.table)
    for key, t in model.state_dict().items():
        torch.testing.assert_close(t, after[key])


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
