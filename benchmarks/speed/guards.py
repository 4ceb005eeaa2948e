"""The guards of a compiled step: what they take of a step.

    python benchmarks/speed/guards.py

A compiled step compares Python state, tensors and settings with those of its trace before every
call. These comparisons are timed inside of each step, in place, with the caches as the program has
left them; the share is that of medians over many steps, so that an interruption by other programs
moves neither. Exits with 1 if a net's share is above 2%.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import vaelab
from speed.ours import mlp
from vaelab.compile import Program
from vaelab.core import VAE, fork_rng
from vaelab.data import Batch
from vaelab.objectives import Distortion, Objective, Rate
from vaelab.training import Plan
from vaelab.training.step import Step

BOUND = 0.02
"""Largest share of a step."""

STEPS, FIRST = 400, 20
"""Steps that are timed, and steps before them: traces and compilation."""


def small() -> tuple[VAE, Objective, tuple[int, ...]]:
    """A net of `understand`, on digits."""
    data = vaelab.load_data("digits")
    recipe = vaelab.recipes.vae(data.spec, latent=2, design=vaelab.Design(net="mlp", width=400))
    return recipe.model, recipe.objective, data.spec.shape


def large() -> tuple[VAE, Objective, tuple[int, ...]]:
    """784-512-16-512-784."""
    return mlp(), Distortion() + Rate(), (1, 28, 28)


@contextmanager
def timed() -> Iterator[list[float]]:
    """Inside, the seconds that each call of a guard takes are added to the last entry of a list."""
    spent = [0.0]

    def wrap(guard: Callable[..., Any]) -> Callable[..., Any]:
        def clocked(*given: Any) -> Any:
            start = time.perf_counter()
            found = guard(*given)
            spent[-1] += time.perf_counter() - start
            return found

        return clocked

    with (
        mock.patch.object(Program, "_fits", wrap(Program._fits)),
        mock.patch.object(Program, "_change", wrap(Program._change)),
    ):
        yield spent


def compiled(model: VAE, objective: Objective, batch: Batch, bf16: bool) -> Step:
    """A step that runs as a program."""
    step = Step(model.train(), objective, Plan(), bf16, len(batch.x))
    for _ in range(FIRST):
        step(batch)
    if step.program is None or step.program.run is None:
        reason = "it has no program" if step.program is None else step.program.reason
        raise RuntimeError(f"the step is not compiled: {reason}")
    return step


def measure(step: Step, batch: Batch) -> tuple[float, float]:
    """Median duration of a step, and of the guards in it, in seconds."""
    steps = []
    with timed() as spent:
        for _ in range(STEPS):
            spent.append(0.0)
            start = time.perf_counter()
            step(batch)
            steps.append(time.perf_counter() - start)
    return statistics.median(steps), statistics.median(spent[1:])


def main() -> int:
    """Measure and print both nets; the exit status."""
    worst = 0.0
    print(f"{'net':<34} {'step':>9} {'guards':>9} {'share':>7}")
    for make, bf16 in ((large, True), (large, False), (small, False)):
        model, objective, shape = make()
        with fork_rng(0):
            batch = Batch(torch.rand(128, *shape))
            step = compiled(model, objective, batch, bf16)
            whole, guards = measure(step, batch)
        worst = max(worst, guards / whole)
        name = (make.__doc__ or "").rstrip(".") + (", bf16" if bf16 else "")
        print(f"{name:<34} {whole * 1e3:>6.3f} ms {guards * 1e6:>6.1f} µs {guards / whole:>7.2%}")
    print(f"at most {BOUND:.0%} wanted, {worst:.2%} measured")
    return int(worst > BOUND)


if __name__ == "__main__":
    sys.exit(main())
