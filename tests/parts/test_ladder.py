"""The deep ladder: maps of latents at every resolution, from coarse to fine."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from vaelab.data import Batches, Data, load
from vaelab.distributions import Normal
from vaelab.parts.ladder import ConvBlock, DenseBlock, Root
from vaelab.recipes.design import Design
from vaelab.recipes.hierarchies import deep_ladder
from vaelab.recipes.registry import Recipe, as_json, rebuild
from vaelab.runs.latent_summary import summarize_latents
from vaelab.runs.load import load as load_run
from vaelab.runs.run import Run
from vaelab.training import Plan, fit

SMALL = Design(width=8)


@cache
def data(kind: str) -> Data:
    rng = np.random.default_rng(0)
    if kind == "digits":
        return load("digits8x8")
    if kind == "colour":
        return load(rng.integers(0, 256, (40, 3, 9, 7), dtype=np.uint8))
    if kind == "large":
        return load(rng.integers(0, 256, (40, 1, 28, 28), dtype=np.uint8))
    return load(rng.normal(3, 10, (40, 5)).astype(np.float32))  # "table"


def rows(recipe: Recipe, kind: str, n: int = 4) -> Tensor:
    return next(Batches(data(kind).train.x, recipe.data).fixed(n, 0))


def stirred(kind: str, layers: tuple[int, ...], amount: float = 0.05) -> Recipe:
    """A recipe away from its start, so that priors and posteriors say something."""
    recipe = deep_ladder(data(kind).spec, latent=2, layers=layers, design=SMALL)
    torch.manual_seed(1)
    with torch.no_grad():
        for p in recipe.model.parameters():
            p.add_(amount * torch.randn_like(p))
    return recipe


def test_a_root_of_any_shape() -> None:
    root = Root(3, 2, 1)
    assert root(5).shape == (5, 3, 2, 1)
    assert Root(4)(2).shape == (2, 4)
    assert [tuple(p.shape) for p in root.parameters()] == [(1, 3, 2, 1)]


def test_a_block_expects_infers_and_merges() -> None:
    torch.manual_seed(0)
    block = ConvBlock(2, 6, 1, nn.Upsample((5, 7)))
    h, evidence = torch.randn(3, 6, 3, 4), tuple(torch.randn(3, 6, 3, 4) for _ in range(2))
    p, q = block.prior(h), block.posterior(h, evidence)
    assert p.mean.shape == q.mean.shape == (3, 2, 3, 4)
    assert isinstance(p, Normal)
    assert (p.mu == 0).all()
    assert (p.sigma == 1).all()
    # Its own level of the evidence and no other, and the state.
    assert torch.equal(block.posterior(h, (evidence[0] + 1, evidence[1])).mean, q.mean)
    assert not torch.equal(block.posterior(h, (evidence[0], evidence[1] + 1)).mean, q.mean)
    assert not torch.equal(block.posterior(h + 1, evidence).mean, q.mean)
    below = block.merge(h, q.sample())
    assert below.shape == (3, 6, 5, 7)
    assert not torch.equal(below, block.merge(h, q.sample()))


def test_a_dense_block_is_made_of_perceptrons_with_one_gelu() -> None:
    block = DenseBlock(2, 6, 1)
    h, evidence = torch.randn(3, 6), (torch.randn(3, 4), torch.randn(3, 6))

    def by_hand(module: nn.Module, x: Tensor) -> Tensor:
        (a, b), (c, d) = ((m.weight, m.bias) for m in module.modules() if isinstance(m, nn.Linear))
        return F.linear(F.gelu(F.linear(x, a, b)), c, d)

    p, q = block.prior(h), block.posterior(h, evidence)
    torch.testing.assert_close(p.mean, by_hand(block.to_prior, h)[:, :2])
    inferred = by_hand(block.to_posterior, torch.cat([h, evidence[1]], 1))
    torch.testing.assert_close(q.mean, inferred[:, :2])
    z = torch.randn(3, 2)
    merged = h + by_hand(block.to_state, torch.cat([h, z], 1))
    torch.testing.assert_close(block.merge(h, z), merged)


@pytest.mark.parametrize(
    ("kind", "layers", "maps"),
    [
        ("digits", (2, 0, 1), [(2, 2), (2, 2), (8, 8)]),
        ("digits", (1, 1, 1, 0), [(1, 1), (2, 2), (4, 4)]),
        ("colour", (1, 0, 2, 0), [(2, 1), (5, 4), (5, 4)]),
        ("colour", (3,), [(9, 7)] * 3),
    ],
    ids=str,
)
def test_any_number_of_layers_at_any_number_of_resolutions(
    kind: str, layers: tuple[int, ...], maps: list[tuple[int, int]]
) -> None:
    recipe = deep_ladder(data(kind).spec, latent=3, layers=layers, design=SMALL)
    x = rows(recipe, kind)
    trace = recipe.model(x)
    assert [tuple(z.shape) for z in trace.latents] == [(4, 3, *size) for size in maps]
    assert trace.likelihood.mean.shape == x.shape
    drawn = recipe.model.sample(2)
    assert [z.shape[1:] for z in drawn.latents] == [z.shape[1:] for z in trace.latents]


@pytest.mark.parametrize("layers", [(1, 1, 1), (12, 12, 12)], ids=str)
@pytest.mark.parametrize("bf16", [False, True])
def test_losses_are_small_from_the_first_step_at_any_depth(
    layers: tuple[int, ...], bf16: bool
) -> None:
    recipe = deep_ladder(data("large").spec, latent=4, layers=layers, design=SMALL)
    x = rows(recipe, "large", 2)
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        trace = recipe.model(x)
    loss = recipe.objective(trace, x)
    assert all(site.z.dtype == torch.float32 for site in trace.sites)
    assert (loss.parts["rate"] < 0.03 * sum(z[0].numel() for z in trace.latents)).all()
    # It says nearly the same of every pixel, and of noise that costs little more than not knowing.
    assert trace.likelihood.mean.std() < 0.1
    assert (loss.parts["distortion"] < 1.2 * 784 * math.log(256)).all()
    loss.mean.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in recipe.model.parameters())


def test_the_rate_is_the_mean_of_its_estimates() -> None:
    """Over all maps together: closed forms, given the draws above, against log q − log p."""
    recipe = stirred("digits", (2, 1, 0), 0.2)
    x = rows(recipe, "digits", 1)
    torch.manual_seed(0)
    with torch.no_grad():
        trace = recipe.model(x, 4000)
    estimates = trace.log_likelihood(x) - trace.log_weights(x)[:, 0]
    closed, exact = trace.rate()
    assert exact
    assert closed.mean() > 0.5
    error = (estimates - closed).std() / math.sqrt(4000)
    assert abs(estimates.mean() - closed.mean()) < 4 * error


def test_top_levels_are_clamped_and_the_rest_is_drawn() -> None:
    recipe = stirred("digits", (2, 1, 1))
    latents = recipe.model(rows(recipe, "digits")).latents
    torch.manual_seed(0)
    first, second = (recipe.model.decode(latents[:2]) for _ in range(2))
    for trace in (first, second):
        assert torch.equal(trace.latents[0], latents[0])
        assert torch.equal(trace.latents[1], latents[1])
    assert not torch.equal(first.latents[2], second.latents[2])
    assert not torch.equal(first.likelihood.mean, second.likelihood.mean)
    # At temperature 0 what is below lies where its prior expects it.
    still = recipe.model.decode(latents[:2], temperature=0.0)
    assert torch.equal(still.latents[2], still.sites[2].prior.mean)
    assert torch.equal(
        recipe.model.decode(latents).likelihood.mean, recipe.model.decode(latents).likelihood.mean
    )


def test_it_is_captured_whole_by_the_compiler() -> None:
    recipe = stirred("colour", (1, 1, 0))
    x = rows(recipe, "colour")

    def loss(x: Tensor) -> Tensor:
        return recipe.objective(recipe.model(x), x).total

    captured: Any = torch.compile(loss, backend="eager", fullgraph=True)
    found = []
    for function in (captured, loss):
        torch.manual_seed(0)
        found.append(function(x))
    torch.testing.assert_close(*found)


def test_it_runs_as_a_population() -> None:
    recipes = [
        deep_ladder(data("colour").spec, 2, (1, 1, 0), Design(width=8, seed=seed))
        for seed in range(2)
    ]
    x = rows(recipes[0], "colour")

    def loss(parameters: Any, buffers: Any) -> Tensor:
        trace = functional_call(recipes[0].model, (parameters, buffers), (x, 1, 0.0))
        total: Tensor = recipes[0].objective(trace, x).total
        return total

    stacked = stack_module_state([recipe.model for recipe in recipes])
    found = vmap(loss, randomness="different")(*stacked)
    for recipe, total in zip(recipes, found, strict=True):
        alone = recipe.objective(recipe.model(x, 1, 0.0), x).total
        torch.testing.assert_close(total, alone)


@cache
def trained(precision: Any) -> Run:
    recipe = deep_ladder(data("digits").spec, 2, (1, 1, 1), Design(width=16, likelihood="gaussian"))
    plan = Plan(epochs=7, batch_size=64, lr=1e-2, precision=precision)
    result = fit(recipe.model, recipe.objective, data("digits"), recipe.data, plan)
    codes = summarize_latents(recipe.model, Batches(data("digits").valid.x, recipe.data))
    return Run(recipe, dataclasses.asdict(plan), result.history, codes)


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
def test_it_learns(precision: str) -> None:
    history = trained(precision).history
    variance = float(data("digits").spec.prepare(data("digits").train.x).var(0).mean())
    without_code = 32 * (math.log(2 * math.pi * variance) + 1)
    assert history[-1]["valid_loss"] < without_code - 1
    assert history[-1]["rate"] > 1


def test_a_run_on_disk_and_back(tmp_path: Path) -> None:
    run = trained("fp32")
    assert [tuple(shape) for shape in run.shapes] == [(2, 2, 2), (2, 4, 4), (2, 8, 8)]
    assert run.latent == len(run.codes.mean) == 2 * (4 + 16 + 64)
    again = load_run(run.save(tmp_path / "run"))
    raw = data("digits").test.x[:5]
    codes = run.encode(raw)
    assert torch.equal(again.encode(raw), codes)
    assert torch.equal(again.decode(codes), run.decode(codes))
    assert torch.equal(again.sample(3, seed=4), run.sample(3, seed=4))
    # The code is its maps side by side.
    trace = run.model(run.spec.prepare(raw), temperature=0.0)
    at = 0
    for z in trace.latents:
        assert torch.equal(codes[:, at : at + z[0].numel()].unflatten(1, z.shape[1:]), z)
        at += z[0].numel()
    torch.testing.assert_close(run.decode(codes), run.spec.unscale(trace.likelihood.mean))


def test_its_layers_are_kept_as_json() -> None:
    recipe = deep_ladder(data("digits").spec, layers=(1, 0, 2), design=SMALL)
    kept = json.loads(json.dumps(as_json(recipe.arguments)))
    again = rebuild("deep-ladder", kept, data("digits").spec)
    assert again.arguments == recipe.arguments
    state = recipe.model.state_dict()
    assert all(torch.equal(t, state[key]) for key, t in again.model.state_dict().items())


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        ("table", {}, r"images \(C, H, W\); this data has shape \(5,\). Use the recipe ladder"),
        ("digits", {"design": Design(net="conv")}, "net is conv; .* say net resconv"),
        ("digits", {"latent": 0}, "latent is 0"),
        ("digits", {"layers": ()}, r"layers is \(\); expected"),
        ("digits", {"layers": (0, 2)}, r"layers is \(0, 2\); .* at least 1 for the coarsest"),
        ("digits", {"layers": (2, -1)}, r"layers is \(2, -1\)"),
        ("digits", {"layers": (1, 1, 1, 1, 1)}, "5 resolutions .* 8 × 8 has 4"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(kind: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        deep_ladder(data(kind).spec, **arguments)
