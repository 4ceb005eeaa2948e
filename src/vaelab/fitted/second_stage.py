r"""A second VAE on the codes of the first (Dai & Wipf, 1903.05789).

p(z) = ∫ p(z|u) p(u) du        u ~ N(0, I),  z ~ N(decoder(u), σ²),  σ learned

The first stage finds where the data lie, the second how densely they lie there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from vaelab.core import VAE, Conditional, Site
from vaelab.data import Data, DataSpec, Split
from vaelab.distributions import Distribution
from vaelab.fitted.base import PriorEstimator, kind, standardizer
from vaelab.objectives import log_mean_exp
from vaelab.recipes import vae
from vaelab.recipes.design import Design
from vaelab.recipes.registry import Recipe
from vaelab.training import Plan, Row, Snapshot, fit
from vaelab.utils.progress import ProgressCallback, no_progress
from vaelab.utils.validation import Count, check_fields

SAMPLES = 64
"""Draws of u behind an estimate of a density."""
EPOCHS: int | None = None
"""As many as a plan takes by itself, unless patience ends it."""
PATIENCE = 30


@dataclass(frozen=True, eq=False)
class Marginal(Distribution):
    """What a VAE generates: y = (z − shift) / scale ~ ∫ p(y|u) p(u) du.

    Draws are exact. Its density is not known: `log_prob` is the logarithm of an estimate with
    64 draws of u that is right on average (1509.00519), and so too low on average, as a bound on
    log p(x) built on it remains one.

    Attributes:
        shift: (B, …).
        log_scale: (B, …).
        model: of vectors y.
    """

    shift: Tensor
    log_scale: Tensor
    model: VAE

    @property
    def mean(self) -> Tensor:
        raise TypeError(
            "the mean of what a VAE generates has no closed form; average draws of sample() instead"
        )

    def log_prob(self, x: Tensor) -> Tensor:
        standard = ((x - self.shift) * torch.exp(-self.log_scale)).flatten(1)
        log_w = self.model(standard, SAMPLES).log_weights(standard)
        return log_mean_exp(log_w) - self.log_scale.flatten(1).sum(1)

    def sample(self, temperature: float = 1.0) -> Tensor:
        trace = self.model.sample(len(self.shift), temperature)
        standard = trace.likelihood.sample(temperature).view_as(self.shift)
        return self.shift + self.log_scale.exp() * standard


class Stage(Conditional):
    """The second VAE as the prior of the first.

    Args:
        model: of standardized codes as vectors.
        shape: of the latents.
    """

    shift: Tensor
    log_scale: Tensor

    def __init__(self, model: VAE, *shape: int) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("shift", torch.zeros(1, *shape))
        self.register_buffer("log_scale", torch.zeros(1, *shape))

    def forward(self, *given: Tensor) -> Marginal:
        return Marginal(self.shift, self.log_scale, self.model)


@dataclass(frozen=True)
class _Passing:
    """A listener of a training that passes its steps on."""

    progress: ProgressCallback

    def on_step(self, step: int, steps: int, row: Row) -> None:
        self.progress("steps", step, steps, row["loss"])

    def on_epoch(self, row: Row, best: Snapshot | None) -> None:
        pass


@kind
@dataclass(frozen=True)
class SecondStage(PriorEstimator):
    """A small VAE on the codes, with one learned σ: for many dimensions, where the others thin out.

    Attributes:
        latent: dimensions of its own latent; as many as the codes have if not set.
        width: of its hidden layers.
    """

    name: ClassVar[str] = "second-stage"
    latent: Count | None = None
    width: Count = 256

    def __post_init__(self) -> None:
        check_fields(self)

    def build(self, site: Site) -> Stage:
        return Stage(self._recipe(site).model, *site.z.shape[1:])

    def fit(
        self, site: Site, codes: Tensor, held_out: Tensor, progress: ProgressCallback = no_progress
    ) -> tuple[SecondStage, Stage]:
        recipe = self._recipe(site)
        stage = Stage(recipe.model, *site.z.shape[1:])
        for buffer, found in zip((stage.shift, stage.log_scale), standardizer(codes), strict=True):
            buffer.copy_(found)
        train, valid = (
            Split(((z.cpu() - stage.shift) * torch.exp(-stage.log_scale)).flatten(1), None)
            for z in (codes, held_out)
        )
        seed = int(torch.randint(2**31 - 1, ()))
        plan = Plan(EPOCHS, patience=PATIENCE, device=str(codes.device), seed=seed)
        fit(
            recipe.model,
            recipe.objective,
            Data(recipe.data, train, valid, valid),
            recipe.data,
            plan,
            _Passing(progress),
        )
        return self, stage

    def _recipe(self, site: Site) -> Recipe:
        size = math.prod(site.z.shape[1:])
        # The codes are standardized before they get here; their range is of no account.
        spec = DataSpec("array", (size,), "float32", None, -1.0, 1.0, (0.0,), (1.0,))
        design = Design(net="mlp", width=self.width, likelihood="gaussian")
        return vae(spec, latent=self.latent or size, design=design)
