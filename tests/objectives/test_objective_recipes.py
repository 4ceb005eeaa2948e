"""Recipes that differ in their objective: the weights they give, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from vaelab.data import DataSpec
from vaelab.distributions import Normal
from vaelab.objectives import Distortion, Loss, Rate, Schedule
from vaelab.objectives.aggregate import SplitRate
from vaelab.recipes.design import Design
from vaelab.recipes.objectives import (
    annealed,
    beta_tc,
    capacity,
    ciwae,
    dip,
    dreg,
    free_bits,
    geco,
    info_vae,
    miwae,
    ms_ssim,
    piwae,
    rae,
    wae_mmd,
)
from vaelab.recipes.registry import Recipe, as_json, rebuild

IMAGES = DataSpec(
    "array", (1, 8, 8), "uint8", 17, 0, 16, (0.0,), (16.0,), contrast=0.7, sizes=(50, 10, 10)
)
TABLE = DataSpec("array", (5,), "float32", None, -9.0, 9.0, (0.0,), (2.0,), sizes=(50, 10, 10))
SMALL = Design(width=8)

ALL: list[Callable[..., Recipe]] = [
    *(annealed, capacity, free_bits, geco, dreg, miwae, piwae, ciwae),
    *(beta_tc, dip, info_vae, wae_mmd, rae, ms_ssim),
]


def walked(recipe: Recipe, n: int = 6) -> Loss:
    torch.manual_seed(0)
    x = torch.rand(n, *recipe.data.shape).round()
    return recipe.objective(recipe.model(x, recipe.objective.samples), x)


def weighed(loss: Loss, **weights: float) -> None:
    """The total is the sum of the parts by these weights."""
    assert set(weights) == set(loss.parts)
    expected = torch.stack([w * loss.parts[key] for key, w in weights.items()]).sum(0)
    torch.testing.assert_close(loss.total, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("build", ALL, ids=lambda f: f.__name__)
def test_every_weight_of_the_model_is_trained(build: Callable[..., Recipe]) -> None:
    recipe = build(IMAGES, latent=3, design=SMALL)
    walked(recipe).mean.backward()
    for key, p in recipe.model.named_parameters():
        assert p.grad is not None, key
        assert p.grad.isfinite().all(), key
    again = rebuild(recipe.name, as_json(recipe.arguments) | {"design": {"width": 8}}, IMAGES)
    assert again.arguments == recipe.arguments
    assert again.model.state_dict().keys() == recipe.model.state_dict().keys()


@pytest.mark.parametrize(
    ("build", "weights"),
    [
        (lambda: annealed(IMAGES, beta=3.0), {"distortion": 1, "rate": 3}),
        (lambda: capacity(IMAGES, gamma=7.0), {"distortion": 1, "capacity": 7}),
        (lambda: free_bits(IMAGES), {"distortion": 1, "free_bits": 1}),
        (lambda: geco(IMAGES), {"rate": 1, "constraint": 1}),
        (
            lambda: beta_tc(IMAGES, beta=5.0),
            {"distortion": 1, "index_code": 1, "total_correlation": 5, "dimension_wise": 1},
        ),
        (
            lambda: dip(IMAGES, variant="i", weight=2.0),
            {"distortion": 1, "rate": 1, "off_diagonal": 2, "diagonal": 20},
        ),
        (
            lambda: dip(IMAGES, variant="ii", weight=2.0),
            {"distortion": 1, "rate": 1, "off_diagonal": 2, "diagonal": 2},
        ),
        (
            lambda: info_vae(IMAGES, alpha=0.3, scale=9.0),
            {"distortion": 1, "rate": 0.7, "mmd": 8.3},
        ),
        (lambda: wae_mmd(IMAGES, weight=4.0), {"distortion": 1, "mmd": 4}),
        (
            lambda: rae(IMAGES, beta=0.2, weight=0.3, penalty="gradient"),
            {"distortion": 1, "code_norm": 0.2, "decoder_penalty": 0.3},
        ),
        (
            lambda: ms_ssim(IMAGES, weight=0.4, beta=2.0),
            {"distortion": 1, "rate": 2, "structural": 0.4},
        ),
    ],
)
def test_the_objective_is_the_papers(
    build: Callable[[], Recipe], weights: dict[str, float]
) -> None:
    weighed(walked(build()), **weights)


def at(recipe: Recipe, progress: float) -> Recipe:
    for module in recipe.objective.modules():
        if isinstance(module, Schedule):
            module.progress.fill_(progress)
    return recipe


@pytest.mark.parametrize(
    ("schedule", "progress", "beta"),
    [
        *[("linear", 0.0, 0.0), ("linear", 0.2, 1.0), ("linear", 0.7, 2.0)],
        *[("cyclical", 0.5, 0.0), ("cyclical", 0.6, 1.0), ("cyclical", 0.7, 2.0)],
    ],
)
def test_beta_follows_its_schedule(schedule: Any, progress: float, beta: float) -> None:
    recipe = annealed(IMAGES, beta=2.0, schedule=schedule, warmup_fraction=0.4, cycles=2)
    weighed(walked(at(recipe, progress)), distortion=1, rate=beta)


def test_the_capacity_rises() -> None:
    rate = walked(capacity(IMAGES, capacity=0.0)).parts["capacity"]
    half = walked(at(capacity(IMAGES, capacity=30.0, warmup_fraction=0.8), 0.4)).parts["capacity"]
    torch.testing.assert_close(half, 15 - rate, rtol=1e-4, atol=1e-4)


def test_what_is_held_is_a_distortion_for_each_number() -> None:
    recipe = geco(IMAGES, distortion=0.5)
    torch.manual_seed(0)
    x = torch.rand(6, 1, 8, 8).round()
    trace = recipe.model(x)
    constraint = recipe.objective(trace, x).parts["constraint"]
    torch.testing.assert_close(constraint, Distortion()(trace, x).total - 32)
    assert not recipe.objective.monitorable


def test_the_aggregate_is_of_the_training_rows() -> None:
    terms = [t for t in beta_tc(IMAGES).objective.modules() if isinstance(t, SplitRate)]
    assert [term.rows for term in terms] == [50]
    with pytest.raises(ValueError, match=r"rows is 0; .* number of training examples"):
        beta_tc(replace(IMAGES, sizes=(0, 0, 0)))


def test_a_steered_model_is_an_ordinary_one_once_trained() -> None:
    for build in (dreg, piwae):
        model = build(IMAGES, latent=3, design=SMALL).model.eval()
        trace = model(torch.rand(4, 1, 8, 8))
        assert isinstance(trace.sites[0].posterior, Normal)
        assert Rate()(trace, torch.rand(4, 1, 8, 8)).estimated == frozenset()


def test_standardised_images_are_compared_by_their_own_range() -> None:
    real = DataSpec(
        "array", (1, 8, 8), "float32", None, -3.0, 5.0, (0.0,), (2.0,), sizes=(50, 10, 10)
    )
    term = ms_ssim(real).objective.terms[-1].term
    assert term.data_range == 4.0
    assert ms_ssim(IMAGES).objective.terms[-1].term.data_range == 1.0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ms_ssim(TABLE), r"shape \(5,\) are no images"),
        (lambda: annealed(IMAGES, beta=-1.0), "beta is -1"),
        (lambda: annealed(IMAGES, warmup_fraction=0.0), "warmup_fraction is 0"),
        (lambda: capacity(IMAGES, capacity=-1.0), "capacity is -1"),
        (lambda: free_bits(IMAGES, latent=16, groups=3), "16 latents cannot be cut into 3"),
        (lambda: free_bits(IMAGES, groups=0), "cannot be cut into 0"),
        (lambda: info_vae(IMAGES, alpha=1.5), "alpha is 1.5"),
        (lambda: info_vae(IMAGES, alpha=0.5, scale=0.2), "scale 0.2"),
        (lambda: beta_tc(IMAGES, beta=-1.0), "beta is -1"),
        (lambda: miwae(IMAGES, bounds=0), "bounds is 0"),
    ],
)
def test_what_makes_no_sense_is_refused(build: Callable[[], Recipe], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
