"""A step: what it refuses, and what it does beside the gradient: schedules, critics, state."""

from __future__ import annotations

import copy
import dataclasses
import math

import pytest
import torch
from fits import make, same, weights
from torch import Tensor, nn

import vaelab.recipes  # noqa: F401  (its functions register themselves)
from vaelab.core import Trace
from vaelab.data import Batch, Data
from vaelab.objectives import Cycles, Distortion, Loss, Objective, Rate, Rise, Schedule
from vaelab.recipes.design import Design
from vaelab.recipes.registry import Recipe, find
from vaelab.training import NotFinite, Plan, fit, fit_population
from vaelab.training.learner import Learner, norm_of
from vaelab.training.record import Sums
from vaelab.training.step import Step

SHORT = Plan(epochs=2, batch_size=100, precision="fp32", compile="off")


class Opposed(Objective):
    """Codes are to please a critic, who is to tell them from draws of the prior."""

    batch_coupled, monitorable = True, False

    def __init__(self) -> None:
        super().__init__()
        self.critic = nn.Linear(3, 1)

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        nats = nn.functional.softplus(-self.critic(trace.latents[0]))[:, 0]
        return Loss(nats, {"pleasing": nats})

    def critic_loss(self, trace: Trace, x: Tensor) -> Loss:
        z = trace.latents[0].detach() + 3.0  # moved aside, so that there is something to tell
        prior = trace.sites[0].prior.sample()
        nats = (
            nn.functional.softplus(self.critic(z)) + nn.functional.softplus(-self.critic(prior))
        )[:, 0]
        return Loss(nats, {"critic": nats})


class Counting(Objective):
    """Counts the steps that were taken, and what gradients there were to see."""

    steps: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        nats = torch.zeros(len(x), device=x.device)
        return Loss(nats, {"nothing": nats})

    def update_buffers(self, trace: Trace, x: Tensor) -> None:
        assert not torch.is_grad_enabled()
        self.steps.add_(1)


def state(module: nn.Module) -> dict[str, Tensor]:
    return {key: t.clone() for key, t in module.state_dict().items()}


def moved(before: dict[str, Tensor], module: nn.Module) -> bool:
    return any(not torch.equal(t, before[key]) for key, t in module.state_dict().items())


def stepper(recipe: Recipe, lr: float = 1e-3, clip: float = 100.0) -> Step:
    return Step(recipe.model, recipe.objective, Plan(lr=lr, clip=clip), bf16=False)


@pytest.mark.parametrize(
    ("where", "named"),
    [
        ("generator.decoder.net.0.bias", "parameter generator.decoder.net.0.bias has 1 of 16"),
        ("encoder.net.4.weight", "parameter encoder.net.4.weight has 1 of 96"),
    ],
)
def test_weights_are_untouched_at_a_step_that_is_not_finite(
    few: Data, where: str, named: str
) -> None:
    recipe = make(few)
    x = recipe.data.prepare(few.train.x[:10])
    step = stepper(recipe)
    step(Batch(x))
    with torch.no_grad():
        recipe.model.get_parameter(where).view(-1)[0] = math.inf
    before = weights(recipe)
    with pytest.raises(NotFinite, match=named):
        step(Batch(x))
    assert same(weights(recipe), before)


def test_a_gradient_alone_that_is_not_finite_is_named(few: Data) -> None:
    recipe = make(few)
    x = recipe.data.prepare(few.train.x[:10])
    where = "generator.decoder.net.2.weight"
    recipe.model.get_parameter(where).register_hook(lambda g: g * math.nan)
    before = weights(recipe)
    with pytest.raises(NotFinite, match=f"gradient of {where} has 256 of 256"):
        stepper(recipe)(Batch(x))
    assert same(weights(recipe), before)


def test_gradients_are_clipped_to_a_norm(few: Data) -> None:
    recipe = make(few)
    x = recipe.data.prepare(few.train.x[:10])
    step = stepper(recipe, clip=0.5)
    step(Batch(x))
    first_moments = torch.stack([m.norm() for m in step.learner.optimizer.m])
    assert float(first_moments.norm() / 0.1) == pytest.approx(0.5, rel=1e-4)


def test_a_step_gives_sums_of_what_the_walk_was(few: Data) -> None:
    recipe = make(few)
    x = recipe.data.prepare(few.train.x[:10])
    torch.manual_seed(5)
    loss, _ = stepper(recipe).forward(Batch(x))
    torch.manual_seed(5)
    step = stepper(recipe)
    step(Batch(x))
    assert step.sums.means(10)["loss"] == pytest.approx(float(loss.mean.detach()), rel=1e-6)
    assert not step.sums.sums.requires_grad


def test_a_critic_learns_its_own_loss_and_the_model_does_not(few: Data) -> None:
    recipe = make(few)
    objective = Distortion() + Rate() + 0.0 * Opposed()
    alone = make(few)
    plan = dataclasses.replace(SHORT, epochs=8, lr=1e-2)
    x = recipe.data.prepare(few.train.x[:64])
    opposed, plain = Step(recipe.model, objective, plan), Step(alone.model, alone.objective, plan)
    losses = []
    before = state(objective)
    for i in range(30):
        torch.manual_seed(i)
        opposed.sums.clear()
        opposed(Batch(x))
        losses.append(opposed.sums.means(1)["critic"])
        torch.manual_seed(i)
        plain(Batch(x))
    # At weight 0 the critic's loss would still move the model if it reached it.
    for a, b in zip(recipe.model.parameters(), alone.model.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    assert moved(before, objective)
    assert sum(losses[-5:]) < 0.9 * sum(losses[:5])


def test_the_model_is_moved_by_what_the_critic_says(few: Data) -> None:
    recipe, objective = make(few), Opposed()
    x = recipe.data.prepare(few.train.x[:64])
    step = Step(recipe.model, objective, SHORT)
    assert step.critic is not None
    critic, encoder = objective.critic.weight.detach().clone(), state(recipe.model.encoder)
    step.critic.optimizer.lr = 0.0
    step(Batch(x))
    assert moved(encoder, recipe.model.encoder)
    torch.testing.assert_close(objective.critic.weight.detach(), critic)


def test_against_a_critic_the_last_weights_are_kept_with_its_own(few: Data) -> None:
    recipe = make(few)
    objective = Distortion() + Rate() + 5.0 * Opposed()
    assert not objective.monitorable
    assert objective.batch_coupled
    kept = []

    class Watcher:
        def on_step(self, step: int, steps: int, row: dict[str, float]) -> None: ...

        def on_epoch(self, row: dict[str, float], best: object) -> None:
            kept.append(best)

    result = fit(recipe.model, objective, few, recipe.data, SHORT, Watcher())
    assert result.best_epoch == 2
    assert all(best is not None for best in kept)
    assert list(kept[-1].objective) == ["terms.2.term.critic.weight", "terms.2.term.critic.bias"]
    for key, t in objective.state_dict().items():
        assert torch.equal(t, kept[-1].objective[key])
    with pytest.raises(ValueError, match="leave patience out"):
        fit(recipe.model, objective, few, recipe.data, dataclasses.replace(SHORT, patience=3))


def test_state_settles_once_a_step(few: Data) -> None:
    recipe = make(few)
    counting = Counting()
    fit(recipe.model, Distortion() + Rate() + counting, few, recipe.data, SHORT)
    assert float(counting.steps) == 8  # two epochs of three batches of 100 and one of 30


class Noting(Schedule):
    """Notes what it is asked at."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[float, bool]] = []

    def forward(self) -> Tensor:
        self.seen.append((float(self.progress), torch.is_grad_enabled()))
        return self.progress


def test_a_schedule_follows_training_and_judging_is_at_its_end(few: Data) -> None:
    recipe, schedule = make(few), Noting()
    fit(recipe.model, Distortion() + schedule * Rate(), few, recipe.data, SHORT)
    training = [t for t, trains in schedule.seen if trains]
    assert training == [i / 8 for i in range(8)]
    assert {t for t, trains in schedule.seen if not trains} == {1.0}
    assert float(schedule.progress) == 1.0


def test_schedules_by_hand() -> None:
    def at(schedule: Schedule, t: float) -> float:
        schedule.progress.fill_(t)
        return float(schedule())

    rise = Rise(0.0, 4.0, warmup_fraction=0.5)
    assert [at(rise, t) for t in (0, 0.125, 0.25, 0.5, 0.9, 1)] == [0, 1, 2, 4, 4, 4]
    assert [at(Rise(5.0, 1.0, warmup_fraction=1.0), t) for t in (0, 0.5, 1)] == [5, 3, 1]
    cycles = Cycles(2.0, cycles=4, warmup_fraction=0.5)
    assert [at(cycles, t) for t in (0, 0.0625, 0.125, 0.2, 0.25, 0.3125, 1)] == [
        *(0, 1, 2, 2, 0, 1, 2),
    ]
    for wrong in (lambda: Rise(0, 1, warmup_fraction=0.0), lambda: Cycles(1.0, cycles=0)):
        with pytest.raises(ValueError, match=r"expected|share of training"):
            wrong()


def test_members_of_a_population_follow_schedules_of_their_own(few: Data) -> None:
    """As each would have followed it alone, where nothing is drawn."""
    recipes = [find("ae")(few.spec, latent=3, design=Design(width=16)) for _ in range(2)]
    ends = (0.5, 3.0)
    objectives = [Rise(0.0, end, warmup_fraction=1.0) * Distortion() for end in ends]
    together = fit_population(
        [r.model for r in recipes], objectives, few, recipes[0].data, [SHORT, SHORT]
    )
    for end, ours in zip(ends, together, strict=True):
        recipe = find("ae")(few.spec, latent=3, design=Design(width=16))
        alone = fit(
            recipe.model,
            Rise(0.0, end, warmup_fraction=1.0) * Distortion(),
            few,
            recipe.data,
            SHORT,
        )
        for a, b in zip(ours.history, alone.history, strict=True):
            assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
            assert a["valid_loss"] == pytest.approx(b["valid_loss"], rel=1e-4)


@pytest.mark.parametrize(
    ("objective", "why"), [(Opposed, "has a critic"), (Counting, "Counting changes its state")]
)
def test_what_learns_or_settles_beside_the_model_is_trained_alone(
    few: Data, objective: type[Objective], why: str
) -> None:
    recipes = [make(few), make(few)]
    objectives = [Distortion() + Rate() + objective() for _ in recipes]
    with pytest.raises(ValueError, match=why):
        fit_population([r.model for r in recipes], objectives, few, recipes[0].data, [SHORT, SHORT])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_compiled_step_is_the_eager_one_with_critic_schedule_and_state(few: Data) -> None:
    objective = Distortion() + Rise(0.1, 1.0) * Rate() + 0.5 * Opposed() + Counting()
    ends = []
    for choice in ("off", "on"):
        recipe, own = make(few), copy.deepcopy(objective)
        plan = dataclasses.replace(SHORT, compile=choice, epochs=4)
        history = fit(recipe.model, own, few, recipe.data, plan).history
        ends.append((state(recipe.model) | state(own), history))
    for key, t in ends[0][0].items():
        torch.testing.assert_close(ends[1][0][key], t, rtol=1e-3, atol=1e-5, msg=key)
    for a, b in zip(ends[0][1], ends[1][1], strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
        assert a["critic"] == pytest.approx(b["critic"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_weights_are_untouched_at_a_compiled_step_that_is_not_finite(few: Data) -> None:
    recipe = make(few)
    x = recipe.data.prepare(few.train.x[:10])
    step = Step(recipe.model, recipe.objective, SHORT, full=10)
    for _ in range(3):
        step(Batch(x))
    before = state(recipe.model)
    poisoned = x.clone()
    poisoned[3, 0, 2, 2] = torch.inf
    with pytest.raises(ArithmeticError, match="the data has 1 of"):
        step(Batch(poisoned))
    assert not moved(before, recipe.model)
    step(Batch(x))
    assert moved(before, recipe.model)


class Stubborn(nn.Module):
    """A network that looks at its numbers, which no compiler can follow."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * (2.0 if float(x.sum()) < 0 else 1.0)


def test_a_network_that_cannot_be_compiled_is_trained_without(
    few: Data, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = make(few)
    recipe.model.encoder = Stubborn(recipe.model.encoder)
    plan = dataclasses.replace(SHORT, compile="on")
    stubborn = fit(recipe.model, recipe.objective, few, recipe.data, plan).history
    (said,) = caplog.messages
    assert "the training step cannot be compiled: it reads the values of its tensors" in said
    plain = make(few)
    expected = fit(plain.model, plain.objective, few, plain.data, SHORT).history
    assert stubborn[-1]["loss"] == pytest.approx(expected[-1]["loss"], rel=1e-5)


def test_a_step_is_torchs_own_whatever_layout_gradients_come_in(few: Data) -> None:
    recipe = find("vae")(few.spec, latent=3, design=Design(net="conv", width=8))
    ours, plain = recipe.model, copy.deepcopy(recipe.model)
    step = Step(ours, recipe.objective, SHORT)
    optimizer = torch.optim.AdamW(
        plain.parameters(), SHORT.lr, weight_decay=SHORT.weight_decay, foreach=False
    )
    x = Batch(few.train.x[:20].float() / 16)
    strange = [
        g is not None and g.stride() != p.stride()
        for p, g in zip(
            plain.parameters(),
            torch.autograd.grad(recipe.objective(plain(x.x), x.x).mean, list(plain.parameters())),
            strict=True,
        )
    ]
    assert any(strange), "the layers of this network should hand back gradients of other strides"
    for seed in range(3):
        torch.manual_seed(seed)
        step(x)
        torch.manual_seed(seed)
        optimizer.zero_grad()
        recipe.objective(plain(x.x), x.x).mean.backward()
        torch.nn.utils.clip_grad_norm_(plain.parameters(), SHORT.clip)
        optimizer.step()
    for (name, p), q in zip(ours.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=2e-5, msg=f"{name} differs")


def test_a_learner_moves_nothing_where_a_loss_is_not_finite() -> None:
    """Without looking: an accelerator would wait for it at every step."""
    w = torch.nn.Parameter(torch.ones(3))
    learner = Learner([w], 0.1, 0.0, 1.0)
    finite, broken = torch.ones(()), torch.tensor(math.nan)
    learner.step([torch.ones(3)], finite, finite)
    before = w.detach().clone()
    for gradient in (torch.ones(3), torch.full((3,), math.nan)):
        learner.step([gradient], finite, broken)
        assert torch.equal(w, before)
    learner.step([torch.ones(3)], finite, finite)
    twin = torch.nn.Parameter(torch.ones(3))
    other = Learner([twin], 0.1, 0.0, 1.0)
    for _ in range(2):
        other.step([torch.ones(3)], finite, finite)
    assert torch.equal(w, twin)


def test_a_gradient_that_two_parameters_share_is_clipped_once() -> None:
    a, b = (torch.nn.Parameter(torch.ones(3)) for _ in range(2))
    learner = Learner([a, b], 0.1, 0.0, 1e-3)
    gradients = learner.gradients((a + b).sum())
    assert gradients[0] is not None
    assert gradients[0] is gradients[1], "or the test shows nothing"
    learner.step(gradients, norm_of(gradients), torch.zeros(()))
    moments = torch.cat(learner.optimizer.m) / 0.1
    assert float(moments.norm()) == pytest.approx(1e-3, rel=1e-2)


def test_figures_that_change_from_batch_to_batch_are_refused() -> None:
    sums = Sums()
    sums.add({"loss": torch.tensor(1.0), "rate": torch.tensor(2.0)})
    for names in (("loss", "distortion"), ("rate", "loss"), ("loss",)):
        with pytest.raises(ValueError, match="the same parts at every batch"):
            sums.add({name: torch.tensor(1.0) for name in names})


def test_a_model_of_which_nothing_learns_is_refused() -> None:
    still = torch.nn.Parameter(torch.ones(3), requires_grad=False)
    with pytest.raises(ValueError, match="there is nothing to learn"):
        Learner([still], 0.1, 0.0, 1.0)
