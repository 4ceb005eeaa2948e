"""A run: a trained model with all it takes to use it, in memory and on disk.

    recipe.json           name and arguments of the recipe, data specification, training, versions
    weights.safetensors   the best weights
    objective.safetensors what the objective has learned: a critic's weights, where it has one
    optimizer.safetensors the optimizer's state that belongs to them
    metrics.jsonl         one line an epoch
    codes.json            what training codes look like: spread and rate by latent dimension
    priors/               priors fitted afterwards, by name

Loading executes nothing that a file names: a recipe is found by its name among the library's own,
its arguments are checked against its signature, and every tensor against the model's.
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
"""Folder inside a run's own, where a training keeps what it has reached until it is complete."""


@dataclass(eq=False)
class Run:
    """A trained model: raw data in, raw data out.

    A *code* is the latents of all sites of one example side by side, (L,). What comes out is the
    likelihood's mean on the raw scale, unrounded (0–255 for 8-bit images), with `draw=True` a draw;
    samples of tables are draws unless `draw=False`. What a model is told is said once, by
    `conditioned_on`.

    Attributes:
        recipe: what was trained.
        training: how, as a JSON object.
        history: one row of figures an epoch.
        codes: what training codes look like.
        path: where it is kept, if it is.
        condition: what a conditional model is told, (1, C) for all examples or (N, C).
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
        """Three lines: what it is of, how long and how well it was trained, where it is kept."""
        row = self.history[self.training.get("best_epoch", 0) - 1] if self.history else {}
        names = [name for name in ("loss", "rate", "distortion") if f"valid_{name}" in row]
        nats = ", ".join(f"{name} {row[f'valid_{name}']:.2f}" for name in names)
        return (
            f"Run: {self.recipe.name} on {self.data.source}, codes of {self.latent}\n"
            f"  {len(self.history)} epochs; validation {nats} nats\n  in {self.path or 'memory'}"
        )

    @property
    def model(self) -> VAE:
        """The model with its best weights, on the CPU unless it was moved with `to`."""
        return self.recipe.model

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def to(self, device: str | torch.device) -> Run:
        """The run itself, its model moved to a device; what goes in and comes out is on the CPU."""
        self.model.to(device)
        return self

    @property
    def data(self) -> DataSpec:
        """The data's specification, normalisation included."""
        return self.recipe.data

    @property
    def latent(self) -> int:
        """Numbers in a code."""
        return sum(math.prod(shape) for shape in self.shapes)

    @property
    def has_rate(self) -> bool:
        """Whether every posterior has a density; the code of an autoencoder is a point."""
        with torch.no_grad(), fork_rng(0, self.device):
            x = torch.zeros(1, *self.data.shape, device=self.device)
            return self.model(x, condition=self.example_condition).has_rate

    @property
    def example_condition(self) -> Condition:
        """One thing that the model may be told, (1, C), on its device; () if it is told nothing."""
        return self._here(*example_condition(self.data)[0])

    def conditioned_on(self, known: Known) -> Run:
        """The run, told what is known of all its examples, or of each: for conditional ones.

        `run.conditioned_on("3").sample(8)`; `run.conditioned_on(labels).encode(raw)`;
        `run.conditioned_on([30.0, 1.7])`.

        Args:
            known: labels as the data have them, one for all or one for each example; or (N, C), a
                weight for each class, which may lie between classes. Where the model is told
                vectors, one (C,) for all, or one for each example (N, C).

        Raises:
            ValueError: where there is no such class or vector, or the model is not conditional.
        """
        return replace(self, condition=vectors(self.data, known))

    def _condition_for(self, n: int) -> Condition:
        """What the model is told of n examples: (n, C), or nothing if it is not conditional.

        Raises:
            ValueError: where it is conditional and was given nothing, or another number.
        """
        return broadcast_condition(self.data, self.condition, n)

    def anything(self, n: int) -> Condition:
        """What n samples are of where nothing was given: classes as in training, where known."""
        if self.data.condition != "labels":
            return self._condition_for(n)
        return self.data.tell(sample_labels(self.data, n))

    def admit(self, raw: Any) -> Raw:
        """Raw rows (N, *shape) of the run's data from anything that holds some, checked.

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
        """The codes (N, L) of raw rows (N, …): posterior means, or draws at temperature 1."""
        return torch.cat(list(self.stream_codes(raw, temperature=temperature, seed=seed)))

    def stream_codes(
        self, raw: Any, *, temperature: float = 0.0, seed: int = 0
    ) -> Iterator[Tensor]:
        """What `encode` gives, in parts (B, L) of at most 1,024 rows: memory does not grow with N.

        Args:
            raw: raw rows (N, …), or the `Rows` of a file that is too large to be read; of a table
                also a pandas data frame.
            temperature: 0 for posterior means, 1 for draws.
            seed: of the draws.
        """
        check_temperature(temperature)
        rows = self.admit(raw)
        known = self._condition_for(len(rows))

        def codes(start: int) -> Tensor:
            (x,) = self._here(self.data.prepare(rows[start : start + ROWS]))
            trace = self.model(x, temperature=temperature, condition=self._part(known, start))
            return join(trace.latents).cpu()

        return map_chunks(codes, range(0, max(1, len(rows)), ROWS), seed, self.device)

    @torch.no_grad()
    def decode(self, codes: Any, *, draw: bool = False, seed: int = 0) -> Tensor:
        """Raw data (N, …) from codes (N, L)."""
        z = torch.as_tensor(codes, dtype=torch.float32).cpu()
        if z.ndim != 2 or z.shape[1] != self.latent:
            raise ValueError(f"codes have shape {tuple(z.shape)}; expected (N, {self.latent})")
        known = self._condition_for(len(z))
        with fork_rng(seed, self.device):
            traces = (
                self.model.decode(
                    cut(z[i : i + ROWS].to(self.device), self.shapes),
                    condition=self._part(known, i),
                )
                for i in range(0, max(1, len(z)), ROWS)
            )
            return torch.cat([self._out(trace, draw) for trace in traces])

    def reconstruct(self, raw: Any, *, draw: bool = False, seed: int = 0) -> Tensor:
        """Raw data (N, …) decoded from the codes of raw rows."""
        return self.decode(self.encode(raw), draw=draw, seed=seed)

    def sample(
        self, n: int, *, temperature: float = 1.0, draw: bool | None = None, seed: int = 0
    ) -> Tensor:
        """n new examples (n, …) from the prior; of `anything` where nothing was given."""
        return torch.cat(
            list(self.stream_samples(n, temperature=temperature, draw=draw, seed=seed))
        )

    def stream_samples(
        self, n: int, *, temperature: float = 1.0, draw: bool | None = None, seed: int = 0
    ) -> Iterator[Tensor]:
        """What `sample` gives, in parts (B, …) of at most 1,024: memory does not grow with n."""
        if n < 1:
            raise ValueError(f"n is {n}; ask for at least 1 sample")
        check_temperature(temperature)
        known = None if self.condition is None else self._condition_for(n)
        drawn = self.data.drawn if draw is None else draw

        def samples(start: int) -> Tensor:
            size = min(ROWS, n - start)
            told = self.anything(size) if known is None else self._part(known, start)
            return self._out(self.model.sample(size, temperature, self._here(*told)), drawn)

        return map_chunks(samples, range(0, n, ROWS), seed, self.device)

    def vary(self, raw: Any, n: int = 8, *, temperature: float = 1.0, seed: int = 0) -> Tensor:
        """n variations (N, n, …) of each raw row: decoded draws from its posterior."""
        if n < 1:
            raise ValueError(f"n is {n}; ask for at least 1 variation")
        rows = self.admit(raw)[:]
        told = [c.repeat_interleave(n, 0) for c in self._condition_for(len(rows))]
        run = replace(self, condition=next(iter(told), None))
        codes = run.encode(rows.repeat_interleave(n, 0), temperature=temperature, seed=seed)
        return run.decode(codes, seed=seed).unflatten(0, (len(rows), n))

    def interpolate(self, a: Any, b: Any, steps: int = 10, *, spherical: bool = False) -> Tensor:
        """The walk (steps, …) from one raw example to another, both ends included.

        Where they are given two classes, what the model is told goes straight from one to the
        other.
        """
        if steps < 2:
            raise ValueError(f"steps is {steps}; a walk has at least its 2 ends")
        ends = [self.admit(x)[:] for x in (a, b)]
        for x in ends:
            if len(x) != 1:
                raise ValueError(
                    f"one example of shape {self.data.shape} is expected at each end, not {len(x)}"
                )
        start, end = self.encode(torch.cat(ends))
        t = torch.linspace(0, 1, steps)[:, None]
        told = [torch.lerp(c[0], c[1], t) for c in self._condition_for(2)]
        run = replace(self, condition=next(iter(told), None))
        return run.decode(slerp(start, end, t) if spherical else torch.lerp(start, end, t))

    def traverse(
        self,
        dimensions: Sequence[int],
        steps: int = 9,
        *,
        start: Tensor | None = None,
        reach: float = 3.0,
    ) -> Tensor:
        """Each dimension alone from −reach to +reach standard deviations: (len, steps, …).

        Args:
            dimensions: indices into the code.
            steps: positions on each.
            start: the code (L,) it is about and the others stay at; the mean code by default.
            reach: in standard deviations of the prior, or of the codes where they are wider.
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
        """The prior of that name that was fitted to the run's codes (`vaelab.fit_prior`).

        Raises:
            FileNotFoundError: where there is none, with those that there are.
            ValueError: where it is damaged, or was fitted to other weights.
        """
        if self.path is None:
            raise ValueError("a run in memory keeps no priors; save it, or pass the prior itself")
        return find(self.path / PRIORS, name, self.model, self.example_condition).prior

    def with_prior(self, prior: str | Conditional) -> Run:
        """The run as it is with another prior of its first latent: one it keeps, or any other.

        All that draws from a prior or judges by one follows: samples, rates and bounds. Weights
        are shared, and latents below the first keep the prior they have given it.
        """
        other = self.prior(prior) if isinstance(prior, str) else prior
        recipe = replace(self.recipe, model=replaced(self.model, other).to(self.device))
        # The rates by dimension were those under the prior it had.
        codes = replace(self.codes, rate=None)
        return replace(self, recipe=recipe, codes=codes)

    def save(self, path: str | Path, optimizer: Mapping[str, Tensor] | None = None) -> Path:
        """Writes the run to a folder and returns it; a failure leaves the run that was there.

        Raises:
            ValueError: where the run was given another prior, which its recipe does not know of.
        """
        if isinstance(self.model.generator, WithPrior):
            raise ValueError("a run with another prior is not kept as a run; save the one it is of")
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
    """Reads a run from its folder.

    Raises:
        FileNotFoundError: where there is no run.
        ValueError: where a file is damaged, foreign, or names what the library does not have.
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
            f"{folder / CODES} is of codes of {len(codes.mean)} numbers, this model's have "
            f"{run.latent}; restore the file or train the run anew"
        )
    return run


def _read_training(found: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """The record of a training, with its settings and its best epoch validated."""
    hints = get_type_hints(Plan, include_extras=True)
    hints |= {"ending": str, "best_epoch": Annotated[int, Meta(ge=1, le=max(1, epochs))]}
    known = {k: validate(v, hints[k], f"training.{k}") for k, v in found.items() if k in hints}
    return {**found, **known}
