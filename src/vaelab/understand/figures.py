r"""All figures of a study, section by section, and the facts that belong to them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from vaelab import plots
from vaelab.metrics import Support, code_scale
from vaelab.plots import Picture
from vaelab.plots.renderers import find_renderer
from vaelab.understand import galleries, landmarks, maps
from vaelab.understand.benchmark import LEVEL, Benchmark, Cloud, K, decode, encode
from vaelab.understand.galleries import DRAWS, PATHS, TEMPERATURES
from vaelab.understand.study import FLAT, MODELS, Study, Watcher, key

INPUTS = 5
LEAST = 0.1
"""Half the length of a strip, in units of the codes' scale, at least."""

PAIR = ("ae", "vae")
"""The two whose pictures are set side by side."""


@dataclass(frozen=True)
class Album:
    """The figures of a study.

    Attributes:
        files: the files written.
        facts: what understand.json says of them.
    """

    files: list[Path]
    facts: dict[str, Any]


def draw(study: Study, ground: Benchmark, folder: Path, watcher: Watcher | None = None) -> Album:
    """Draw every figure into a folder.

    Args:
        study: the trained models.
        ground: the common reference of the study.
        folder: folder for the figures; made if it is missing.
        watcher: callback for every picture.
    """
    sections = Sections(study, ground)
    files, listed = [], []
    for number, (name, picture) in enumerate(sections.pictures(), 1):
        path = plots.save(picture, folder / f"{name}.png")
        files.append(path)
        listed.append(_listed(path, picture))
        if watcher is not None:
            watcher.on_progress("draw", name, number, FIGURES)
    return Album(files, sections.facts | {"pictures": listed})


FIGURES = 32
"""Largest number of figures."""


def _listed(path: Path, picture: Picture) -> dict[str, Any]:
    if isinstance(picture, Image.Image):
        width, height, kind = *picture.size, "pixels"
    else:
        width, height = (round(inches * picture.dpi) for inches in picture.get_size_inches())
        kind = "drawing"
    return {
        "file": path.name,
        "section": int(path.name[0]),
        "width": width,
        "height": height,
        "kind": kind,
    }


class Sections:
    """The sections of the argument: each yields pictures by name and leaves its facts.

    Args:
        study: the trained models.
        ground: the common reference of the study.
    """

    def __init__(self, study: Study, ground: Benchmark) -> None:
        self.study, self.ground = study, ground
        self.facts: dict[str, Any] = {
            "temperatures": list(TEMPERATURES),
            "history": {name: history(run.history) for name, run in study.runs.items()},
        }
        self.clouds = {model: self.encoded(model, FLAT) for model in MODELS}
        self.names = maps.Names(ground.train.y, ground.spec.classes)
        self.rows = self.chosen()
        self.sizes = {FLAT: "2", study.wide: "wide"}

    def pictures(self) -> Iterator[tuple[str, Picture]]:
        """Every picture, in the order of the page."""
        sections: list[Callable[[], Iterator[tuple[str, Picture]]]] = [
            self.gaps,
            self.regions,
            self.loss,
            self.continuity,
            self.generation,
            self.variations,
        ]
        for section in sections:
            yield from section()

    def encoded(self, model: str, latent: int) -> Cloud:
        """The training codes of a model."""
        return encode(self.study.run(model, latent), self.ground.train.x)

    def chosen(self) -> Tensor:
        """A few held-out rows, drawn by the seed, each of another class while there are any."""
        order = torch.randperm(len(self.ground.held), generator=self.ground.generator(22))
        if self.ground.held.y is None:
            return order[:INPUTS]
        seen: dict[int, int] = {}
        for row in order.tolist():
            seen.setdefault(int(self.ground.held.y[row]), row)
        rest = [row for row in order.tolist() if row not in seen.values()]
        return torch.tensor([*seen.values(), *rest][:INPUTS])

    def gaps(self) -> Iterator[tuple[str, Picture]]:
        """1: the autoencoder's map and what lies between its codes."""
        run, cloud = self.study.run("ae", FLAT), self.clouds["ae"]
        support = self.ground.support

        def distance(z: Tensor) -> Tensor:
            return support.distances(decode(run, z))

        scale = code_scale(cloud.mu)
        held = encode(run, self.ground.held.x).mu
        codes = Support.calibrate(cloud.mu, held, K, LEVEL)
        far = landmarks.strayed(cloud.mu, distance, LEAST * scale)
        across = math.dist(far.start, far.end)
        segments = {"gap": far, "class": landmarks.core(cloud.mu, self.ground.train.y, across)}
        yield from maps.gap_maps(run, cloud, self.names, scale, segments).items()
        steps = find_renderer(run.spec).steps
        self.facts["strips"] = {
            name: {
                "from": list(s.start),
                "to": list(s.end),
                "distance": s.distance,
                "label": s.label,
                "hole": bool(codes.outside(s.points(3)[1:2])),
                "points": steps,
                "off": None
                if self.ground.repeats
                else int(support.outside(decode(run, s.points(steps))).sum()),
            }
            for name, s in segments.items()
        }
        for name, segment in segments.items():
            yield f"1-strip-{name}", galleries.strip(run, segment)

    def regions(self) -> Iterator[tuple[str, Picture]]:
        """2: posteriors of a few inputs."""
        x, y = self.ground.held.x[self.rows], self.ground.held.y
        labels = None if y is None else y[self.rows]
        codes: list[dict[str, Any]] = [{} for _ in self.rows]
        for latent, size in self.sizes.items():
            run = self.study.run("vae", latent)
            cloud = encode(run, x)
            noise = torch.randn(len(x), DRAWS, latent, generator=self.ground.generator(23))
            draws = cloud.mu[:, None] + cloud.sigma[:, None] * noise
            if latent == FLAT:
                count = len(self.ground.spec.classes)
                yield "2-ellipses", maps.ellipses(self.clouds["vae"], cloud, draws, labels, count)
            yield f"2-samples-{size}", galleries.redraws(run, self.ground, self.rows, draws)
            for row, mu, sigma in zip(codes, cloud.mu, cloud.sigma, strict=True):
                row[key("vae", latent)] = {"mean": mu.tolist(), "std": sigma.tolist()}
        self.facts["inputs"] = [
            {
                "row": int(row),
                "label": None if labels is None else int(labels[i]),
                "codes": codes[i],
            }
            for i, row in enumerate(self.rows)
        ]

    def loss(self) -> Iterator[tuple[str, Picture]]:
        """3: what each term does to the map."""
        yield from maps.four_maps(self.clouds, self.names).items()

    def continuity(self) -> Iterator[tuple[str, Picture]]:
        """4: walks, and the aggregate posterior."""
        for latent, size in self.sizes.items():
            for model in PAIR:
                run = self.study.run(model, latent)
                yield f"4-walks-{model}-{size}", galleries.interpolations(run, self.ground)
        yield from maps.densities({model: self.clouds[model] for model in PAIR}).items()
        y, pairs = self.ground.held.y, self.ground.pairs[:PATHS]
        self.facts["walk_pairs"] = None if y is None else y[pairs].tolist()

    def generation(self) -> Iterator[tuple[str, Picture]]:
        """5: the decoder alone."""
        for latent, size in self.sizes.items():
            for model in PAIR:
                run = self.study.run(model, latent)
                yield f"5-samples-{model}-{size}", galleries.samples(run, self.ground)
        for model in PAIR:
            yield f"5-manifold-{model}", galleries.manifold(self.study.run(model, FLAT))

    def variations(self) -> Iterator[tuple[str, Picture]]:
        """6: from small to large temperature; the autoencoder is given noise of like size."""
        row = int(self.rows[0])
        self.facts |= {"noise": {}, "noise_relative": {}}
        for latent, size in self.sizes.items():
            noise, ratio = galleries.noise_like(
                self.encoded("vae", latent), self.encoded("ae", latent)
            )
            self.facts["noise"][key("ae", latent)] = float(noise.mean())
            self.facts["noise_relative"][str(latent)] = ratio
            vae = self.study.run("vae", latent)
            sigma = encode(vae, self.ground.held.x[row : row + 1]).sigma[0]
            ae = self.study.run("ae", latent)
            for model, run, scale in (("ae", ae, noise), ("vae", vae, sigma)):
                name = f"6-variations-{model}-{size}"
                yield name, galleries.variations(run, self.ground, row, scale)


def history(rows: list[dict[str, float]]) -> dict[str, list[float]]:
    """Distortion and rate of the validation split over epochs, those that there are."""
    names = [name for name in ("distortion", "rate") if f"valid_{name}" in rows[0]]
    return {name: [row[f"valid_{name}"] for row in rows] for name in names}
