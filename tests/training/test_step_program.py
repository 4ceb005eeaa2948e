"""A step of every recipe can be made into a program, and the program is that step."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from independent_trace import independent_trace, lines
from torch import Tensor, nn

import vaelab.recipes  # noqa: F401  (its functions register themselves)
from vaelab.compile import foreign_part
from vaelab.compile.recording import Recording
from vaelab.core import VAE, Trace
from vaelab.data import Batches, Data
from vaelab.objectives import Distortion, Loss, Objective
from vaelab.recipes.design import Design
from vaelab.recipes.registry import RECIPES, find
from vaelab.training import Plan, fit
from vaelab.training.learner import Learner
from vaelab.training.plan import Compile, can_compile, should_compile
from vaelab.training.step import Step, Take

SMALL: dict[str, dict[str, Any]] = {"deep_ladder": {"layers": (1, 1, 0, 0)}}
FULL = 32


def stepper(name: str, digits: Data, bf16: bool, full: int) -> tuple[Step, Batches]:
    torch.manual_seed(0)
    recipe = find(name)(digits.spec, **SMALL.get(name, {}), design=Design(width=16))
    rows = Batches(digits.train.x[:140], recipe.data)
    model = recipe.model.train()
    return Step(model, recipe.objective, Plan(), bf16, full, rows.prepare), rows


def state(step: Step) -> dict[str, Tensor]:
    found = {**step.model.state_dict(), **step.objective.state_dict()}
    for learner in step.learners:
        found |= learner.optimizer.tensors()
    return found | {"sums": step.sums.sums}


@pytest.fixture
def as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written down runs operator by operator, so that nothing is compiled."""

    def load(what: str, seen: Any, examples: Any) -> Callable[[list[Tensor]], list[Tensor]]:
        module = seen.module()
        return lambda given: module(*given)

    monkeypatch.setattr("vaelab.compile.cache.load", load)


def compare(name: str, digits: Data, bf16: bool, **tolerance: float) -> None:
    """Four full batches and a short one, twice, by the program and without."""
    ours, rows = stepper(name, digits, bf16, FULL)
    theirs, _ = stepper(name, digits, bf16, 0)
    plain = theirs.step

    def as_traced(take: Take, raw: Tensor, *condition: Tensor) -> Tensor:
        """With the update written out for the compiler: the same operations in another order."""
        return plain(Learner.step_for_compile if len(raw) == FULL else take, raw, *condition)

    theirs.step = as_traced  # type: ignore[method-assign]
    seed = 0
    for _ in range(2):
        for batch in rows.shuffled(FULL, torch.Generator().manual_seed(0)):
            for step in (ours, theirs):
                torch.manual_seed(seed := seed + (step is ours))
                for learner in step.learners:
                    learner.optimizer.prepare()
                step(batch)
    assert ours.program is not None
    assert ours.program.run is not None, ours.program.reason
    found = state(theirs)
    for key, t in state(ours).items():
        torch.testing.assert_close(t, found[key], msg=lambda m, key=key: f"{key}: {m}", **tolerance)


@pytest.mark.usefixtures("as_written")
@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_recipe_s_step_is_written_down_whole(name: str, digits: Data) -> None:
    compare(name, digits, bf16=True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    "name", ["vae", "vq", "wae_gan", "dreg", "ladder", "iaf", "gumbel", "hyperspherical"]
)
def test_a_program_is_the_step(name: str, digits: Data) -> None:
    compare(name, digits, bf16=False, rtol=1e-3, atol=1e-4)


def compare_with_independent_trace(
    name: str, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, rows = stepper(name, digits, bf16=False, full=FULL)
    batch = next(iter(rows.shuffled(FULL, torch.Generator().manual_seed(0))))
    function, inputs = partial(step.step, Learner.step_for_compile), [batch.x, *batch.condition]
    function(*inputs)  # which may set things up
    ours = Recording(inputs)
    with ours:
        norm = function(*inputs)
    ours.close([norm])
    assert ours.unsupported_reason is None
    # The norm of gradients is written out where a step is traced.
    monkeypatch.setattr("vaelab.training.learner.recording", lambda: True)
    theirs = independent_trace(function, inputs, ours.captured)
    assert len(theirs) > 100
    assert lines(ours.graph) == theirs


@pytest.mark.parametrize("name", ["vae", "vq", "wae_gan"])
def test_a_trace_is_that_of_make_fx(
    name: str, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare_with_independent_trace(name, digits, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_trace_is_that_of_make_fx(
    name: str, digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    compare_with_independent_trace(name, digits, monkeypatch)


class WarmRate(Objective):
    """Warms the rate up by a counter in Python, where a buffer would do."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps, self.n = steps, 0

    def forward(self, trace: Trace, x: Tensor) -> Loss:
        self.n += 1
        nats = trace.unfold(trace.rate()[0]).mean(0)
        return Loss((1.0 if self.n > self.steps else 0.0) * nats, {"rate": nats})


def warmed(digits: Data, compile: Compile, epochs: int, steps: int) -> dict[str, float]:
    torch.manual_seed(0)
    recipe = find("vae")(digits.spec, latent=4, design=Design(width=64))
    plan = Plan(epochs=epochs, compile=compile, precision="fp32")
    objective = Distortion() + WarmRate(steps)
    return fit(recipe.model, objective, digits, recipe.data, plan).history[-1]


def test_a_weight_warmed_up_in_python_trains_as_without_compiling(
    digits: Data, caplog: pytest.LogCaptureFixture
) -> None:
    plain = warmed(digits, "off", 4, 20)
    compiled = warmed(digits, "on", 4, 20)
    for figure in ("rate", "loss", "valid_loss"):
        assert compiled[figure] == pytest.approx(plain[figure], rel=1e-3), figure
    (message,) = caplog.messages
    assert "the training step cannot be compiled: WarmRate.n changes in Python" in message
    assert "vaelab.Rise" in message


@pytest.mark.slow
def test_a_rate_warmed_up_over_200_steps_ends_where_it_does_without_compiling(
    digits: Data,
) -> None:
    plain, compiled = warmed(digits, "off", 60, 200), warmed(digits, "on", 60, 200)
    assert plain["rate"] < 5, "or the rate is not paid for at the end"
    for figure in ("rate", "valid_loss"):
        assert compiled[figure] == pytest.approx(plain[figure], rel=0.02), figure


@pytest.mark.usefixtures("as_written")
def test_a_layer_frozen_in_training_stays_as_it_is(digits: Data) -> None:
    ends = []
    for full in (0, FULL):
        step, rows = stepper("vae", digits, bf16=False, full=full)
        batches = list(rows.shuffled(FULL, torch.Generator().manual_seed(0)))[:5]
        for i, batch in enumerate(batches * 2):
            if i == 5:
                step.model.encoder.requires_grad_(False)
                before = {k: t.clone() for k, t in step.model.encoder.state_dict().items()}
            torch.manual_seed(i)
            step(batch)
        for key, t in step.model.encoder.state_dict().items():
            assert torch.equal(t, before[key])
        ends.append(state(step))
    assert step.program is not None
    assert step.program.run is not None, step.program.reason
    for key, t in ends[0].items():
        torch.testing.assert_close(ends[1][key], t, rtol=1e-3, atol=1e-4)


class Clipping:
    """A listener that clips weights behind their version counters."""

    def __init__(self, model: VAE) -> None:
        self.model = model

    def on_step(self, step: int, steps: int, row: dict[str, float]) -> None:
        for p in self.model.parameters():
            p.data.clamp_(-0.02, 0.02)

    def on_epoch(self, row: dict[str, float], best: object) -> None: ...


@pytest.mark.usefixtures("as_written")
def test_weights_that_a_listener_clips_are_the_ones_that_bf16_steps_use(
    digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaelab.training.record.Sums.due", lambda self: True)
    losses = []
    for choice in ("off", "on"):
        torch.manual_seed(0)
        recipe = find("vae")(digits.spec, latent=4, design=Design(width=64))
        plan = Plan(epochs=2, compile=choice, precision="bf16")  # type: ignore[arg-type]
        clipping = Clipping(recipe.model)
        fit(recipe.model, recipe.objective, digits, recipe.data, plan, clipping)
        losses.append([p.detach().clone() for p in recipe.model.parameters()])
    for a, b in zip(*losses, strict=True):
        torch.testing.assert_close(a, b, rtol=0.05, atol=2e-3)


def test_auto_compiles_vaelabs_own_parts_alone(digits: Data) -> None:
    steps = 10**6
    assert foreign_part(Distortion() + WarmRate(3)) == "WarmRate"
    assert foreign_part(nn.Linear(2, 2), 2.0 * Distortion()) is None
    assert not should_compile("auto", steps, 10**6, "WarmRate")
    assert should_compile("on", 1, 1, "WarmRate") == can_compile()
    for name in RECIPES:
        recipe = find(name)(digits.spec, design=Design(width=8), **SMALL.get(name, {}))
        assert foreign_part(recipe.model, recipe.objective) is None, name
