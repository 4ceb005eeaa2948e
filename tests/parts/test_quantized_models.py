"""Models of codes: their bound by enumeration, their losses by hand, and stage after stage."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor, nn

from vaelab.core import VAE, Ladder, Shallow, Trace
from vaelab.distributions import Normal, Quantized, UniformCodes
from vaelab.objectives import Distortion, Loss, Objective, Rate
from vaelab.objectives.codebook import CodebookLoss, Commitment
from vaelab.parts.discrete import Blank
from vaelab.parts.likelihoods import FixedGaussian
from vaelab.parts.posteriors import DiagonalNormal
from vaelab.parts.priors import Standard
from vaelab.parts.quantize import (
    AveragedCodebook,
    Codebook,
    DenseCodes,
    LearnedCodebook,
    MapCodes,
    ResidualCodes,
)

B, P, D, K = 5, 3, 2, 7


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
    with pytest.raises(TypeError, match=r"\(its posteriors: Normal\)"):
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


def test_each_stage_codes_what_is_left_over() -> None:
    torch.manual_seed(2)
    model = vq(stages=3).double()
    x = torch.randn(8, 4, dtype=torch.float64)
    trace = model(x)
    left = model.encoder(x)
    for site, block in zip(trace.sites, model.generator.blocks, strict=True):  # type: ignore[arg-type]
        table = block.book.table  # type: ignore[union-attr]
        found = torch.cdist(left, table).argmin(-1)
        assert site.posterior.index.tolist() == found.tolist()
        left = left - table[found]
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


def test_a_level_of_maps_codes_every_pixel_by_its_own_evidence() -> None:
    width, high, wide = 6, 3, 4
    block = MapCodes(LearnedCodebook(K, D), width, 1, nn.Upsample((5, 7)))
    h = torch.randn(B, width, high, wide)
    evidence = torch.randn(B, width, 2, 2), torch.randn(B, width, high, wide)
    q = block.posterior(h, evidence)
    assert isinstance(q, Quantized)
    maps = block.to_code(torch.cat([h, evidence[1]], 1))
    for i in range(high):
        for j in range(wide):
            torch.testing.assert_close(q.encoded[:, i * wide + j], maps[:, :, i, j])
    prior = block.prior(h)
    assert isinstance(prior, UniformCodes)
    assert prior.expand(B).sample().shape == (B, high * wide, D)
    # Each code returns to the pixel that it came from.
    z = torch.zeros(B, high * wide, D)
    z[:, 1 * wide + 2] = torch.tensor([1.0, -2.0])
    weight, bias = block.to_state.weight[..., 0, 0], block.to_state.bias
    state = h + bias[:, None, None]
    state[:, :, 1, 2] += weight @ torch.tensor([1.0, -2.0])
    torch.testing.assert_close(block.merge(h, z), block.below(state))


@pytest.mark.parametrize(
    "book", [AveragedCodebook(K, D), LearnedCodebook(K, D)], ids=["averaged", "learned"]
)
def test_a_step_compiles_as_one_graph_and_agrees(book: Codebook) -> None:
    torch.manual_seed(4)
    model = vq(book)
    objective = Distortion() + Rate() + CodebookLoss() + 0.25 * Commitment()
    x = torch.randn(16, 4)

    def step(x: Tensor) -> Tensor:
        trace = model(x)
        total = objective(trace, x).total
        with torch.no_grad():
            model.update_buffers(trace)
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
