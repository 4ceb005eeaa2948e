"""A step of every recipe can be made into a program, and the program is that step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import vaelab.recipes  # noqa: F401  (its functions register themselves)
from vaelab.data import Batches, Data
from vaelab.recipes.design import Design
from vaelab.recipes.registry import RECIPES, find
from vaelab.training import Plan
from vaelab.training.learner import Learner
from vaelab.training.step import Step, Take

SMALL: dict[str, dict[str, Any]] = {"deep_ladder": {"layers": (1, 1, 0, 0)}}
FULL = 32


def stepper(name: str, digits: Data, bf16: bool, full: int) -> tuple[Step, Batches]:
    torch.manual_seed(0)
    recipe = find(name)(digits.spec, **SMALL.get(name, {}), design=Design(width=16))
    rows = Batches(digits.train.x[:200], recipe.data)
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
    """Five full batches and a short one, twice, by the program and without."""
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
