r"""A variational autoencoder of standardised columns, evaluated in float64.

    x = (row − μ) / s
    log p(row) ≥ log (1/K) Σ_k p(x, z_k) / q(z_k|x) − Σ_d log s_d,   z_k ~ q(z|x)

The bound (Burda et al., Importance Weighted Autoencoders, 2016, arXiv:1509.00519) uses the same K
noise vectors for every row, so that the score of a row depends neither on its position nor on the
other rows. Products are taken in float64 for the same reason: in float32 a matrix product rounds
differently in batches of different sizes.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes
from torch import Tensor

from vaelab.core import VAE, complete, fork_rng, join
from vaelab.data import Column, Data, DataSpec, Split
from vaelab.recipes.design import Design
from vaelab.recipes.registry import Recipe, find, rebuild
from vaelab.training import Plan, fit

Rows = NDArray[np.float64]

HELD_OUT = 0.1
"""Share of the rows that choose the best epoch."""

FEWEST_TO_HOLD_OUT = 50
"""Rows from which some are held out; of fewer all are trained on and judged by."""

CHUNK, FEW = 1024, 128
"""Rows in one evaluation, and in one of many samples."""


@dataclass(frozen=True, eq=False)
class Settings:
    """Settings of the estimators; their meanings are in `VAETransformer` and `VAEImputer`.

    Attributes:
        bound_samples: samples of the bound in training; 1 for the evidence lower bound.
        hide: largest share of a row's cells that are hidden in training, for rows with missing
            cells; None for complete rows.
    """

    n_components: int
    width: int
    beta: float
    max_steps: int
    batch_size: int
    learning_rate: float
    bound_samples: int = 1
    hide: float | None = None


@dataclass(eq=False)
class ColumnModel:
    """A trained model of rows (N, D), with the standardisation of their columns.

    Copies and pickles hold the recipe as JSON and the weights as safetensors, never code.

    Attributes:
        recipe: the recipe and its trained model, for standardised columns.
        mean: means μ of the columns, (D,).
        scale: standard deviations s of the columns, (D,); 1 for a constant column.
        steps: steps of the training.
    """

    recipe: Recipe
    mean: Rows
    scale: Rows
    steps: int

    @classmethod
    def train(cls, rows: Rows, settings: Settings, seed: int) -> ColumnModel:
        """Train a model on rows.

        Args:
            rows: finite numbers, (N, D), N ≥ 2; NaN for missing cells, if the settings allow them.
            settings: size of the model and length of the training.
            seed: seed of the weights, the order of the rows and the noise.
        """
        mean, scale = np.nanmean(rows, 0), np.nanstd(rows, 0)
        # Rounding leaves a constant column a deviation above 0, in the size of its own precision.
        constant = scale <= 8 * np.finfo(np.float64).eps * np.nanmax(np.abs(rows), 0)
        scale = np.where(constant, 1.0, scale)
        x = torch.from_numpy((rows - mean) / scale).float()
        order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
        held_out = round(HELD_OUT * len(x)) if len(x) >= FEWEST_TO_HOLD_OUT else 0
        train = Split(x[order[held_out:]], None)
        valid = Split(x[order[:held_out]], None) if held_out else train
        dims, ends = rows.shape[1], x.nan_to_num(0.0).aminmax()
        spec = DataSpec(
            *("array", (dims,), "float32", None, float(ends.min), float(ends.max)),
            offset=(0.0,) * dims,
            scale=(1.0,) * dims,
            columns=(Column("real"),) * dims,
            sizes=(len(train), len(valid), 0),
            seed=seed,
            missing=() if settings.hide is None else tuple(np.isnan(rows).mean(0).tolist()),
        )
        design = Design(width=settings.width, seed=seed, hide=settings.hide or 0.0)
        if settings.bound_samples > 1:
            recipe = find("iwae")(
                spec, latent=settings.n_components, samples=settings.bound_samples, design=design
            )
        else:
            recipe = find("vae")(
                spec, latent=settings.n_components, beta=settings.beta, design=design
            )
        per_epoch = math.ceil(len(train) / settings.batch_size)
        plan = Plan(
            epochs=max(1, round(settings.max_steps / per_epoch)),
            batch_size=settings.batch_size,
            lr=settings.learning_rate,
            precision="fp32",
            compile="off",
            device="cpu",
            seed=seed,
        )
        result = fit(recipe.model, recipe.objective, Data(spec, train, valid, valid), spec, plan)
        return cls(recipe, mean, scale, len(result.history) * per_epoch)

    def encode(self, rows: Rows) -> Rows:
        """Return the posterior means (N, L) of rows (N, D)."""
        model = self._model()
        return self._map(lambda x: join(model(x, temperature=0.0).latents), rows)

    def decode(self, codes: Rows) -> Rows:
        """Return the likelihood's means (N, D), in the units of the rows, of codes (N, L)."""
        model = self._model()
        with torch.no_grad():
            x = model.decode([torch.from_numpy(codes)]).likelihood.mean
        return self.mean + self.scale * np.asarray(x)

    def log_prob(self, rows: Rows, samples: int, seed: int) -> Rows:
        """Return the importance-weighted bound on log p(row) in nats, (N,), from K samples."""
        model = self._model()

        def bound(x: Tensor) -> Tensor:
            log_w = model(x[None], samples).log_weights(x[None])
            return torch.logsumexp(log_w[:, 0], 0) - math.log(samples)

        same_noise = torch.func.vmap(bound, randomness="same")
        with fork_rng(seed):
            nats = self._map(same_noise, rows, seed)
        return nats - np.log(self.scale).sum()

    def impute(self, rows: Rows, samples: int, seed: int, draw: bool = False) -> Rows:
        """Return rows (N, D) with their missing cells filled, given the observed ones.

        Args:
            rows: NaN for missing cells.
            samples: importance samples of each row.
            seed: seed of these.
            draw: fill with draws, else with conditional means.
        """
        model = self._model()

        def expected(x: Tensor) -> Tensor:
            return complete(model, x[None], samples).mean[0]

        if draw:
            x = torch.from_numpy((rows - self.mean) / self.scale)
            with fork_rng(seed):
                parts = [complete(model, part, samples).resample(1)[0] for part in x.split(FEW)]
            filled = np.asarray(torch.cat(parts))
        else:
            same_noise = torch.func.vmap(expected, randomness="same")
            filled = self._map(same_noise, rows, seed, FEW)
        return np.where(np.isnan(rows), self.mean + self.scale * filled, rows)

    def sample(self, n: int, seed: int) -> Rows:
        """Return n draws of the model, (n, D), in the units of the rows."""
        with torch.no_grad(), fork_rng(seed):
            x = self._model().sample(n).likelihood.sample()
        return self.mean + self.scale * np.asarray(x)

    def _model(self) -> VAE:
        return copy.deepcopy(self.recipe.model).double().eval()

    def _map(
        self,
        function: Callable[[Tensor], Tensor],
        rows: Rows,
        seed: int = 0,
        size: int = CHUNK,
    ) -> Rows:
        x = torch.from_numpy((rows - self.mean) / self.scale)
        with torch.no_grad():
            parts = []
            for chunk in x.split(size):
                with fork_rng(seed):  # the same noise for every chunk as for every row
                    parts.append(function(chunk))
        return np.asarray(torch.cat(parts))

    def __getstate__(self) -> dict[str, Any]:
        """Return the state as JSON text, arrays and safetensors bytes."""
        return {
            "recipe": json.dumps(self.recipe.to_json()),
            "weights": tensors_to_bytes(self.recipe.model.state_dict()),
            "mean": self.mean,
            "scale": self.scale,
            "steps": self.steps,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Rebuild the model from its recipe, and load its weights."""
        about = json.loads(state["recipe"])
        self.recipe = rebuild(
            about["recipe"], about["arguments"], DataSpec.from_json(about["data"])
        )
        self.recipe.model.load_state_dict(tensors_from_bytes(state["weights"]))
        self.mean, self.scale, self.steps = state["mean"], state["scale"], state["steps"]
