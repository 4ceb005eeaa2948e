"""Small untrained runs of real digits: what a page does with a model does not depend on its fit."""

from __future__ import annotations

from typing import Any

import torch

from vaelab.core import cut, join
from vaelab.data import Data
from vaelab.recipes.design import Design
from vaelab.recipes.registry import find
from vaelab.runs.latent_summary import Codes
from vaelab.runs.run import Run


def untrained(name: str, data: Data, latent: int | None = 2, **design: Any) -> Run:
    """A run at its initial weights, with decoders that are not flat."""
    torch.manual_seed(1)
    given = {} if latent is None else {"latent": latent}
    recipe = find(name)(data.spec, design=Design(**({"width": 24} | design)), **given)
    with torch.no_grad():
        for p in recipe.model.parameters():
            p += 0.05 * torch.randn_like(p)
    run = Run(
        recipe,
        {"best_epoch": 1},
        [{"epoch": 1.0, "valid_rate": 1.5, "valid_distortion": 20.25}],
        Codes([0.0], [1.0], None),
    )
    n = run.latent
    order = torch.linspace(2, 0.05, n).tolist()
    run.codes = Codes([0.0] * n, order, order)
    return run


def decoded(run: Run, z: torch.Tensor) -> torch.Tensor:
    """The likelihood's mean (N, …) on the raw scale, by torch."""
    with torch.no_grad():
        condition = tuple(c.expand(len(z), -1) for c in run.example_condition)
        trace = run.model.decode(cut(z, run.shapes), condition=condition)
        return run.spec.unscale(trace.likelihood.mean)


def encoded(run: Run, raw: torch.Tensor) -> torch.Tensor:
    """Posterior means (N, L), by torch."""
    with torch.no_grad():
        condition = tuple(c.expand(len(raw), -1) for c in run.example_condition)
        return join(run.model(run.spec.prepare(raw), temperature=0.0, condition=condition).latents)
