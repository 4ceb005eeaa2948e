"""First losses: an untrained model of any recipe, networks and size is at its data's own scale."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch

from vaelab.data import Batches, Data, load
from vaelab.recipes import deep_ladder, ladder
from vaelab.recipes.design import Design
from vaelab.recipes.registry import RECIPES, Recipe
from vaelab.training.start import start

FACTOR = 2.0
"""Largest first distortion, in nats of the marginal model, which the same rows are scored by."""

NATS_A_LATENT = 6.0
"""Largest first rate of a latent dimension; heavy tails take the most."""

SETS = ("ink", "colour", "table", "counts")


@cache
def data(name: str) -> Data:
    noise = np.random.default_rng(3)

    def blobs(channels: int, height: int, width: int) -> np.ndarray:
        rows, columns = np.mgrid[:height, :width]
        centres, radii = noise.uniform(2, 9, (120, 2)), noise.uniform(1, 3, 120)
        far = [(rows - y) ** 2 + (columns - x) ** 2 for y, x in centres]
        grey = np.exp(-np.stack(far) / (2 * radii[:, None, None] ** 2))
        return (255 * grey[..., None] * noise.uniform(0.3, 1, (120, 1, 1, channels))).astype("u1")

    sets: dict[str, Callable[[], np.ndarray]] = {
        "ink": lambda: np.where(blobs(1, 12, 9) > 60, 255, 0).astype("u1"),
        "colour": lambda: blobs(3, 14, 11),
        # Heavy tails, other units, and a constant column.
        "table": lambda: np.stack(
            [50 + 9 * noise.normal(size=120), noise.standard_t(4, 120), np.full(120, 3.0)], 1
        ).astype("f4"),
        "counts": lambda: noise.negative_binomial(0.5, 0.02, (120, 6)).astype("i4"),
    }
    return load(sets[name]())


def first_nats(recipe: Recipe, name: str) -> tuple[float, float, float, int]:
    """Distortion of a first batch, that of the marginal, the rate, and the latent dimensions."""
    train = Batches(data(name).train.x, recipe.data)
    start(recipe.model, train)
    x = next(train.fixed(32, 0))
    likelihood = recipe.model.generator.likelihood
    with torch.no_grad():
        h = likelihood.marginal(torch.cat(list(train.fixed(32, 0))))
        marginal = float(-likelihood(h.expand(len(x), *h.shape)).log_prob(x).mean())
        torch.manual_seed(0)
        trace = recipe.model(x, recipe.objective.samples)
        assert torch.isfinite(recipe.objective(trace, x).total).all()
        distortion = float(-trace.log_likelihood(x).mean())
        rate = float(trace.rate()[0].mean()) if trace.has_rate else 0.0
    return distortion, marginal, rate, trace.units.shape[1]


def check(recipe: Recipe, name: str) -> None:
    distortion, marginal, rate, latents = first_nats(recipe, name)
    # A density may have few nats, or less than none: then a nat a number is the scale.
    scale = max(abs(marginal), recipe.data.dims)
    assert distortion - marginal < (FACTOR - 1) * scale, (distortion, marginal)
    assert rate < NATS_A_LATENT * latents or latents == 0, (rate, latents)


def builds(name: str) -> list[tuple[str, Recipe]]:
    """Every design that the recipe accepts."""
    made = []
    for which in SETS:
        for net in ("mlp", "conv", "resconv"):
            for width in (8, 32):
                try:
                    design = Design(net=net, width=width)  # type: ignore[arg-type]
                    made.append((which, RECIPES[name](data(which).spec, design=design)))
                except ValueError:
                    assert net != "mlp" or name in ("deep_ladder", "ms_ssim", "vamp", "vae_gan")
    return made


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_first_loss_is_at_the_scale_of_the_data(name: str) -> None:
    made = builds(name)
    assert len(made) >= 8
    for which, recipe in made:
        check(recipe, which)


@pytest.mark.parametrize("layers", [(1,), (1, 2), (5, 5, 5), (2, 0, 2, 1)], ids=str)
@pytest.mark.parametrize("width", [2, 128])
def test_first_loss_of_deep_ladders(layers: tuple[int, ...], width: int) -> None:
    for which in ("ink", "colour"):
        recipe = deep_ladder(data(which).spec, layers=layers, design=Design(width=width))
        check(recipe, which)


@pytest.mark.parametrize("levels", [1, 8])
def test_first_loss_of_ladders(levels: int) -> None:
    check(ladder(data("table").spec, levels=levels), "table")


@pytest.mark.parametrize(
    ("likelihood", "which"),
    [
        *((name, "colour") for name in ("categorical", "logistic-mixture", "gaussian", "laplace")),
        *((name, "colour") for name in ("student", "continuous-bernoulli", "bernoulli")),
        *((name, "colour") for name in ("gaussian-heteroscedastic", "gaussian-fixed")),
        *((name, "table") for name in ("student", "laplace", "gaussian-heteroscedastic")),
        *((name, "counts") for name in ("poisson", "zero-inflated", "gaussian")),
    ],
)
def test_first_loss_of_likelihoods(likelihood: str, which: str) -> None:
    for net in ("mlp", "conv") if which == "colour" else ("mlp",):
        design = Design(net=net, width=32, likelihood=likelihood)  # type: ignore[arg-type]
        check(RECIPES["vae"](data(which).spec, design=design), which)


def test_seeds_decide_initial_weights() -> None:
    def weights(seed: int) -> torch.Tensor:
        recipe = RECIPES["vae"](data("ink").spec, design=Design(seed=seed, width=8))
        start(recipe.model, Batches(data("ink").train.x, recipe.data))
        return torch.nn.utils.parameters_to_vector(recipe.model.parameters())

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_trained_models_do_not_start_again() -> None:
    recipe = RECIPES["vae"](data("ink").spec, design=Design(width=8))
    train = Batches(data("ink").train.x, recipe.data)
    recipe.model.generator.decoder.net[-1].bias.data.fill_(0.5)
    start(recipe.model, train)
    assert (recipe.model.generator.decoder.net[-1].bias == 0.5).all()
