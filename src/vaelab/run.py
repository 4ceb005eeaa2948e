"""A run: a trained model with all it takes to use it, in memory and on disk.

    recipe.json           name and arguments of the recipe, data specification, training, versions
    weights.safetensors   the best weights
    optimizer.safetensors the optimizer's state that belongs to them
    metrics.jsonl         one line an epoch
    codes.json            what training codes look like: spread and rate by latent dimension

Loading executes nothing that a file names: a recipe is found by its name among the library's own,
its arguments are checked against its signature, and every tensor against the model's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

import vaelab.recipes  # noqa: F401  (its functions register themselves)
from vaelab import __version__, files
from vaelab.data import Batches, DataSpec
from vaelab.recipe import Recipe, as_json, rebuild
from vaelab.walk import VAE, kl_by_dimension

FORMAT = 1
RECIPE, WEIGHTS, OPTIMIZER = "recipe.json", "weights.safetensors", "optimizer.safetensors"
METRICS, CODES = "metrics.jsonl", "codes.json"
ROWS = 1024


@dataclass(frozen=True)
class Codes:
    """What the codes of the validation split look like, by latent dimension.

    Attributes:
        mean: of the posterior means.
        spread: their standard deviation; a unit is active where its square exceeds 0.01.
        rate: mean KL in nats; None where it has no closed form by dimension.
    """

    mean: list[float]
    spread: list[float]
    rate: list[float] | None

    @property
    def active(self) -> list[bool]:
        """Var_x(E[z_j|x]) > 0.01 (1509.00519)."""
        return [s**2 > 0.01 for s in self.spread]

    @property
    def order(self) -> list[int]:
        """Dimensions by what they carry, most first: by rate, or by spread without one."""
        carried = self.spread if self.rate is None else self.rate
        return sorted(range(len(carried)), key=lambda j: -carried[j])


@dataclass(eq=False)
class Run:
    """A trained model: raw data in, raw data out.

    A *code* is the latents of all sites of one example side by side, (L,). Images come out as the
    likelihood's mean on the raw scale, unrounded (0–255 for 8-bit images); `draw=True` draws from
    the likelihood instead.

    Attributes:
        recipe: what was trained.
        training: how, as a JSON object.
        history: one row of figures an epoch.
        codes: what training codes look like.
        path: where it is kept, if it is.
    """

    recipe: Recipe
    training: dict[str, Any]
    history: list[dict[str, float]]
    codes: Codes
    path: Path | None = None
    shapes: tuple[torch.Size, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.model.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            self.shapes = tuple(z.shape[1:] for z in self.model.sample(1).latents)

    @property
    def model(self) -> VAE:
        """The model, on the CPU, with its best weights."""
        return self.recipe.model

    @property
    def data(self) -> DataSpec:
        """The data's specification, normalisation included."""
        return self.recipe.data

    @property
    def latent(self) -> int:
        """Numbers in a code."""
        return sum(math.prod(shape) for shape in self.shapes)

    @torch.no_grad()
    def encode(self, raw: Any, *, temperature: float = 0.0, seed: int = 0) -> Tensor:
        """The codes (N, L) of raw rows (N, …): posterior means, or draws at temperature 1."""
        x = self._prepared(raw)
        with _seeded(seed):
            return torch.cat(
                [self._join(self.model(b, temperature=temperature).latents) for b in x.split(ROWS)]
            )

    @torch.no_grad()
    def decode(self, codes: Any, *, draw: bool = False, seed: int = 0) -> Tensor:
        """Raw data (N, …) from codes (N, L)."""
        z = torch.as_tensor(codes, dtype=torch.float32)
        if z.ndim != 2 or z.shape[1] != self.latent:
            raise ValueError(f"codes have shape {tuple(z.shape)}; expected (N, {self.latent})")
        with _seeded(seed):
            return torch.cat(
                [self._out(self.model.decode(self._cut(b)), draw) for b in z.split(ROWS)]
            )

    def reconstruct(self, raw: Any, *, draw: bool = False, seed: int = 0) -> Tensor:
        """Raw data (N, …) decoded from the codes of raw rows."""
        return self.decode(self.encode(raw), draw=draw, seed=seed)

    @torch.no_grad()
    def sample(
        self, n: int, *, temperature: float = 1.0, draw: bool = False, seed: int = 0
    ) -> Tensor:
        """n new examples (n, …) from the prior."""
        if n < 1:
            raise ValueError(f"n is {n}; ask for at least 1 sample")
        sizes = [min(ROWS, n - start) for start in range(0, n, ROWS)]
        with _seeded(seed):
            return torch.cat([self._out(self.model.sample(b, temperature), draw) for b in sizes])

    def vary(self, raw: Any, n: int = 8, *, temperature: float = 1.0, seed: int = 0) -> Tensor:
        """n variations (N, n, …) of each raw row: decoded draws from its posterior."""
        rows = torch.as_tensor(raw).repeat_interleave(n, 0)
        codes = self.encode(rows, temperature=temperature, seed=seed)
        return self.decode(codes, seed=seed).unflatten(0, (-1, n))

    def interpolate(self, a: Any, b: Any, steps: int = 10, *, spherical: bool = False) -> Tensor:
        """The walk (steps, …) from one raw example to another, both ends included."""
        if steps < 2:
            raise ValueError(f"steps is {steps}; a walk has at least its 2 ends")
        start, end = self.encode(torch.stack([torch.as_tensor(a), torch.as_tensor(b)]))
        t = torch.linspace(0, 1, steps)[:, None]
        return self.decode(slerp(start, end, t) if spherical else torch.lerp(start, end, t))

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
            start: the code (L,) the others stay at; the mean code by default.
            reach: in standard deviations of the prior, or of the codes where they are wider.
        """
        base = torch.tensor(self.codes.mean) if start is None else start
        codes = base.repeat(len(dimensions), steps, 1)
        for row, j in enumerate(dimensions):
            width = reach * max(1.0, self.codes.spread[j])
            codes[row, :, j] = self.codes.mean[j] + torch.linspace(-width, width, steps)
        return self.decode(codes.flatten(0, 1)).unflatten(0, (len(dimensions), steps))

    def save(self, path: str | Path, optimizer: Mapping[str, Tensor] | None = None) -> Path:
        """Writes the run to a folder, each file whole or not at all; returns the folder."""
        folder = Path(path)
        folder.mkdir(parents=True, exist_ok=True)
        files.write(folder / WEIGHTS, save(self.model.state_dict()))
        if optimizer:
            files.write(folder / OPTIMIZER, save(dict(optimizer)))
        lines = "".join(json.dumps(row) + "\n" for row in self.history)
        files.write(folder / METRICS, lines)
        files.write_json(folder / CODES, asdict(self.codes))
        files.write_json(folder / RECIPE, describe(self.recipe, self.training))
        self.path = folder
        return folder

    def _prepared(self, raw: Any) -> Tensor:
        return self.data.prepare(torch.as_tensor(raw))

    def _join(self, latents: Sequence[Tensor]) -> Tensor:
        return torch.cat([z.flatten(1) for z in latents], 1)

    def _cut(self, codes: Tensor) -> list[Tensor]:
        sizes = [math.prod(shape) for shape in self.shapes]
        parts = codes.split(sizes, 1)
        return [z.unflatten(1, s) for z, s in zip(parts, self.shapes, strict=True)]

    def _out(self, trace: Any, draw: bool) -> Tensor:
        x = trace.likelihood.sample() if draw else trace.likelihood.mean
        return self.data.unscale(x)


def slerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """Along the great circle between the directions of a and b (L,), their lengths interpolated."""
    cosine = torch.dot(a, b) / (a.norm() * b.norm()).clamp(min=1e-12)
    angle = torch.acos(cosine.clamp(-1, 1))
    if torch.sin(angle) < 1e-4:
        return torch.lerp(a, b, t)
    way = torch.sin((1 - t) * angle) * a / a.norm() + torch.sin(t * angle) * b / b.norm()
    return way / torch.sin(angle) * torch.lerp(a.norm(), b.norm(), t)


@torch.no_grad()
def survey(model: VAE, batches: Batches, seed: int = 0) -> Codes:
    """Looks at the codes of a split: mean, spread and rate by latent dimension."""
    means, rates = [], []
    with _seeded(seed):
        for x in batches.fixed(ROWS, seed):
            trace = model(x)
            means.append(torch.cat([s.posterior.mean.flatten(1) for s in trace.sites], 1))
            by_site = [kl_by_dimension(s.posterior, s.prior) for s in trace.sites]
            closed = [kl.flatten(1) for kl in by_site if kl is not None]
            if len(closed) == len(by_site):
                rates.append(torch.cat(closed, 1))
    mu = torch.cat(means)
    rate = torch.cat(rates).mean(0).tolist() if rates else None
    return Codes(mu.mean(0).tolist(), mu.std(0, unbiased=False).tolist(), rate)


def describe(recipe: Recipe, training: Mapping[str, Any]) -> dict[str, Any]:
    """The content of recipe.json."""
    return {
        "format": FORMAT,
        "vaelab": __version__,
        "torch": str(torch.__version__),
        "recipe": recipe.name,
        "arguments": as_json(recipe.arguments),
        "likelihood": recipe.reason,
        "data": recipe.data.to_json(),
        "training": dict(training),
    }


def load(path: str | Path) -> Run:
    """Reads a run from its folder.

    Raises:
        FileNotFoundError: where there is no run.
        ValueError: where a file is damaged, foreign, or names what the library does not have.
    """
    folder = Path(path)
    if not (folder / RECIPE).is_file():
        what = "holds no run (no recipe.json)" if folder.is_dir() else "does not exist"
        raise FileNotFoundError(f"{folder} {what}; train one with `vaelab train vae --data digits`")
    about = files.read_json(folder / RECIPE)
    needed = {"format", "recipe", "arguments", "data", "training"}
    if not isinstance(about, dict) or needed - set(about):
        raise ValueError(f"{folder / RECIPE} is not a run's recipe: it lacks {sorted(needed)}")
    if about["format"] != FORMAT:
        raise ValueError(
            f"{folder / RECIPE} has format {about['format']!r}; this version reads {FORMAT}"
        )
    try:
        spec = DataSpec.from_json(about["data"])
        recipe = rebuild(about["recipe"], about["arguments"], spec)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder / RECIPE}: {error}") from None
    _load_weights(recipe.model, folder / WEIGHTS)
    history = files.read_lines(folder / METRICS)
    codes = files.read_json(folder / CODES)
    try:
        return Run(recipe, about["training"], history, Codes(**codes), folder)
    except TypeError:
        raise ValueError(f"{folder / CODES} does not describe codes; train the run anew") from None


def _load_weights(model: VAE, path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; the run cannot be used without its weights")
    try:
        weights = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}); restore it or train the run anew") from None
    own = model.state_dict()
    wrong = sorted(set(own) ^ set(weights))
    wrong += [k for k in sorted(set(own) & set(weights)) if own[k].shape != weights[k].shape]
    if wrong:
        raise ValueError(
            f"{path} does not belong to this recipe: {len(wrong)} tensors are missing, foreign or "
            f"of another shape, the first {wrong[0]!r}"
        )
    bad = [k for k, t in weights.items() if not torch.isfinite(t).all()]
    if bad:
        raise ValueError(f"{path} holds values that are not finite, in {bad[0]!r}")
    model.load_state_dict(weights)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Random draws inside come from a seed; the caller's random state is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
