"""Run: a trained model with all it takes to use it, in memory and on disk.

    recipe.json           name and arguments of the recipe, data specification, training, versions
    weights.safetensors   best weights
    objective.safetensors state of the objective: a critic's weights, if it has one
    optimizer.safetensors optimizer state of the best weights
    metrics.jsonl         one line per epoch
    codes.json            statistics of codes: spread and rate by latent dimension
    priors/               priors fitted afterwards, by name

Loading executes no code named in a file: a recipe is looked up by name in the library, its
arguments are checked against its signature, and every tensor against the model's.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import torch
from msgspec import Meta
from safetensors.torch import save
from torch import Tensor

import vaelab.recipes  # noqa: F401  (its functions register themselves)
from vaelab.core import VAE, Condition, Conditional, cut, fork_rng, join, map_chunks
from vaelab.data import (
    DataSpec,
    Known,
    Raw,
    admit,
    broadcast_condition,
    example_condition,
    read_inputs,
    sample_labels,
    vectors,
)
from vaelab.data.admission import Admitted
from vaelab.fitted import WithPrior, find, replaced
from vaelab.recipes.registry import Recipe, rebuild
from vaelab.runs.latent_summary import ROWS, Codes, check_temperature, read_latent_summary, slerp
from vaelab.training import Plan
from vaelab.utils import atomic_files
from vaelab.utils.validation import validate
from vaelab.version import __version__

FORMAT = 1
RECIPE, WEIGHTS, OPTIMIZER = "recipe.json", "weights.safetensors", "optimizer.safetensors"
OBJECTIVE = "objective.safetensors"
METRICS, CODES = "metrics.jsonl", "codes.json"
FILES = (WEIGHTS, OBJECTIVE, OPTIMIZER, METRICS, CODES, RECIPE)
EVALUATION, PRIORS = "evaluation.json", "priors"
UNFINISHED = "unfinished"
"""Subfolder of a run in which a training in progress keeps its checkpoints."""


@dataclass(eq=False)
class Run:
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
    """

    recipe: Recipe
    training: dict[str, Any]
    history: list[dict[str, float]]
    codes: Codes
    path: Path | None = None
    condition: Tensor | None = None
    shapes: tuple[torch.Size, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.model.eval()
        with torch.no_grad(), fork_rng(0, self.device):
            one = self.model.sample(1, condition=self.example_condition)
            self.shapes = tuple(z.shape[1:] for z in one.latents)

    def __repr__(self) -> str:
        """Three lines: recipe and data, length and quality of the training, folder."""
        row = self.history[self.training.get("best_epoch", 0) - 1] if self.history else {}
        names = [name for name in ("loss", "rate", "distortion") if f"valid_{name}" in row]
        nats = ", ".join(f"{name} {row[f'valid_{name}']:.2f}" for name in names)
        return (
            f"Run: {self.recipe.name} on {self.data.source}, codes of {self.latent}\n"
            f"  {len(self.history)} epochs; validation {nats} nats\n  in {self.path or 'memory'}"
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
    def data(self) -> DataSpec:
        """Specification of the data, normalisation included."""
        return self.recipe.data

    @property
    def latent(self) -> int:
        """Number of dimensions of a code."""
        return sum(math.prod(shape) for shape in self.shapes)

    @property
    def has_rate(self) -> bool:
        """True if every posterior has a density; the code of an autoencoder is a point."""
        with torch.no_grad(), fork_rng(0, self.device):
            x = torch.zeros(1, *self.data.shape, device=self.device)
            return self.model(x, condition=self.example_condition).has_rate

    @property
    def example_condition(self) -> Condition:
        """One possible condition, (1, C), on the run's device; () for an unconditional model."""
        return self._here(*example_condition(self.data)[0])

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
        return replace(self, condition=vectors(self.data, known))

    def _condition_for(self, n: int) -> Condition:
        """Condition of n examples: (n, C), or () for an unconditional model.

        Raises:
            ValueError: if the model is conditional and the condition is missing or of another
                number.
        """
        return broadcast_condition(self.data, self.condition, n)

    def anything(self, n: int) -> Condition:
        """Condition of n samples if none was given: classes as frequent as in training, if any."""
        if self.data.condition != "labels":
            return self._condition_for(n)
        return self.data.tell(sample_labels(self.data, n))

    def admit(self, raw: Any) -> Raw:
        """Convert any input to raw rows (N, *shape) of the run's data, and check them.

        Args:
            raw: one example or several: an array, tensor, sparse matrix, list, picture or data
                frame; or the path of a file, or "test:0-15" for rows of the run's own data.

        Raises:
            ValueError: if the run's data cannot have such a shape or such values.
        """
        if isinstance(raw, str | Path):
            rows, notes, _ = read_inputs(raw, self.data, beside=self.path)
        else:
            rows, _, notes = admit(raw, self.data)
        for note in notes:
            warnings.warn(note, stacklevel=3)
        return rows

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
            (x,) = self._here(self.data.prepare(rows[start : start + ROWS]))
            trace = self.model(x, temperature=temperature, condition=self._part(condition, start))
            return join(trace.latents).cpu()

        return map_chunks(codes, range(0, max(1, len(rows)), ROWS), seed, self.device)

    @torch.no_grad()
    def decode(self, codes: Any, *, draw: bool = False, seed: int = 0) -> Tensor:
        """Decode codes (N, L) to raw data (N, …)."""
        z = torch.as_tensor(codes, dtype=torch.float32).cpu()
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

    def sample(
        self, n: int, *, temperature: float = 1.0, draw: bool | None = None, seed: int = 0
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
        drawn = self.data.drawn if draw is None else draw

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
        codes = run.encode(
            Admitted(rows.repeat_interleave(n, 0)), temperature=temperature, seed=seed
        )
        return run.decode(codes, seed=seed).unflatten(0, (len(rows), n))

    def interpolate(self, a: Any, b: Any, steps: int = 10, *, spherical: bool = False) -> Tensor:
        """Interpolate (steps, …) from one raw example to another, both ends included.

        Between examples of two classes, the condition is interpolated linearly.
        """
        if steps < 2:
            raise ValueError(f"steps is {steps}; an interpolation has at least its 2 ends")
        ends = [self.admit(x)[:] for x in (a, b)]
        for x in ends:
            if len(x) != 1:
                raise ValueError(
                    f"one example of shape {self.data.shape} is expected at each end, not {len(x)}"
                )
        start, end = self.encode(Admitted(torch.cat(ends)))
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
        codes = base.repeat(len(dimensions), steps, 1)
        for row, j in enumerate(dimensions):
            width = reach * max(1.0, self.codes.spread[j])
            codes[row, :, j] += torch.linspace(-width, width, steps)
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
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_files.together(folder) as staged:
            atomic_files.write(staged / WEIGHTS, save(self.model.state_dict()))
            # Most objectives have no state; a critic's weights are one.
            if state := self.recipe.objective.state_dict():
                atomic_files.write(staged / OBJECTIVE, save(state))
            if optimizer:
                atomic_files.write(staged / OPTIMIZER, save(dict(optimizer)))
            lines = "".join(json.dumps(row) + "\n" for row in self.history)
            atomic_files.write(staged / METRICS, lines)
            atomic_files.write_json(staged / CODES, asdict(self.codes))
            made_with = {"vaelab": __version__, "torch": str(torch.__version__)}
            about = {"format": FORMAT} | made_with | self.recipe.to_json()
            atomic_files.write_json(staged / RECIPE, about | {"training": dict(self.training)})
        self.path = folder
        return folder

    def _out(self, trace: Any, draw: bool) -> Tensor:
        x = trace.likelihood.sample() if draw else trace.likelihood.mean
        return self.data.unscale(x.cpu())

    def _part(self, condition: Condition, start: int) -> Condition:
        return self._here(*(c[start : start + ROWS] for c in condition))

    def _here(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(t.to(self.device) for t in tensors)


def load(path: str | Path) -> Run:
    """Read a run from its folder.

    Raises:
        FileNotFoundError: if there is no run.
        ValueError: if a file is damaged or foreign, or names something the library does not have.
    """
    folder = Path(path)
    if not (folder / RECIPE).is_file():
        what = "holds no run (no recipe.json)" if folder.is_dir() else "does not exist"
        raise FileNotFoundError(
            f"{folder} {what}; train one with `vaelab train vae --data digits --out RUN`"
        )
    about = atomic_files.read_json(folder / RECIPE)
    needed = {"format": int, "recipe": str, "arguments": dict, "data": dict, "training": dict}
    has = about if isinstance(about, dict) else {}
    if wrong := [key for key, kind in needed.items() if not isinstance(has.get(key), kind)]:
        raise ValueError(
            f"{folder / RECIPE} is not a run's recipe: {', '.join(wrong)} is missing or of another "
            "type"
        )
    if about["format"] != FORMAT:
        raise ValueError(
            f"{folder / RECIPE} has format {about['format']!r}; this version reads {FORMAT}"
        )
    try:
        spec = DataSpec.from_json(about["data"])
        recipe = rebuild(about["recipe"], about["arguments"], spec)
    except (TypeError, ValueError, ArithmeticError, RuntimeError, MemoryError) as error:
        raise ValueError(f"{folder / RECIPE}: {error}") from None  # numbers may be absurd
    try:
        atomic_files.load_weights(recipe.model, folder / WEIGHTS, "run")
        if recipe.objective.state_dict():
            atomic_files.load_weights(recipe.objective, folder / OBJECTIVE, "run")
    except atomic_files.Foreign as error:
        raise ValueError(f"{error}. {recipe.mismatch_message(about.get('likelihood'))}") from None
    history = atomic_files.read_rows(folder / METRICS)
    codes = read_latent_summary(atomic_files.read_json(folder / CODES), folder / CODES)
    try:
        training = _read_training(about["training"], len(history))
    except ValueError as error:
        raise ValueError(f"{folder / RECIPE}: {error}") from None
    run = Run(recipe, training, history, codes, folder)
    if len(codes.mean) != run.latent:
        raise ValueError(
            f"{folder / CODES} describes codes of {len(codes.mean)} numbers, this model's have "
            f"{run.latent}; restore the file or train the run again"
        )
    return run


def _read_training(found: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """The record of a training, with its settings and its best epoch validated."""
    hints = get_type_hints(Plan, include_extras=True)
    hints |= {"ending": str, "best_epoch": Annotated[int, Meta(ge=1, le=max(1, epochs))]}
    known = {k: validate(v, hints[k], f"training.{k}") for k, v in found.items() if k in hints}
    return {**found, **known}
