"""Computations of a trained model: raw data in, raw data out, in chunks of constant memory."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Self

import torch
from torch import Tensor

from vaelab.core import VAE, Condition, cut, fork_rng, join, map_chunks
from vaelab.data import (
    Admitted,
    DataSpec,
    Known,
    Raw,
    broadcast_condition,
    example_condition,
    sample_labels,
    vectors,
)
from vaelab.recipes.registry import Recipe
from vaelab.runs.latent_summary import ROWS, Codes, check_temperature, slerp
from vaelab.utils.hints import Hinting


class Inference(Hinting):
    """Encode, decode, sample, vary: all that takes a model, its data's scale and its codes.

    Attributes:
        recipe: trained recipe.
        codes: statistics of the codes.
        condition: condition of a conditional model, (1, C) for all examples or (N, C).
        shapes: shapes of the latents of one example, by site.
    """

    recipe: Recipe
    codes: Codes
    condition: Tensor | None
    shapes: tuple[torch.Size, ...]

    @abstractmethod
    def admit(self, raw: Any) -> Raw:
        """Convert any input to raw rows (N, *shape) of the data, and check them."""

    @abstractmethod
    def _under(self, condition: Tensor | None) -> Self:
        """The same under another condition."""

    @property
    def model(self) -> VAE:
        """Model with its best weights, on the CPU unless moved with `to`."""
        return self.recipe.model

    @property
    def device(self) -> torch.device:
        """Device of the model."""
        return next(self.model.parameters()).device

    def to(self, device: str | torch.device) -> Self:
        """Move the model to a device and return the run; inputs and outputs stay on the CPU."""
        self.model.to(device)
        return self

    @property
    def spec(self) -> DataSpec:
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
            x = torch.zeros(1, *self.spec.shape, device=self.device)
            return self.model(x, condition=self.example_condition).has_rate

    @property
    def example_condition(self) -> Condition:
        """One possible condition, (1, C), on the run's device; () for an unconditional model."""
        return self._here(*example_condition(self.spec)[0])

    def conditioned_on(self, known: Known) -> Self:
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
        return self._under(vectors(self.spec, known))

    def told(self, known: Tensor | None) -> Self:
        """Return the run under the stored conditions of its own rows, unless it has one already."""
        return (
            self
            if known is None or self.condition is not None
            else self._under(self.spec.tell(known)[0])
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
        run = self._under(next(iter(conditions), None))
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
        ends = torch.cat([self.admit(x)[:] for x in (a, b)])
        if len(ends) != 2:
            raise ValueError(f"one example of shape {self.spec.shape} is expected at each end")
        start, end = self.encode(Admitted(ends))
        t = torch.linspace(0, 1, steps)[:, None]
        conditions = [torch.lerp(c[0], c[1], t) for c in self._condition_for(2)]
        run = self._under(next(iter(conditions), None))
        return run.decode(slerp(start, end, t) if spherical else torch.lerp(start, end, t))

    def traverse(
        self,
        dimensions: int | Sequence[int] | None = None,
        steps: int = 9,
        *,
        start: Tensor | None = None,
        reach: float = 3.0,
    ) -> Tensor:
        """Vary each dimension alone from −reach to +reach standard deviations: (len, steps, …).

        Args:
            dimensions: index into the code, or several; by default all, by information.
            steps: number of positions on each dimension.
            start: code (L,) to vary; the mean code by default.
            reach: range in standard deviations of the prior, or of the codes if they are wider.
        """
        if dimensions is None:
            dimensions = self.codes.order
        elif isinstance(dimensions, int):
            dimensions = [dimensions]
        self.codes.check(dimensions, steps)
        base = torch.tensor(self.codes.mean) if start is None else start
        if base.shape != (self.latent,):
            raise ValueError(f"start has shape {tuple(base.shape)}; expected ({self.latent},)")
        codes = self.codes.traversal(base, dimensions, steps, reach)
        return self.decode(codes.flatten(0, 1)).unflatten(0, (len(dimensions), steps))

    def _out(self, trace: Any, draw: bool) -> Tensor:
        x = trace.likelihood.sample() if draw else trace.likelihood.mean
        return self.spec.unscale(x.cpu())

    def _part(self, condition: Condition, start: int) -> Condition:
        return self._here(*(c[start : start + ROWS] for c in condition))

    def _here(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(t.to(self.device) for t in tensors)
