"""The loop: the same numbers from the same seed, the right weights at the end, honest figures."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from fits import SHORT, Watcher, make, same, timeless, train, weights
from torch import Tensor, nn

import vaelab.recipes  # noqa: F401  (its functions register themselves)
from vaelab.core import VAE, Conditional, Ladder
from vaelab.data import Batches, Data, Split
from vaelab.distributions import Distribution
from vaelab.metrics.layer import layers
from vaelab.objectives import Distortion, Rate
from vaelab.parts.discrete import Blank, Independent
from vaelab.parts.likelihoods import FixedGaussian
from vaelab.parts.posteriors import DiagonalNormal
from vaelab.parts.priors import Standard
from vaelab.parts.quantize import LearnedCodebook
from vaelab.recipes.design import Design
from vaelab.recipes.registry import find
from vaelab.training import Plan, Row, Snapshot, fit
from vaelab.training.adamw import AdamW
from vaelab.training.average import Average
from vaelab.training.fit import evaluate_epoch, learning_rate
from vaelab.training.record import Moments, Sums
from vaelab.training.start import start


@pytest.mark.parametrize("name", ["vae", "iwae", "ladder", "ae"])
def test_the_same_seed_gives_the_same_numbers_bit_for_bit(few: Data, name: str) -> None:
    first, one = train(few, name=name)
    torch.manual_seed(99)  # whatever the caller's state is
    second, two = train(few, name=name)
    assert timeless(one.history) == timeless(two.history)
    assert same(weights(first), weights(second))
    assert same(one.optimizer, two.optimizer)


def test_another_seed_gives_others(few: Data) -> None:
    first, one = train(few)
    second, two = train(few, dataclasses.replace(SHORT, seed=1))
    assert one.history[0]["loss"] != two.history[0]["loss"]
    assert not same(weights(first), weights(second))


def test_the_callers_random_state_is_left_alone(few: Data) -> None:
    recipe = make(few)
    before = torch.get_rng_state()
    fit(recipe.model, recipe.objective, few, recipe.data, SHORT)
    assert torch.equal(before, torch.get_rng_state())


def test_what_a_row_of_history_holds(few: Data) -> None:
    recipe, found = train(few)
    parts = ("loss", "distortion", "rate")
    assert list(found.history[0]) == [
        "epoch",
        *parts,
        *(f"valid_{part}" for part in parts),
        "active_units",
        "lr",
        "images_per_s",
        "seconds",
    ]
    assert [row["epoch"] for row in found.history] == [1, 2, 3]
    for row in found.history:
        assert row["loss"] == pytest.approx(row["distortion"] + row["rate"], rel=1e-5)
        assert all(math.isfinite(value) for value in row.values())
    assert found.ending == "finished"
    assert not recipe.model.training
    assert found.optimizer.keys() >= {"0.exp_avg", "0.exp_avg_sq", "0.step"}


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("ae", {"loss", "distortion"}),
        ("kl_only", {"loss", "rate", "distortion"}),
        ("reconstruction_only", {"loss", "distortion", "rate"}),
        ("iwae", {"loss", "importance_weighted", "distortion", "rate"}),
    ],
)
def test_rate_and_distortion_are_told_whatever_the_objective(
    few: Data, name: str, parts: set[str]
) -> None:
    _, found = train(few, dataclasses.replace(SHORT, epochs=1), name=name)
    others = {"epoch", "active_units", "lr", "images_per_s", "seconds"}
    assert set(found.history[0]) == parts | {f"valid_{part}" for part in parts} | others


@pytest.mark.parametrize("name", ["ladder", "joint"])
def test_of_several_layers_the_rate_of_each_is_told_as_an_evaluation_tells_it(
    few: Data, name: str
) -> None:
    recipe, found = train(few, dataclasses.replace(SHORT, epochs=1), name=name)
    (row,) = found.history
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(SHORT.seed + 1)
        valid = Batches(few.valid.x, recipe.data).fixed(1024, SHORT.seed)
        expected = [layer.rate.value for layer in layers(recipe.model, valid)]
    told = [row[f"valid_rate_layer_{number}"] for number in range(1, len(expected) + 1)]
    assert told == pytest.approx(expected, rel=1e-5)
    assert sum(told) == pytest.approx(row["valid_rate"], rel=1e-5)
    assert f"rate_layer_{len(expected) + 1}" not in row


class Codes(Conditional):
    """Two positions of a codebook: the prior of nothing, the posterior of what was encoded."""

    def __init__(self, book: LearnedCodebook) -> None:
        super().__init__()
        self.book = book

    def forward(self, *given: Tensor) -> Distribution:
        return self.book.quantize(given[0].unflatten(1, (2, 3))) if given else self.book.prior(2)


def test_what_is_in_use_is_told_of_each_layer_in_its_own_way(few: Data) -> None:
    """One layer's units and the other's codes: neither counts among the other."""
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 2 * 2 + 6))
    book = LearnedCodebook(4, 3)
    with torch.no_grad():
        book.usage.copy_(torch.tensor([0.5, 0.5, 0.0, 0.0]))
    coded = Independent(Codes(book), Codes(book), 4, 10)  # type: ignore[arg-type]
    blocks = [Independent(Standard(2), DiagonalNormal(), 0, 4), coded]
    decoder = nn.Sequential(nn.Linear(2 + 6, 64), nn.Unflatten(1, (1, 8, 8)))
    model = VAE(encoder, Ladder(Blank(0), blocks, decoder, FixedGaussian()))
    valid = Batches(few.valid.x, few.spec)
    row = evaluate_epoch(model, Distortion() + Rate(), valid, SHORT, False)
    assert row["active_units"] <= 2
    assert row["perplexity"] == pytest.approx(2.0)
    assert row["valid_rate_layer_2"] == pytest.approx(2 * math.log(4), rel=1e-5)


def test_an_epochs_loss_is_the_mean_over_examples_not_over_batches(few: Data) -> None:
    """With a step too small to change the model, it is the loss of the whole set."""
    recipe = make(few, "ae", likelihood="gaussian")
    plan = Plan(epochs=1, batch_size=100, lr=1e-30, weight_decay=0.0, precision="fp32")
    x = recipe.data.prepare(few.train.x)
    start(recipe.model, Batches(few.train.x, recipe.data))
    with torch.no_grad():
        losses = recipe.objective(recipe.model(x), x).total.double()
    found = fit(recipe.model, recipe.objective, few, recipe.data, plan)
    assert found.history[0]["loss"] == pytest.approx(float(losses.mean()), rel=1e-6)
    # A set whose last row is apart, alone in the last batch: means of batches would weigh it more.
    apart = Split(torch.cat([few.train.x[:100], torch.full_like(few.train.x[:1], 16)]), None)
    for size in (100, 7):
        recipe = make(few, "ae", likelihood="gaussian")
        x = recipe.data.prepare(apart.x)
        start(recipe.model, Batches(apart.x, recipe.data))
        with torch.no_grad():
            expected = float(recipe.objective(recipe.model(x), x).total.double().mean())
        smaller = dataclasses.replace(plan, batch_size=size)
        uneven = dataclasses.replace(few, train=apart)
        found = fit(recipe.model, recipe.objective, uneven, recipe.data, smaller)
        assert found.history[0]["loss"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["vae", "iwae"])
def test_validation_figures_do_not_depend_on_the_batch_size(few: Data, name: str) -> None:
    recipe = make(few, name)
    valid = Batches(few.valid.x, recipe.data)
    rows = [
        evaluate_epoch(recipe.model, recipe.objective, valid, Plan(batch_size=size), False)
        for size in (1, 64, 1000)
    ]
    assert rows[0] == rows[1] == rows[2]
    assert recipe.model.training  # and training goes on


def test_validation_is_weighed_as_training_is(digits: Data) -> None:
    """The same rows under the same weights give the same loss, whichever split they are."""
    twins = dataclasses.replace(digits, train=digits.valid)
    design = Design(width=16, likelihood="gaussian-fixed")
    recipe = find("beta_vae")(digits.spec, latent=3, beta=7.0, design=design)
    plan = Plan(epochs=1, batch_size=50, lr=1e-30, weight_decay=0.0, precision="fp32")
    row = fit(recipe.model, recipe.objective, twins, recipe.data, plan).history[0]
    assert row["rate"] == pytest.approx(row["valid_rate"], rel=1e-5)
    assert row["loss"] == pytest.approx(row["valid_loss"], rel=0.01)
    assert row["valid_loss"] == pytest.approx(
        row["valid_distortion"] + 7 * row["valid_rate"], rel=1e-5
    )


def test_the_best_epochs_weights_are_kept_with_their_own_optimizer(few: Data) -> None:
    kept: list[tuple[int, Snapshot]] = []

    def remember(row: Row, best: Snapshot | None) -> None:
        if best is not None:
            kept.append((int(row["epoch"]), best))

    # So few rows that they are learned by heart, and validation gets worse again.
    few = dataclasses.replace(few, train=Split(few.train.x[:20], None))
    plan = Plan(epochs=200, batch_size=8, lr=0.02, precision="fp32")
    recipe, found = train(few, plan, Watcher(remember), name="ae")
    losses = [row["valid_loss"] for row in found.history]
    assert found.best_epoch == 1 + losses.index(min(losses))
    assert found.best_epoch == kept[-1][0]
    assert min(losses) < losses[-1]  # or the test shows nothing
    assert same(weights(recipe), kept[-1][1].weights)
    assert same(found.optimizer, kept[-1][1].optimizer)
    steps_then = found.best_epoch * math.ceil(20 / 8)
    assert float(found.optimizer["0.step"]) == steps_then
    # And the weights are those that were judged.
    valid = Batches(few.valid.x, recipe.data)
    again = evaluate_epoch(recipe.model, recipe.objective, valid, plan, False)
    assert again["valid_loss"] == min(losses)


def test_early_stopping(few: Data) -> None:
    plan = Plan(epochs=50, batch_size=100, lr=1e-30, weight_decay=0.0, patience=2)
    _, found = train(few, plan)
    assert found.ending == "early"
    assert found.best_epoch == 1
    assert len(found.history) == 3


def test_averaged_weights_are_the_ones_judged_and_kept(few: Data) -> None:
    """Against an average kept by hand."""
    decay, shadow = 0.9, dict[str, Tensor]()
    recipe = make(few, "ae")
    names = dict(recipe.model.named_parameters())
    real = AdamW.step

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = real(self, *args, **kwargs)
        for key, p in names.items():
            value = p.detach().clone()
            shadow[key] = decay * shadow[key] + (1 - decay) * value if key in shadow else value
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AdamW, "step", watched)
        plan = dataclasses.replace(SHORT, ema=decay)
        found = fit(recipe.model, recipe.objective, few, recipe.data, plan)
    assert found.best_epoch == 3  # else the shadow below is of another epoch
    for key, p in recipe.model.named_parameters():
        torch.testing.assert_close(p.detach(), shadow[key], rtol=1e-4, atol=1e-6)
    valid = Batches(few.valid.x, recipe.data)
    again = evaluate_epoch(recipe.model, recipe.objective, valid, SHORT, False)
    assert again["valid_loss"] == found.history[-1]["valid_loss"]
    plain, _ = train(few, name="ae")
    assert not same(weights(recipe), weights(plain))


def test_what_is_judged_of_averaged_weights_is_the_model_that_is_kept(few: Data) -> None:
    """An objective that refers to the model meets the averages in it."""
    recipe = find("vae_gan")(few.spec, design=Design(width=16))
    plan = dataclasses.replace(SHORT, ema=0.9)
    found = fit(recipe.model, recipe.objective, few, recipe.data, plan)
    valid = Batches(few.valid.x, recipe.data)
    again = evaluate_epoch(recipe.model, recipe.objective, valid, plan, False)
    row = found.history[found.best_epoch - 1]
    assert again == pytest.approx({key: row[key] for key in again}, rel=1e-5)


def test_an_average_of_what_counts_is_what_it_counts_now() -> None:
    now = {"w": torch.zeros(3), "steps": torch.tensor([200, 25, 5, 1])}
    average = Average(now, 0.9995)
    for _ in range(5):
        now["w"].add_(1.0)
        now["steps"].add_(1)
        average.update()
    assert average.tensors["steps"].tolist() == [205, 30, 10, 6]
    expected = torch.ones(3)
    for w in (2.0, 3.0, 4.0, 5.0):
        expected = 0.9995 * expected + 0.0005 * w
    torch.testing.assert_close(average.tensors["w"], expected)
    with average.in_place():
        torch.testing.assert_close(now["w"], expected)
    assert now["w"].tolist() == [5.0] * 3
    torch.testing.assert_close(average.tensors["w"], expected)


def test_the_rate_a_step_uses_is_the_schedules(few: Data) -> None:
    used: list[float] = []
    real = AdamW.step

    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        used.append(self.lr)
        return real(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AdamW, "step", watched)
        train(few, Plan(epochs=3, batch_size=100, lr=0.01, warmup_share=0.5))
    assert used == pytest.approx([0.01 * learning_rate(step, 12, 0.5, 0.5) for step in range(12)])
    assert max(used) == pytest.approx(0.01)


def test_half_precision_comes_close(few: Data) -> None:
    losses = {}
    for precision in ("fp32", "bf16"):
        for name in ("vae", "ladder"):
            plan = dataclasses.replace(SHORT, precision=precision)
            recipe, found = train(few, plan, name=name)
            losses[precision, name] = found.history[-1]["valid_loss"]
            assert all(t.dtype == torch.float32 for t in weights(recipe).values())
    for name in ("vae", "ladder"):
        exact = losses["fp32", name]
        assert losses["bf16", name] == pytest.approx(exact, rel=0.01)
        assert losses["bf16", name] != exact  # or it was not in use


def test_moments_and_sums_do_not_depend_on_the_batches() -> None:
    x = torch.randn(1000, 4) + 100
    exact = x.double().var(0, unbiased=False)
    for size in (1, 7, 1000):
        moments, sums = Moments(), Sums()
        for rows in x.split(size):
            moments.add(rows)
            sums.add({"loss": rows.sum()})
        torch.testing.assert_close(moments.variance, exact, rtol=1e-8, atol=1e-8)
        assert sums.means(1000)["loss"] == pytest.approx(float(x.double().sum()) / 1000, rel=1e-6)


def test_active_units_count_what_varies(few: Data) -> None:
    recipe = make(few, "vae")
    with torch.no_grad():  # the mean of z₀ follows the data, the others are still
        last = recipe.model.encoder.net[-1]
        last.weight[1:].zero_()
        last.weight[0] *= 100
    valid = Batches(few.valid.x, recipe.data)
    assert evaluate_epoch(recipe.model, recipe.objective, valid, SHORT, False)["active_units"] == 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_compiling_changes_figures_by_rounding_only(few: Data) -> None:
    eager, compiled = (
        train(few, dataclasses.replace(SHORT, compile=choice))[1].history
        for choice in ("off", "on")
    )
    for a, b in zip(timeless(eager), timeless(compiled), strict=True):
        assert a == pytest.approx(b, rel=1e-4)
