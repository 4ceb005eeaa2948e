"""Run: a trained model with all it takes to use it, in memory and on disk (`files`).

Loading executes no code named in a file: a recipe is looked up by name in the library, its
arguments are checked against its signature, and every tensor against the model's.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaelab.core import VAE, Conditional, fork_rng
from vaelab.data import Data, Raw, Source, read_inputs
from vaelab.data.command_inputs import ROWS_OF_RUN, Inputs, read_memory, selected
from vaelab.fitted import WithPrior, find, replaced
from vaelab.objectives import Objective
from vaelab.recipes.registry import Recipe
from vaelab.runs.files import PRIORS, write_run
from vaelab.runs.handmade import ObjectiveFunction, from_elsewhere
from vaelab.runs.history import History
from vaelab.runs.impute import Imputation, check_imputable, impute
from vaelab.runs.inference import Inference
from vaelab.runs.latent_summary import Codes
from vaelab.runs.own_data import reload_training_data
from vaelab.runs.plotting import Plots
from vaelab.runs.score import Scores, check_density, log_prob, score
from vaelab.runs.summary import Summary, summarize
from vaelab.training import Plan
from vaelab.utils.progress import counted


@dataclass(eq=False)
class Run(Inference):
    """Trained model: raw data in, raw data out.

    A *code* is the concatenation of the latents of all sites of one example, (L,). Outputs are the
    likelihood's mean on the raw scale, unrounded (0–255 for 8-bit images), or a draw with
    `draw=True`; samples of tables are draws unless `draw=False`. Conditional models are conditioned
    once, by `conditioned_on`.

    >>> import vaelab
    >>> data = vaelab.load_data("digits")
    >>> plan = vaelab.Plan(epochs=1)
    >>> run = vaelab.train(vaelab.recipes.vae(data.spec, latent=2), data, plan)
    >>> codes = run.encode(data.test.x[:5])
    >>> codes.shape, tuple(run.decode(codes).shape) == tuple(data.test.x[:5].shape)
    (torch.Size([5, 2]), True)

    Attributes:
        recipe: trained recipe.
        training: training settings, as a JSON object.
        history: one row of figures per epoch.
        codes: statistics of the codes.
        path: folder of the run, or None in memory.
        condition: condition of a conditional model, (1, C) for all examples or (N, C).
        rows: data it was trained on, if that was in this process.
    """

    recipe: Recipe
    training: dict[str, Any]
    history: History
    codes: Codes
    path: Path | None = None
    condition: Tensor | None = None
    rows: Data | None = None
    shapes: tuple[torch.Size, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.history = History(self.history)
        self.model.eval()
        with torch.no_grad(), fork_rng(0, self.device):
            one = self.model.sample(1, condition=self.example_condition)
            self.shapes = tuple(z.shape[1:] for z in one.latents)

    def __repr__(self) -> str:
        """Three lines: recipe and data, length and quality of the training, folder."""
        row = self.history.row(self.training.get("best_epoch", 0))
        nats = ", ".join(f"{name} {value:.2f}" for name, value in row.items())
        return (
            f"Run: {self.recipe.name} on {self.spec.source}, codes of {self.latent}\n"
            f"  {counted(len(self.history), 'epoch')}; validation {nats} nats\n"
            f"  in {self.path or 'memory'}"
        )

    @property
    def data(self) -> Data:
        """Data it was trained on, read again if that was in another process.

        Raises:
            ValueError: if they were in memory, or have changed.
            FileNotFoundError: if they have moved.
        """
        if self.rows is None:
            self.rows = Data(self.spec, *reload_training_data(self.spec, beside=self.path))
        return self.rows

    @classmethod
    def from_model(
        cls,
        model: VAE,
        objective: Objective | ObjectiveFunction,
        data: Source | Data,
        *,
        history: Sequence[dict[str, float]] = (),
    ) -> Run:
        """Run of a model that was trained elsewhere, with all that a run does.

        Args:
            model: model on the CPU.
            objective: its objective, or a function `(trace, x) -> (B,)` in nats.
            data: data it was trained on, in any form that `load_data` takes.
            history: one row of figures per epoch, if there are any.

        Raises:
            TypeError: if a part is of another type.
            ValueError: if shapes disagree; states both.
        """
        recipe, codes, rows = from_elsewhere(model, objective, data)
        training = {"ending": "finished", "best_epoch": max(1, len(history))}
        return cls(recipe, training, History(history), codes, rows=rows)

    @property
    def plan(self) -> Plan:
        """Settings of its training."""
        names = {field.name for field in fields(Plan)} & self.training.keys()
        return Plan(**{name: self.training[name] for name in names})

    @property
    def plot(self) -> Plots:
        """Figures of the run: `run.plot.samples(save="samples.png")` and others."""
        return Plots(self)

    def summary(self) -> Summary:
        """Parts of the model with their number of parameters, and the course of its training."""
        return summarize(self)

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """A run is not called.

        Raises:
            TypeError: always; names the methods.
        """
        raise TypeError(
            "a run is not called; run.reconstruct(x) goes through encoder and decoder, "
            "run.encode(x) gives codes, and run.model(x) is the trace of x at the model's scale"
        )

    def admit(self, raw: Any) -> Raw:
        """Convert any input to raw rows (N, *shape) of the run's data, and check them.

        Args:
            raw: one example or several: an array, tensor, sparse matrix, list, picture or data
                frame; or the path of a file, or "test:0-15" for rows of the run's own data.

        Raises:
            ValueError: if the run's data cannot have such a shape or such values.
        """
        return self.read(raw).raw

    def read(self, raw: Any) -> Inputs:
        """Read any input as `admit` does, with notes and the names of files."""
        if not isinstance(raw, str | Path):
            inputs = read_memory(raw, self.spec)
        elif self.rows is not None and (rows := ROWS_OF_RUN.fullmatch(str(raw))):
            split = self.rows[rows[1]]
            inputs = Inputs(split.take(selected(rows[1], rows[2], len(split))).x)
        else:
            inputs = read_inputs(raw, self.spec, beside=self.path)
        for note in inputs.notes:
            warnings.warn(note, stacklevel=4)
        return inputs

    def score(self, raw: Any, *, samples: int = 16, seed: int = 0) -> Scores:
        """Score raw rows (N, …): −ELBO, distortion and rate of each, in nats; higher is stranger.

        Args:
            raw: rows as for `encode`; files keep their names in the result.
            samples: draws of z per example, averaged.
            seed: seed of the draws, and of the binarization of grey data.
        """
        inputs = self.read(raw)
        return score(self, inputs.raw, inputs.names, samples, seed)

    def log_prob(self, raw: Any, *, samples: int = 1000, seed: int = 0) -> Tensor:
        """Importance-weighted log p(x) of raw rows, (N,) in nats: a lower bound.

        The bound is tighter with more draws.

        Args:
            raw: rows as for `encode`.
            samples: draws of z per example, K.
            seed: seed of the draws, and of the binarization of grey data.

        Raises:
            TypeError: for an autoencoder, which has no density.
        """
        check_density(self)
        return log_prob(self, self.read(raw).raw, samples, seed)

    def impute(
        self, raw: Any, n: int = 5, *, samples: int = 500, interval: float = 0.9, seed: int = 0
    ) -> Imputation:
        """Fill the missing cells of rows by importance sampling given the observed ones.

        Observed cells are never changed, and rows need not be those of the training. Numbers are
        filled with their conditional mean (`filled`) or with draws (`multiple`), categories with
        the most probable one or with draws, in the units and types of the data.

        Args:
            raw: rows (N, D) with NaN for missing cells, or a data frame.
            n: number of draws of each row, for multiple imputation; 0 for none.
            samples: importance samples per row.
            interval: probability that the interval of a cell, `low` to `high`, holds its value.
            seed: seed of the draws.

        Raises:
            ValueError: if the run was trained without missing cells, or its codes have no density.
        """
        check_imputable(self)
        return impute(self, self.admit(raw), raw, n, samples, interval, seed)

    def prior(self, name: str) -> Conditional:
        """Prior of that name that was fitted to the run's codes (`vaelab.fit_prior`).

        Raises:
            FileNotFoundError: if there is none, with the existing names.
            ValueError: if it is damaged, or was fitted to other weights.
        """
        if self.path is None:
            raise ValueError(
                "a run in memory has no saved priors; save the run, or pass the prior itself"
            )
        return find(self.path / PRIORS, name, self.model, self.example_condition).prior

    def with_prior(self, prior: str | Conditional) -> Run:
        """Return the run with another prior of its first latent: a fitted one, or any other.

        All computations with a prior follow it: samples, rates and bounds. Weights are shared, and
        latents below the first keep their prior given it.
        """
        other = self.prior(prior) if isinstance(prior, str) else prior
        recipe = replace(self.recipe, model=replaced(self.model, other).to(self.device))
        # Rates by dimension were those under the previous prior.
        codes = replace(self.codes, rate=None)
        return replace(self, recipe=recipe, codes=codes)

    def _under(self, condition: Tensor | None) -> Run:
        return replace(self, condition=condition)

    def save(self, path: str | Path, optimizer: Mapping[str, Tensor] | None = None) -> Path:
        """Save the run to a folder and return it; a failure leaves the existing run unchanged.

        Raises:
            ValueError: if the run has another prior, which its recipe does not include.
        """
        if isinstance(self.model.generator, WithPrior):
            raise ValueError("a run with another prior cannot be saved; save the original run")
        self.path = write_run(self, Path(path), optimizer)
        return self.path
