"""How examples are shown: images and long rows cell by cell, rows of a table column by column.

This is the one place where the kind of a picture follows from the data.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from vaelab import plots
from vaelab.data import DataSpec
from vaelab.plots import Picture
from vaelab.plots.cells import Array
from vaelab.plots.scaling import color_limits, to_display

MOST_PANELS = 36
"""Columns that are shown each in its own panel."""
MOST_LINES = 8
LATTICE = 560
"""Pixels, the width of a lattice of images, about."""


class Renderer(ABC):
    """How raw examples of a run are shown.

    Attributes:
        new: samples in a picture.
        kept: reconstructions.
        varied: examples that are varied, and variations of each.
        interpolated: pairs that are interpolated.
        steps: on a traversal.
        legible: whether each column has its own panel, so that values can be read off.
    """

    new: ClassVar[int]
    kept: ClassVar[int]
    varied: ClassVar[tuple[int, int]]
    interpolated: ClassVar[int]
    steps: ClassVar[int]
    legible: ClassVar[bool]

    def __init__(self, spec: DataSpec) -> None:
        self.spec = spec

    @abstractmethod
    def samples(self, made: Tensor, data: Tensor | None) -> tuple[Picture, str]:
        """New examples (N, …), beside rows of the data where these help; and how to read it."""

    @abstractmethod
    def comparison(self, raw: Tensor, made: Tensor) -> tuple[Picture, str]:
        """Originals (N, …) and their reconstructions; and how to read it."""

    @abstractmethod
    def variations(self, raw: Tensor, made: Tensor) -> tuple[Picture, str]:
        """Originals (N, …) and variations (N, n, …) of each; and how to read it."""

    @abstractmethod
    def interpolations(self, made: Tensor) -> Picture:
        """Walks (N, steps, …)."""

    @property
    @abstractmethod
    def side(self) -> int:
        """Examples across a lattice."""

    @abstractmethod
    def lattice(self, made: Tensor) -> Picture:
        """A square of decoded codes (side², …), line by line from the top."""

    @abstractmethod
    def traversal(
        self,
        made: Tensor,
        names: Sequence[str],
        active: Sequence[bool],
        deviations: Sequence[float],
    ) -> tuple[Picture, int, str]:
        """Latent dimensions (L, steps, …); how many are shown, and where their names are."""


class GridRenderer(Renderer):
    """A cell of pixels or a strip of colours for each example."""

    new, kept, varied, interpolated, steps = 64, 20, (6, 8), 6, 9
    legible = False

    def samples(self, made: Tensor, data: Tensor | None) -> tuple[Picture, str]:
        return plots.grid(self._shown(made), span=color_limits(self.spec)), ""

    def comparison(self, raw: Tensor, made: Tensor) -> tuple[Picture, str]:
        picture = plots.comparison(
            self._shown(raw), self._shown(made), span=color_limits(self.spec)
        )
        return picture, f"{len(raw)} held-out examples above their reconstructions"

    def variations(self, raw: Tensor, made: Tensor) -> tuple[Picture, str]:
        picture = plots.rows(
            list(self._shown(made)), self._shown(raw), span=color_limits(self.spec)
        )
        return picture, "held-out examples at the left, variations of each"

    def interpolations(self, made: Tensor) -> Picture:
        values = self._shown(made)
        # Images from left to right, strips from top to bottom.
        lines = values if self.spec.is_image else values.swapaxes(0, 1)
        return plots.rows(list(lines), span=color_limits(self.spec))

    @property
    def side(self) -> int:
        return max(8, min(20, 900 // max(self.spec.shape[-2:]))) if self.spec.is_image else 4

    def lattice(self, made: Tensor) -> Picture:
        longer = max(self.spec.shape[-2:])
        scale = max(1, round(LATTICE / self.side / longer)) if self.spec.is_image else None
        return plots.manifold(self._shown(made), self.side, scale)

    def traversal(
        self,
        made: Tensor,
        names: Sequence[str],
        active: Sequence[bool],
        deviations: Sequence[float],
    ) -> tuple[Picture, int, str]:
        values = self._shown(made)
        picture = plots.traversal(values, active, names, deviations, span=color_limits(self.spec))
        return picture, len(made), "at the left"

    def _shown(self, raw: Tensor) -> Array:
        return to_display(raw, self.spec)


class ColumnRenderer(Renderer):
    """A panel for each of the first columns."""

    new, kept, varied, interpolated, steps = 2000, 400, (6, 24), 3, 41
    legible, side = True, 41

    def samples(self, made: Tensor, data: Tensor | None) -> tuple[Picture, str]:
        outline = "" if data is None else "; outline: training rows"
        real = None if data is None else self._rows(data)
        picture = plots.marginals(self._rows(made), real, self._header())
        return picture, f"; filled: the samples{outline}{self._only()}"

    def comparison(self, raw: Tensor, made: Tensor) -> tuple[Picture, str]:
        picture = plots.agreement(self._rows(raw), self._rows(made), self._header())
        return picture, f"{len(raw)} held-out rows across, their reconstructions up{self._only()}"

    def variations(self, raw: Tensor, made: Tensor) -> tuple[Picture, str]:
        picture = plots.spread(self._rows(raw), self._rows(made), self._header())
        return picture, f"held-out rows as bars, variations of each as points{self._only()}"

    def interpolations(self, made: Tensor) -> Picture:
        across = np.linspace(0, 1, made.shape[1])
        return plots.lines(self._rows(made), across, self._header(), "from end to end")

    def lattice(self, made: Tensor) -> Picture:
        return plots.plane(self._rows(made), self._header())

    def traversal(
        self,
        made: Tensor,
        names: Sequence[str],
        active: Sequence[bool],
        deviations: Sequence[float],
    ) -> tuple[Picture, int, str]:
        n = min(MOST_LINES, len(made))
        made, names, active = made[:n], names[:n], active[:n]
        rows, way = self._rows(made), "standard deviations"
        picture = plots.lines(rows, deviations, self._header(), way, names, active)
        return picture, n, "below"

    def _header(self) -> plots.tables.Header:
        return self.spec.headings[:MOST_PANELS]

    def _rows(self, raw: Tensor) -> Array:
        return torch.as_tensor(raw)[..., :MOST_PANELS].float().cpu().numpy()

    def _only(self) -> str:
        dims = self.spec.dims
        return f", the first {MOST_PANELS} of {dims} columns" if dims > MOST_PANELS else ""


def find_renderer(spec: DataSpec) -> Renderer:
    """How examples of this data are shown."""
    long = spec.dims > MOST_PANELS and not spec.header
    return GridRenderer(spec) if spec.is_image or long else ColumnRenderer(spec)
