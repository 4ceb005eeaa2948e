"""N models trained as one: each takes the step it would have taken alone."""

from __future__ import annotations

import dataclasses
import inspect
import math
import statistics
from typing import Any

import pytest
import torch
from torch import Tensor

import vaelab.recipes  # noqa: F401  (its functions register themselves)
from vaelab.data import Batch, Data, load
from vaelab.recipes.design import Design
from vaelab.recipes.registry import RECIPES, Recipe, find
from vaelab.training import Fit, NotFinite, Plan, Row, Snapshot, fit
from vaelab.training.population import fit_population
from vaelab.training.stack import Stack, unstackable
from vaelab.training.step import Step

SHORT = Plan(epochs=3, batch_size=100, precision="fp32", compile="off")

SPEC = load("digits8x8").spec
BUILT = {name: find(name)(SPEC, design=Design(width=4)) for name in RECIPES}
TOGETHER = [name for name, r in BUILT.items() if unstackable(r.model, r.objective, Plan()) is None]
"""Recipes without a critic and without state that settles between steps."""

# Every one of them on perceptrons, and the convolutional networks under one of each kind of
# posterior; not the sphere, whose draws are accepted or not by noise that cannot be planted.
CASES = [(name, "mlp") for name in TOGETHER if name != "hyperspherical"]
CASES += [(name, net) for name in ("vae", "ae", "iwae") for net in ("conv", "resconv")]

CLIPS = {"active": 0.5, "inactive": 1e9}


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise that is a function of the mean it is added to: each member's own, alone or not."""

    def noise(mean: Tensor) -> Tensor:
        places = torch.arange(mean.numel(), dtype=mean.dtype).view(mean.shape)
        return 1.4 * torch.sin(1.7 * places + mean.detach().sum())

    def share(mean: Tensor) -> Tensor:
        return 0.5 + 0.3 * noise(mean)

    monkeypatch.setattr(torch, "randn_like", noise)
    monkeypatch.setattr(torch, "rand_like", share)


def make(data: Data, name: str = "vae", seed: int = 0, net: str = "mlp", **given: Any) -> Recipe:
    width = 16 if net == "mlp" else 4
    design = Design(seed=seed, width=width, net=net)  # type: ignore[arg-type]
    if "latent" in inspect.signature(find(name)).parameters:
        given = {"latent": 3} | given
    return find(name)(data.spec, design=design, **given)


def raise_all(
    recipes: list[Recipe], data: Data, plans: list[Plan], listeners: Any = ()
) -> list[Fit | NotFinite]:
    models, objectives = [r.model for r in recipes], [r.objective for r in recipes]
    return fit_population(models, objectives, data, recipes[0].data, plans, listeners)


def weights(recipe: Recipe) -> dict[str, Tensor]:
    return {key: t.clone() for key, t in recipe.model.state_dict().items()}


def timeless(row: Row) -> Row:
    return {key: v for key, v in row.items() if key not in ("seconds", "images_per_s")}


def ended(results: list[Fit | NotFinite]) -> list[Fit]:
    assert all(isinstance(result, Fit) for result in results)
    return [result for result in results if isinstance(result, Fit)]


# One step.


@pytest.mark.usefixtures("planted")
@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize(("name", "net"), CASES)
def test_a_step_of_each_is_the_step_of_that_model_alone(
    few: Data, name: str, net: str, clip: str
) -> None:
    """Other weights, learning rates, decays and, where the recipe has one, values of β."""
    betas = [{"beta": b} if name == "beta_vae" else {} for b in (0.5, 4.0, 4.0)]
    recipes = [make(few, name, seed, net, **betas[seed]) for seed in range(3)]
    plans = [
        dataclasses.replace(SHORT, lr=lr, weight_decay=decay, clip=CLIPS[clip] * (1 + i))
        for i, (lr, decay) in enumerate([(1e-2, 0.01), (1e-2, 0.01), (3e-3, 0.3)])
    ]
    models = [recipe.model.double() for recipe in recipes]
    x = [recipes[0].data.prepare(few.train.x[i : i + 20]).double() for i in (0, 20)]
    x = [(part > 0.5).double() if recipes[0].data.binarize != "no" else part for part in x]

    stack = Stack(models, [r.objective for r in recipes], plans)
    assert [team.span.stop for team in stack.teams] == [2, 3]
    together = [stack.step(Batch(part)) for part in x]

    for i, (recipe, plan) in enumerate(zip(recipes, plans, strict=True)):
        before = weights(recipe)
        step = Step(recipe.model, recipe.objective, plan)
        for part, found in zip(x, together, strict=True):
            step.sums.clear()
            step(Batch(part))
            for key, nats in step.sums.means(1).items():
                assert float(found[key][i]) == pytest.approx(nats, rel=1e-9, abs=1e-9)
        ours = stack.snapshot(i, stack.parameters)
        for key, t in weights(recipe).items():
            torch.testing.assert_close(ours.weights[key], t, rtol=1e-7, atol=1e-9)
        moved = [not torch.equal(t, before[key]) for key, t in weights(recipe).items()]
        assert any(moved)
        for moment, value in step.learner.optimizer.tensors().items():
            torch.testing.assert_close(ours.optimizer[moment], value)


def test_each_has_noise_of_its_own(few: Data) -> None:
    x = make(few).data.prepare(few.train.x[:50])
    for name, alike in (("ae", True), ("vae", False)):
        twins = [make(few, name), make(few, name)]
        stack = Stack([r.model for r in twins], [r.objective for r in twins], [SHORT, SHORT])
        loss = stack.step(Batch(x))["loss"]
        assert (loss[0] == loss[1]) == alike


def test_to_look_at_one_takes_no_noise_from_the_others(few: Data) -> None:
    recipes = [make(few, seed=i) for i in range(2)]
    x = Batch(recipes[0].data.prepare(few.train.x[:50]))
    stack = Stack([r.model for r in recipes], [r.objective for r in recipes], [SHORT, SHORT])
    stack.step(x)
    state = torch.get_rng_state()
    stack.diagnose(1, x)
    assert torch.equal(torch.get_rng_state(), state)


# Whole runs.


def test_a_population_without_noise_is_its_members_one_by_one(few: Data) -> None:
    """The same batches, so the same history, best weights and optimizer state, averages too."""
    for plan in (SHORT, dataclasses.replace(SHORT, ema=0.9)):
        plans = [dataclasses.replace(plan, lr=lr) for lr in (1e-2, 3e-3, 3e-2)]
        recipes = [make(few, "ae", seed) for seed in range(3)]
        alone = [make(few, "ae", seed) for seed in range(3)]
        found = ended(raise_all(recipes, few, plans))
        for one, recipe, ours, own in zip(alone, recipes, found, plans, strict=True):
            theirs = fit(one.model, one.objective, few, one.data, own)
            assert ours.best_epoch == theirs.best_epoch
            assert ours.ending == theirs.ending == "finished"
            for a, b in zip(ours.history, theirs.history, strict=True):
                assert list(a) == list(b)
                assert timeless(a) == pytest.approx(timeless(b), rel=2e-3)
            for key, t in weights(one).items():
                torch.testing.assert_close(weights(recipe)[key], t, rtol=1e-2, atol=1e-3)
            assert ours.optimizer.keys() == theirs.optimizer.keys()
            assert not recipe.model.training


def test_learning_curves_agree_with_those_of_members_alone_within_seed_spread(few: Data) -> None:
    plan = dataclasses.replace(SHORT, epochs=8, lr=1e-2)
    plans = [dataclasses.replace(plan, seed=seed) for seed in range(6)]
    found = ended(raise_all([make(few, seed=i) for i in range(6)], few, plans))
    alone = []
    for seed, own in enumerate(plans):
        recipe = make(few, seed=seed)
        alone.append(fit(recipe.model, recipe.objective, few, recipe.data, own))
    for name in ("loss", "rate", "distortion", "valid_loss", "valid_rate", "valid_distortion"):
        for epoch in range(plan.epochs or 0):
            ours, theirs = ([f.history[epoch][name] for f in fits] for fits in (found, alone))
            # All members share one order and one binarization: a single draw of what differs
            # between those alone, as well as their six.
            spread_ours, spread_theirs = statistics.stdev(ours), statistics.stdev(theirs)
            spread = math.hypot(spread_ours / math.sqrt(6), spread_theirs * math.sqrt(1 + 1 / 6))
            assert abs(statistics.mean(ours) - statistics.mean(theirs)) < 3 * spread + 1e-3
    assert found[0].history[-1]["valid_loss"] < found[0].history[0]["valid_loss"]


def test_the_price_of_a_nat_differs_from_member_to_member(few: Data) -> None:
    plan = dataclasses.replace(SHORT, epochs=40, lr=1e-2)
    recipes = [make(few, "beta_vae", beta=beta) for beta in (0.1, 1.0, 10.0)]
    rates = [f.history[-1]["rate"] for f in ended(raise_all(recipes, few, [plan] * 3))]
    assert rates[0] - 1 > rates[1] > rates[2] + 0.3


def test_one_alone_is_a_population_too(few: Data) -> None:
    (found,) = ended(raise_all([make(few)], few, [SHORT]))
    assert len(found.history) == 3


def test_bf16_and_fp32_agree_within_rounding(few: Data) -> None:
    last = []
    for precision in ("fp32", "bf16"):
        plan = dataclasses.replace(SHORT, precision=precision)
        found = ended(raise_all([make(few, seed=i) for i in range(2)], few, [plan] * 2))
        last.append([f.history[-1]["valid_loss"] for f in found])
    assert last[0] == pytest.approx(last[1], rel=0.03)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_compiled_and_not_agree_within_rounding(few: Data) -> None:
    last = []
    for choice in ("off", "on"):
        plan = dataclasses.replace(SHORT, compile=choice)
        found = ended(raise_all([make(few, "ae", seed=i) for i in range(2)], few, [plan] * 2))
        last.append([f.history[-1]["valid_loss"] for f in found])
    assert last[0] == pytest.approx(last[1], rel=1e-3)


# What does not go to plan.


class Watcher:
    """Keeps what it is told; raises at an epoch if asked to."""

    def __init__(self, stop_at: int = 0) -> None:
        self.steps: list[int] = []
        self.rows: list[Row] = []
        self.bests: list[Snapshot | None] = []
        self.stop_at = stop_at

    def on_step(self, step: int, steps: int, row: Row) -> None:
        assert set(row) >= {"loss", "rate", "distortion"}
        self.steps.append(step)

    def on_epoch(self, row: Row, best: Snapshot | None) -> None:
        self.rows.append(row)
        self.bests.append(best)
        if row["epoch"] == self.stop_at:
            raise KeyboardInterrupt


def test_each_listener_is_told_of_its_own_member(few: Data) -> None:
    recipes, watchers = [make(few, seed=i) for i in range(2)], [Watcher(), Watcher()]
    found = ended(raise_all(recipes, few, [SHORT] * 2, watchers))
    for recipe, result, watcher in zip(recipes, found, watchers, strict=True):
        assert watcher.steps
        assert watcher.rows == result.history
        best = watcher.bests[result.best_epoch - 1]
        assert best is not None
        assert all(torch.equal(t, best.weights[key]) for key, t in weights(recipe).items())
    assert watchers[0].rows != watchers[1].rows


def test_an_interrupt_ends_all_with_their_best(few: Data) -> None:
    recipes, watchers = [make(few, seed=i) for i in range(2)], [Watcher(), Watcher(stop_at=2)]
    found = ended(raise_all(recipes, few, [SHORT] * 2, watchers))
    assert [f.ending for f in found] == ["interrupted"] * 2
    assert [len(f.history) for f in found] == [2, 2]
    assert all(f.best_epoch > 0 for f in found)
    assert not any(r.model.training for r in recipes)


def test_a_member_that_breaks_down_does_not_hold_up_the_others(few: Data) -> None:
    plans = [dataclasses.replace(SHORT, lr=lr) for lr in (1e-2, 1e30, 1e-2)]
    recipes, others = [make(few, "ae", i) for i in range(3)], [make(few, "ae", i) for i in (0, 2)]
    first, broken, third = raise_all(recipes, few, plans)
    expected = raise_all(others, few, [plans[0], plans[2]])
    assert isinstance(broken, NotFinite)
    for part in ("values that are not finite", "at step", "(epoch 1, batch", "smaller --lr"):
        assert part in str(broken)
    for recipe, other in zip((recipes[0], recipes[2]), others, strict=True):
        for key, t in weights(other).items():
            torch.testing.assert_close(weights(recipe)[key], t)
    assert [len(f.history) for f in ended([first, third, *expected])] == [3] * 4


def test_a_member_whose_patience_runs_out_leaves_the_others(few: Data) -> None:
    """A learning rate of nothing gets no better after the first epoch."""
    plans = [dataclasses.replace(SHORT, epochs=5, lr=lr, patience=2) for lr in (1e-30, 1e-2)]
    still, moving = ended(raise_all([make(few, "ae"), make(few, "ae")], few, plans))
    assert (still.ending, len(still.history), still.best_epoch) == ("early", 3, 1)
    assert (moving.ending, len(moving.history)) == ("finished", 5)


@pytest.mark.parametrize(
    ("first", "second", "plan", "message"),
    [
        ({}, {"net": "conv"}, {}, "MLPEncoder in one and ConvEncoder in another"),
        ({"name": "ae"}, {"name": "vae"}, {}, "out_features is 3 in one and 6 in another"),
        ({"name": "kl_only"}, {"name": "vae"}, {}, "objective is Rate in one and Sum in another"),
        (
            {"name": "iwae", "samples": 2},
            {"name": "iwae", "samples": 3},
            {},
            "objective.samples is 2 in one and 3 in another",
        ),
        ({"name": "ladder"}, {"name": "ladder", "levels": 3}, {}, "encoder.stages.2 is"),
        ({}, {}, {"batch_size": 7}, "plan.batch_size is 100 in one and 7 in another"),
    ],
)
def test_what_cannot_be_trained_as_one_is_refused_with_the_reason(
    few: Data, first: dict[str, Any], second: dict[str, Any], plan: dict[str, Any], message: str
) -> None:
    recipes = [make(few, **first), make(few, **second)]
    with pytest.raises(ValueError, match="models 1 and 2 cannot be trained as one") as error:
        raise_all(recipes, few, [SHORT, dataclasses.replace(SHORT, **plan)])
    assert message in str(error.value)


def test_as_many_of_each_are_needed(few: Data) -> None:
    recipe = make(few)
    with pytest.raises(ValueError, match="got 1 models, 1 objectives, 2 plans"):
        raise_all([recipe], few, [SHORT] * 2)
    with pytest.raises(ValueError, match="got 0 models"):
        fit_population([], [], few, recipe.data, [])
