"""Run: a trained model with all it takes to use it, in memory and on disk (`files`).

Loading executes no code named in a file: a recipe is looked up by name in the library, its
arguments are checked against its signature, and every tensor against the model's.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaelab.core import VAE, Condition, Conditional, cut, fork_rng, join, map_chunks
from vaelab.data import (
    Data,
    DataSpec,
    Known,
    Raw,
    Source,
    broadcast_condition,
    example_condition,
    read_inputs,
    sample_labels,
    vectors,
)
from vaelab.data.command_inputs import ROWS_OF_RUN, Inputs, read_memory, selected
from vaelab.fitted import WithPrior, find, replaced
from vaelab.objectives import Objective
from vaelab.recipes.registry import Recipe
from vaelab.runs.files import PRIORS, write_run
from vaelab.runs.handmade import ObjectiveFunction, from_elsewhere
from vaelab.runs.history import History
from vaelab.runs.latent_summary import ROWS, Codes, check_temperature, slerp
from vaelab.runs.own_data import reload_training_data
from vaelab.runs.plotting import Plots
from vaelab.runs.score import Scores, check_density, log_prob, score
from vaelab.training import Plan
from vaelab.utils.hints import Hinting
from vaelab.utils.progress import counted


@dataclass(eq=False)
class Run(Hinting):
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
    def model(self) -> VAE:
        """Model with its best weights, on the CPU unless moved with `to`."""
        return self.recipe.model

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return next(self.model.parameters()).device

    def to(self, device: str | torch.device) -> Run:
        """Move the model to a device and return the run; inputs and outputs stay on the CPU."""
        self.model.to(device)
        return self

    @property
    def spec(self) -> DataSpec:
        """Specification of the data, normalisation included."""
        return self.recipe.data

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

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """A run is not called.

        Raises:
            TypeError: always; names the methods.
        """
        raise TypeError(
            "a run is not called; run.reconstruct(x) goes through encoder and decoder, "
            "run.encode(x) gives codes, and run.model(x) is the trace of x at the model's scale"
        )

    @property
    def latent(self) -> int:
        """Number of dimensions of a code."""
        return sum(math.prod(shape) for shape in self.shapes)

    @property
    def has_rate(self) -> bool:
        """True if every posterior has a density; the code of an autoencoder is a point."""
        with torch.no_grad(), fork_rng(0, self.device):
            x = torch.zeros(1, *self.spec.shape, device=self.device)
            return self.model(x, condition=self.example_condition).has_rate

    @property
    def example_condition(self) -> Condition:
        """One possible condition, (1, C), on the run's device; () for an unconditional model."""
        return self._here(*example_condition(self.spec)[0])

    def conditioned_on(self, known: Known) -> Run:
        """Return the run, conditioned on the labels or vectors of all its examples, or of each.

        `run.conditioned_on("3").sample(8)`; `run.conditioned_on(labels).encode(raw)`;
        `run.conditioned_on([30.0, 1.7])`.

        Args:
            known: labels as the data have them, one for all or one for each example; or (N, C), a
                weight for each class, which may lie between classes. For a model conditioned on
                vectors, one (C,) for all, or one for each example (N, C).

        Raises:
            ValueError: if there is no such class or vector, or the model is not conditional.
        """
        return replace(self, condition=vectors(self.spec, known))

    def told(self, known: Tensor | None) -> Run:
        """Return the run under the stored conditions of its own rows, unless it has one already."""
        return (
            self
            if known is None or self.condition is not None
            else replace(self, condition=self.spec.tell(known)[0])
        )

    def _condition_for(self, n: int) -> Condition:
        """Condition of n examples: (n, C), or () for an unconditional model.

        Raises:
            ValueError: if the model is conditional and the condition is missing or of another
                number.
        """
        return broadcast_condition(self.spec, self.condition, n)

    def anything(self, n: int) -> Condition:
        """Condition of n samples if none was given: classes as frequent as in training, if any."""
        if self.spec.condition != "labels":
            return self._condition_for(n)
        return self.spec.tell(sample_labels(self.spec, n))

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

    def encode(self, raw: Any, *, temperature: float = 0.0, seed: int = 0) -> Tensor:
        """Encode raw rows (N, …) to codes (N, L): posterior means, or draws at temperature 1."""
        return torch.cat(list(self.stream_codes(raw, temperature=temperature, seed=seed)))

    def stream_codes(
        self, raw: Any, *, temperature: float = 0.0, seed: int = 0
    ) -> Iterator[Tensor]:
        """Yield the codes of `encode` in chunks (B, L) of at most 1,024 rows, in constant memory.

        Args:
            raw: raw rows (N, …), or the `Rows` of a file that is too large for memory; for a table
                also a pandas data frame.
            temperature: 0 for posterior means, 1 for draws.
            seed: seed of the draws.
        """
        check_temperature(temperature)
        rows = self.admit(raw)
        condition = self._condition_for(len(rows))

        def codes(start: int) -> Tensor:
            (x,) = self._here(self.spec.prepare(rows[start : start + ROWS]))
            trace = self.model(x, temperature=temperature, condition=self._part(condition, start))
            return join(trace.latents).cpu()

        return map_chunks(codes, range(0, max(1, len(rows)), ROWS), seed, self.device)

    @torch.no_grad()
    def decode(self, codes: Any, *, draw: bool = False, seed: int = 0) -> Tensor:
        """Decode codes (N, L), or one code (L,), to raw data (N, …)."""
        z = torch.as_tensor(codes, dtype=torch.float32).cpu()
        z = z[None] if z.ndim == 1 and len(z) == self.latent else z
        if z.ndim != 2 or z.shape[1] != self.latent:
            raise ValueError(f"codes have shape {tuple(z.shape)}; expected (N, {self.latent})")
        condition = self._condition_for(len(z))
        with fork_rng(seed, self.device):
            traces = (
                self.model.decode(
                    cut(z[i : i + ROWS].to(self.device), self.shapes),
                    condition=self._part(condition, i),
                )
                for i in range(0, max(1, len(z)), ROWS)
            )
            return torch.cat([self._out(trace, draw) for trace in traces])

    def reconstruct(self, raw: Any, *, draw: bool = False, seed: int = 0) -> Tensor:
        """Decode the codes of raw rows to raw data (N, …)."""
        return self.decode(self.encode(raw), draw=draw, seed=seed)

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

    def sample(
        self, n: int = 64, *, temperature: float = 1.0, draw: bool | None = None, seed: int = 0
    ) -> Tensor:
        """Generate n new examples (n, …) from the prior; conditions are those of `anything`."""
        return torch.cat(
            list(self.stream_samples(n, temperature=temperature, draw=draw, seed=seed))
        )

    def stream_samples(
        self, n: int, *, temperature: float = 1.0, draw: bool | None = None, seed: int = 0
    ) -> Iterator[Tensor]:
        """Yield the samples of `sample` in chunks (B, …) of at most 1,024, in constant memory."""
        if n < 1:
            raise ValueError(f"n is {n}; ask for at least 1 sample")
        check_temperature(temperature)
        given = None if self.condition is None else self._condition_for(n)
        drawn = self.spec.drawn if draw is None else draw

        def samples(start: int) -> Tensor:
            size = min(ROWS, n - start)
            condition = self.anything(size) if given is None else self._part(given, start)
            return self._out(self.model.sample(size, temperature, self._here(*condition)), drawn)

        return map_chunks(samples, range(0, n, ROWS), seed, self.device)

    def vary(self, raw: Any, n: int = 8, *, temperature: float = 1.0, seed: int = 0) -> Tensor:
        """Generate n variations (N, n, …) of each raw row: decoded draws from its posterior."""
        if n < 1:
            raise ValueError(f"n is {n}; ask for at least 1 variation")
        rows = self.admit(raw)[:]
        conditions = [c.repeat_interleave(n, 0) for c in self._condition_for(len(rows))]
        run = replace(self, condition=next(iter(conditions), None))
        codes = run.encode(rows.repeat_interleave(n, 0), temperature=temperature, seed=seed)
        return run.decode(codes, seed=seed).unflatten(0, (len(rows), n))

    def interpolate(self, a: Any, b: Any, steps: int = 10, *, spherical: bool = False) -> Tensor:
        """Interpolate (steps, …) from one raw example to another, both ends included.

        Between examples of two classes, the condition is interpolated linearly.
        """
        if steps < 2:
            raise ValueError(f"steps is {steps}; an interpolation has at least its 2 ends")
        ends = torch.cat([self.admit(x)[:] for x in (a, b)])
        if len(ends) != 2:
            raise ValueError(f"one example of shape {self.spec.shape} is expected at each end")
        start, end = self.encode(ends)
        t = torch.linspace(0, 1, steps)[:, None]
        conditions = [torch.lerp(c[0], c[1], t) for c in self._condition_for(2)]
        run = replace(self, condition=next(iter(conditions), None))
        return run.decode(slerp(start, end, t) if spherical else torch.lerp(start, end, t))

    def traverse(
        self,
        dimensions: Sequence[int],
        steps: int = 9,
        *,
        start: Tensor | None = None,
        reach: float = 3.0,
    ) -> Tensor:
        """Vary each dimension alone from −reach to +reach standard deviations: (len, steps, …).

        Args:
            dimensions: indices into the code.
            steps: number of positions on each dimension.
            start: code (L,) to vary; the mean code by default.
            reach: range in standard deviations of the prior, or of the codes if they are wider.
        """
        self.codes.check(dimensions, steps)
        base = torch.tensor(self.codes.mean) if start is None else start
        if base.shape != (self.latent,):
            raise ValueError(f"start has shape {tuple(base.shape)}; expected ({self.latent},)")
        codes = self.codes.traversal(base, dimensions, steps, reach)
        return self.decode(codes.flatten(0, 1)).unflatten(0, (len(dimensions), steps))

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

    def save(self, path: str | Path, optimizer: Mapping[str, Tensor] | None = None) -> Path:
        """Save the run to a folder and return it; a failure leaves the existing run unchanged.

        Raises:
            ValueError: if the run has another prior, which its recipe does not include.
        """
        if isinstance(self.model.generator, WithPrior):
            raise ValueError("a run with another prior cannot be saved; save the original run")
        self.path = write_run(self, Path(path), optimizer)
        return self.path

    def _out(self, trace: Any, draw: bool) -> Tensor:
        x = trace.likelihood.sample() if draw else trace.likelihood.mean
        return self.spec.unscale(x.cpu())

    def _part(self, condition: Condition, start: int) -> Condition:
        return self._here(*(c[start : start + ROWS] for c in condition))

    def _here(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(t.to(self.device) for t in tensors)
