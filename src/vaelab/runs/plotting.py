"""Figures of a run: `run.plot.samples()` and the like, as matplotlib figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vaelab import plots
from vaelab.data import Data
from vaelab.plots import gallery
from vaelab.plots.renderers import find_renderer
from vaelab.utils.hints import Hinting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vaelab.runs.run import Run

PathLike = str | Path | None


@dataclass(frozen=True)
class Plots(Hinting):
    """Figures of a run; `save=` also writes each, as .png, .svg or .pdf.

    A picture of pixels is shown pixel for pixel. The caption is the label of the figure,
    `figure.get_label()`. Examples are held out, and chosen by seed 0.

    Attributes:
        run: the run.
    """

    run: Run

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        """Refuse a call, and name the figures.

        Raises:
            TypeError: always.
        """
        names = [name for name in vars(type(self)) if not name.startswith("_") and name != "run"]
        raise TypeError(f"name a figure: run.plot.samples() and likewise {', '.join(names)}")

    def samples(self, *, save: PathLike = None) -> Figure:
        """Decoded draws from the prior."""
        return self._drawn(gallery.samples, save)

    def reconstructions(self, *, save: PathLike = None) -> Figure:
        """Held-out examples above their reconstructions."""
        return self._drawn(gallery.reconstructions, save)

    def variations(self, *, save: PathLike = None) -> Figure:
        """Decoded draws from the posteriors of held-out examples."""
        return self._drawn(gallery.variations, save)

    def interpolation(
        self, a: Any = None, b: Any = None, steps: int = 10, *, save: PathLike = None
    ) -> Figure:
        """Interpolations from a to b, each one raw example; by default between held-out pairs."""
        if a is None and b is None:
            return self._drawn(gallery.interpolation, save)
        made = self.run.interpolate(a, b, steps)[None]
        return _figure(find_renderer(self.run.spec).interpolations(made), save)

    def training(self, *, save: PathLike = None) -> Figure:
        """Training curves: loss, rate and distortion by epoch."""
        if not self.run.history:
            raise ValueError("the run has no history: its model was trained elsewhere")
        return _figure(gallery.training(self.run, self.run.data), save)

    def latent_map(
        self, dimensions: tuple[int, int] | None = None, *, save: PathLike = None
    ) -> Figure:
        """Posterior means in two latent dimensions by class; by default those of the highest rate.

        Raises:
            ValueError: for a run of one latent dimension.
        """
        if dimensions is None and gallery.flat(self.run):
            return self._drawn(gallery.latent_map, save)
        if self.run.latent < 2:
            raise ValueError("a map needs 2 latent dimensions, the run has 1")
        i, j = dimensions or self.run.codes.order[:2]
        self.run.codes.check((i, j), 1)
        data = self.run.data
        which = torch.arange(min(gallery.MOST_CODES, len(data.test)))
        known = gallery.conditioned(self.run, data, which)
        mu = known.encode(data.test.x[which])[:, [i, j]].numpy()
        labels = None if data.test.y is None else data.test.y[which].numpy()
        title = f"posterior means in z{i} and z{j}" + ("" if labels is None else " by class")
        picture = plots.latent_map(mu, None, labels, self.run.spec.classes, title=title)
        return _figure((picture, f"{len(mu):,} held-out {title}"), save)

    def manifold(self, *, save: PathLike = None) -> Figure:
        """Images decoded from a grid of two latent dimensions."""
        return self._drawn(gallery.manifold, save)

    def traversal(self, most: int = 16, steps: int = 9, *, save: PathLike = None) -> Figure:
        """One latent dimension a row, those of the highest rate first, from −3 σ to 3 σ."""
        run, _ = gallery.first(self.run)
        return _figure(gallery.traverse(run, most, steps), save)

    def _drawn(self, draw: Callable[[Run, Data], gallery.Shown], save: PathLike) -> Figure:
        drawn = draw(self.run, self.run.data)
        if drawn is None:
            what = getattr(draw, "__name__", "figure").replace("_", " ")
            raise ValueError(f"a {what} does not fit this run: {draw.__doc__}")
        return _figure(drawn, save)


def _figure(drawn: gallery.Shown, save: PathLike) -> Figure:
    """The picture as a figure, with its caption as the label."""
    from matplotlib.figure import Figure

    assert drawn is not None
    picture, caption = drawn
    if not isinstance(picture, Figure):
        pixels, dpi = np.asarray(picture.convert("RGBA")), 100
        height, width = pixels.shape[:2]
        figure = plots.figure(width / dpi, height / dpi)
        figure.set_layout_engine("none")
        figure.set_dpi(dpi)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.imshow(pixels, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        picture = figure
    picture.set_label(caption)
    if save is not None:
        plots.save(picture, save)
    return picture
