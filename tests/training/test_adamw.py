"""The optimizer beside torch's own class, and moments too small to be normal numbers."""

import subprocess
import sys

import pytest
import torch
from torch import Tensor

from vaelab.training.adamw import AdamW

LR, DECAY = 1e-2, 0.3
TINY, EVERY = 1e-25, 200


def some(seed: int) -> list[Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=draws) for shape in ((4, 3), (5,), (2, 3, 4))]


def test_steps_are_torchs_also_where_a_weight_has_no_gradient_now_and_then() -> None:
    ours, theirs = some(0), [w.requires_grad_() for w in some(0)]
    optimizer, real = AdamW(ours, LR, DECAY), torch.optim.AdamW(theirs, LR, weight_decay=DECAY)
    for step in range(1, 6):
        optimizer.lr = real.param_groups[0]["lr"] = LR / step
        gradients: list[Tensor | None] = [*some(step)]
        if step == 3:
            gradients[1] = None
        for w, g in zip(theirs, gradients, strict=True):
            w.grad = g
        optimizer.step(gradients)
        optimizer.count()
        real.step()
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        torch.testing.assert_close(a, b.detach())
        for name, moment in real.state[b].items():
            torch.testing.assert_close(optimizer.tensors()[f"{i}.{name}"], moment)


def test_what_the_compiler_reads_is_the_same_step() -> None:
    one, other = AdamW(some(0), LR, DECAY), AdamW(some(0), LR, DECAY)
    for step in range(1, 4):
        gradients = some(step)
        one.step([g / 2 for g in gradients])
        other.prepare()
        other.step_traced(gradients, torch.tensor(0.5), torch.zeros(()))
        for optimizer in (one, other):
            optimizer.count()
    for a, b in zip(one.weights, other.weights, strict=True):
        torch.testing.assert_close(a, b)
    for name, t in one.tensors().items():
        torch.testing.assert_close(t, other.tensors()[name])


def test_moments_too_small_to_matter_become_zero() -> None:
    """As of a weight whose gradient has ended: they would cost the time of a hundred."""
    w = torch.ones(2)
    optimizer, after = AdamW([w], LR, 0.0), EVERY
    optimizer.step([torch.tensor([1.0, 1e-13])])
    optimizer.count()
    for _ in range(5 * after):
        optimizer.step([torch.zeros(2)])
        optimizer.count()
    (m,), (v,) = optimizer.m, optimizer.v
    assert 0.9 ** (5 * after) < torch.finfo().tiny  # so that, left alone, it would not be normal
    assert torch.equal(m, torch.zeros(2))
    assert v[0] > TINY
    assert v[1] == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_to_be_found(value: float) -> None:
    optimizer = AdamW([torch.ones(1)], LR, 0.0)
    optimizer.m[0].fill_(value)
    for _ in range(EVERY):
        optimizer.count()
    assert not torch.isfinite(optimizer.m[0]).any()


def test_a_training_that_is_not_compiled_imports_no_compiler() -> None:
    """It takes a second and 75 MB."""
    program = """
import sys, torch, vaelab
from vaelab.training import Plan
data = vaelab.load_data("digits8x8")
recipe = vaelab.recipes.vae(data.spec, latent=2)
vaelab.fit(recipe.model, recipe.objective, data, recipe.data, Plan(epochs=1, compile="off"))
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
