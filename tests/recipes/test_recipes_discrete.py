"""Recipes of discrete latents: that each learns, what its codes are, and what they cost."""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vaelab.data import Batches, load
from vaelab.fitted import Fitted, find, fit_codes, keep, replaced
from vaelab.fitted.autoregressive import FittedSequence
from vaelab.metrics import precision_recall_density_coverage
from vaelab.objectives import Rate
from vaelab.parts.quantize import Codebook, nearest
from vaelab.recipes.design import Design
from vaelab.recipes.discrete import concrete, fsq, gumbel, joint, rvq, vq, vq2
from vaelab.recipes.registry import Recipe
from vaelab.runs.latent_summary import summarize_latents
from vaelab.runs.load import load as load_run
from vaelab.runs.run import Run
from vaelab.training import Plan, fit
from vaelab.training.clock import Clock

ZOO: dict[str, tuple[Any, dict[str, Any]]] = {
    "gumbel": (gumbel, {}),
    "concrete": (concrete, {}),
    "joint": (joint, {}),
    "vq": (vq, {"codes": 64}),
    "vq-gradient": (vq, {"codes": 64, "averaged": False}),
    "rvq": (rvq, {"codes": 32, "stages": 2}),
    "fsq": (fsq, {"levels": (5, 4, 3)}),
    "vq2": (vq2, {"codes": 32}),
}


@cache
def build(name: str, net: str = "mlp") -> Recipe:
    function, arguments = ZOO[name]
    design = Design(net=net, width=32, likelihood="gaussian")  # type: ignore[arg-type]
    return function(load("digits8x8").spec, **arguments, design=design)


@cache
def trained(name: str) -> Run:
    recipe, digits = build(name), load("digits8x8")
    plan = Plan(epochs=10, batch_size=64, lr=1e-2)
    result = fit(recipe.model, recipe.objective, digits, recipe.data, plan)
    codes = summarize_latents(recipe.model, Batches(digits.valid.x, recipe.data))
    return Run(recipe, dataclasses.asdict(plan), result.history, codes)


def without_code() -> float:
    """Nats an image costs any decoder that ignores z: the mean image, and the best one sigma."""
    digits = load("digits8x8")
    variance = float(digits.spec.prepare(digits.train.x).var(0).mean())
    return 32 * (math.log(2 * math.pi * variance) + 1)


@pytest.mark.parametrize("name", ZOO)
def test_its_code_is_worth_more_than_the_mean_image(name: str) -> None:
    history = trained(name).history
    assert history[-1]["valid_distortion"] < without_code() - 2
    assert history[-1]["loss"] < history[0]["loss"]


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("vq", 16 * math.log(64)),
        ("rvq", 2 * 16 * math.log(32)),
        ("fsq", 16 * math.log(60)),
        ("vq2", (4 + 16) * math.log(32)),
    ],
)
def test_a_code_costs_the_logarithm_of_how_many_there_are(name: str, rate: float) -> None:
    run = trained(name)
    for row in run.history:
        assert row["rate"] == pytest.approx(rate, rel=1e-5)
    # Every number of a code has its share of it.
    assert run.codes.rate is not None
    assert sum(run.codes.rate) == pytest.approx(rate, rel=1e-4)


@pytest.mark.parametrize("name", ["vq", "vq-gradient", "rvq", "fsq", "vq2"])
def test_most_codes_are_used_and_the_history_says_how_many(name: str) -> None:
    run = trained(name)
    books = [m for m in run.model.modules() if isinstance(m, Codebook)]
    sizes = [len(book.usage) for book in books]
    last = run.history[-1]
    each = [last.get(f"perplexity_layer_{i}", last["perplexity"]) for i in range(1, 1 + len(sizes))]
    assert all(1.5 < perplexity < size for size, perplexity in zip(sizes, each, strict=True))
    assert math.prod(each) ** (1 / len(each)) == pytest.approx(last["perplexity"], rel=1e-6)
    assert math.prod(sizes) ** (1 / len(sizes)) / 4 < last["perplexity"]
    # It is no part of the objective, and a code's numbers are no units.
    x = run.spec.prepare(load("digits8x8").valid.x[:4])
    assert "perplexity" not in run.recipe.objective(run.model(x), x).parts
    assert "active_units" not in last


def test_the_rate_of_each_latent_reaches_the_capacity_of_its_own() -> None:
    """Left to itself the class says nothing here, and the other latent little."""
    digits, design = load("digits8x8"), Design(width=32, likelihood="gaussian")
    recipe = joint(digits.spec, latent=4, capacity=9.0, class_capacity=1.5, design=design)
    plan = Plan(epochs=30, batch_size=32, lr=1e-2)
    (*_, row) = fit(recipe.model, recipe.objective, digits, recipe.data, plan).history
    assert row["rate_layer_1"] == pytest.approx(9.0, abs=0.3)
    assert row["rate_layer_2"] == pytest.approx(1.5, abs=0.1)
    assert recipe.objective.formula == "D + 2 |R_1 − C| + 2 |R_2 − C|"
    free = trained("joint").history[-1]
    assert free["valid_rate_layer_2"] < 1


def test_one_latent_alone_may_have_a_capacity_and_none_has_one_beyond_its_reach() -> None:
    spec = load("digits8x8").spec
    recipe = joint(spec, class_capacity=2.0, warmup_fraction=0.8, design=Design(width=8))
    assert recipe.objective.formula == "D + R_1 + 2 |R_2 − C|"
    Clock([*recipe.objective.named_buffers()]).set(0.4)
    x = recipe.data.prepare(load("digits8x8").valid.x[:4])
    torch.manual_seed(0)
    trace = recipe.model(x)
    parts = recipe.objective(trace, x).parts
    torch.testing.assert_close(parts["rate_layer_1"], trace.sites[0].rate()[0])
    torch.testing.assert_close(parts["capacity_layer_2"], (trace.sites[1].rate()[0] - 1.0).abs())
    with pytest.raises(
        ValueError, match=r"class_capacity is 3; .* of these classes at most 2.30 nats"
    ):
        joint(spec, class_capacity=3.0)
    with pytest.raises(ValueError, match="capacity is -1; a rate is 0 or more"):
        joint(spec, capacity=-1.0)
    with pytest.raises(ValueError, match=r"layer 3 .*this model has 2"):
        Rate(3)(trace, x)
    with pytest.raises(ValueError, match="layer is 0"):
        Rate(0)


@pytest.mark.parametrize("name", ["vq", "vq-gradient"])
def test_codes_follow_a_gradient_or_averages_and_never_both(name: str) -> None:
    recipe = build(name)
    x = recipe.data.prepare(load("digits8x8").valid.x[:32])
    loss = recipe.objective(recipe.model(x), x).mean
    tables = [p for key, p in recipe.model.named_parameters() if key.endswith("book.table")]
    assert len(tables) == (name == "vq-gradient")
    for table in tables:
        (gradient,) = torch.autograd.grad(loss, table, allow_unused=True)
        assert gradient is not None
        assert gradient.abs().sum() > 0


@pytest.mark.parametrize("name", ["vq", "vq-gradient"])
def test_a_runs_codes_are_those_of_its_codebook_on_disk_and_back(name: str, tmp_path: Path) -> None:
    run, raw = trained(name), load("digits8x8").test.x[:20]
    codes = run.encode(raw).view(20, 16, 8)
    table = next(m.table for m in run.model.modules() if isinstance(m, Codebook))
    assert torch.equal(table[nearest(codes, table)], codes)
    again = load_run(run.save(tmp_path / "run"))
    assert torch.equal(again.encode(raw), run.encode(raw))
    assert torch.equal(again.sample(3, seed=1), run.sample(3, seed=1))
    kept = dict(again.model.named_buffers())
    assert all(torch.equal(t, kept[key]) for key, t in run.model.named_buffers())


@pytest.mark.parametrize("name", ["gumbel", "joint"])
def test_classes_are_encoded_as_classes(name: str) -> None:
    run = trained(name)
    codes = run.encode(load("digits8x8").test.x[:20])
    classes = codes[:, -10:]
    assert set(classes.unique().tolist()) == {0.0, 1.0}
    assert torch.equal(classes.sum(1), torch.ones(20))


def digit_codes(run: Run, split: Tensor) -> Tensor:
    return run.encode(split).view(-1, 16, 8)


@cache
def fitted() -> Fitted:
    run, digits = trained("vq"), load("digits8x8")
    codes, held_out = (digit_codes(run, s.x) for s in (digits.train, digits.valid))
    return fit_codes(FittedSequence(width=32, layers=1, steps=300), run.model, codes, held_out)


def test_a_prior_fitted_to_codes_finds_what_the_uniform_one_wastes() -> None:
    figures = fitted().figures
    assert figures["own_nats"] == pytest.approx(16 * math.log(64), rel=1e-5)
    assert figures["nats"] < figures["own_nats"] - 10
    # Its draws cover more of the digits than uniform ones do, and vary more.
    model = trained("vq").model
    torch.manual_seed(0)
    pixels = load("digits8x8").train.x[:300].float().flatten(1) / 16
    own, better = (
        m.sample(300).likelihood.mean.detach().flatten(1)
        for m in (model, replaced(model, fitted().prior))
    )
    assert better.var(0).sum() > 1.1 * own.var(0).sum()
    covered = [precision_recall_density_coverage(pixels, x).coverage for x in (own, better)]
    assert covered[1].value > covered[0].value + covered[0].se


def test_a_fitted_prior_is_kept_and_found(tmp_path: Path) -> None:
    run = trained("vq")
    keep(fitted(), tmp_path, "prior")
    again = find(tmp_path, "prior", run.model)
    z = digit_codes(run, load("digits8x8").test.x[:30])
    ours, theirs = (f.prior().expand(30).log_prob(z) for f in (fitted(), again))
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", ["vq", "rvq", "fsq"])
def test_with_convolutions_positions_are_a_grid(name: str) -> None:
    recipe = build(name, "conv")
    x = torch.rand(3, 1, 8, 8)
    trace = recipe.model(x)
    assert {z.shape[1] for z in trace.latents} == {16}  # 4 × 4 of 8 × 8
    assert trace.likelihood.mean.shape == x.shape


def test_two_levels_of_maps_are_a_grid_and_a_finer_one() -> None:
    recipe = build("vq2", "conv")
    trace = recipe.model(torch.rand(3, 1, 8, 8))
    assert [z.shape[1] for z in trace.latents] == [4, 16]
    # A pixel's code is read from its place: the encoder's map is cut row by row.
    block = recipe.model.generator.blocks[1]  # type: ignore[union-attr,index]
    z = torch.randn(1, 16, 8)
    h = torch.zeros(1, 32, 4, 4)
    block.below = torch.nn.Identity()  # type: ignore[union-attr]
    by_hand = block.to_state.weight[:, :, 0, 0] @ z[0, 6] + block.to_state.bias  # type: ignore[union-attr,operator]
    torch.testing.assert_close(block.merge(h, z)[0, :, 1, 2], by_hand)  # type: ignore[operator,union-attr]


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (gumbel, {"variables": 0}, "variables is 0"),
        (gumbel, {"classes": 1}, "classes 1"),
        (gumbel, {"tau": 0.0}, "tau is 0.0; a temperature"),
        (concrete, {"tau": math.inf}, "tau is inf"),
        (joint, {"latent": 0}, "latent is 0"),
        (joint, {"variables": -1}, "variables is -1"),
        (vq, {"codes": 1}, "codes is 1"),
        (vq, {"dim": 0}, "dim is 0"),
        (vq, {"positions": 0}, "positions is 0"),
        (vq, {"commitment": -1.0}, "commitment is -1.0"),
        (vq, {"positions": 65, "design": Design(net="conv")}, "has only 64 pixels"),
        (rvq, {"stages": 0}, "stages is 0"),
        (fsq, {"levels": (3, 1)}, r"levels are \(3, 1\)"),
        (vq2, {"positions": 0}, "positions is 0"),
        (vq2, {"positions": 64, "design": Design(net="conv")}, "no grid .* four times as many"),
    ],
)
def test_what_makes_no_code_is_refused(
    function: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        function(load("digits8x8").spec, **arguments)
