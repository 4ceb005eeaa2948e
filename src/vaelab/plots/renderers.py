"""Renderers: pictures of examples, cell by cell or column by column.

Images and long rows are drawn as cells, rows of a table as one panel a column; `find_renderer` is
the one place that decides it from the data.
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
    """Pictures of raw examples of one data set, each with its caption.

    Attributes:
        new: number of samples in a picture.
        kept: number of reconstructions.
        varied: number of examples that are varied, and of variations of each.
        interpolated: number of interpolated pairs.
        steps: number of positions on a traversal.
        legible: True if each column has its own panel, so that values can be read off.
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
        """Samples (N, …), beside rows of the data if these help; and the end of the caption."""

    @abstractmethod
    def comparison(self, raw: Tensor, made: Tensor) -> tuple[Picture, str]:
        """Originals (N, …) and their reconstructions; and the caption."""

    @abstractmethod
    def variations(self, raw: Tensor, made: Tensor) -> tuple[Picture, str]:
        """Originals (N, …) and variations (N, n, …) of each; and the caption."""

    @abstractmethod
    def interpolations(self, made: Tensor) -> tuple[Picture, str]:
        """Decoded points (N, steps, …) between the codes of N pairs; and the caption."""

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
        """Latent dimensions (L, steps, …); how many are shown, and the place of their names."""


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
        return picture, f"upper rows: {len(raw)} originals; lower rows: their reconstructions"

    def variations(self, raw: Tensor, made: Tensor) -> tuple[Picture, str]:
        picture = plots.rows(
            list(self._shown(made)), self._shown(raw), span=color_limits(self.spec)
        )
        return picture, "left: originals; right: variations of each"

    def interpolations(self, made: Tensor) -> tuple[Picture, str]:
        values = self._shown(made)
        across = self.spec.is_image
        lines = values if across else values.swapaxes(0, 1)
        ends, between = ("left and right", "rows") if across else ("top and bottom", "columns")
        picture = plots.rows(list(lines), span=color_limits(self.spec))
        return (
            picture,
            f"{ends}: reconstructions of pairs; {between}: interpolations of their codes",
        )

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
        return picture, f"across: {len(raw)} originals; up: their reconstructions{self._only()}"

    def variations(self, raw: Tensor, made: Tensor) -> tuple[Picture, str]:
        picture = plots.spread(self._rows(raw), self._rows(made), self._header())
        return picture, f"bars: originals; points: variations of each{self._only()}"

    def interpolations(self, made: Tensor) -> tuple[Picture, str]:
        across = np.linspace(0, 1, made.shape[1])
        picture = plots.lines(self._rows(made), across, self._header(), "from end to end")
        caption = "left and right: reconstructions of pairs; between: interpolations of their codes"
        return picture, f"{caption}{self._only()}"

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
        rows = self.spec.flat(torch.as_tensor(raw))
        return rows[..., :MOST_PANELS].float().cpu().numpy()

    def _only(self) -> str:
        dims = self.spec.dims
        return f", the first {MOST_PANELS} of {dims} columns" if dims > MOST_PANELS else ""


def find_renderer(spec: DataSpec) -> Renderer:
    """Renderer of examples of this data."""
    long = spec.dims > MOST_PANELS and not spec.header
    return GridRenderer(spec) if spec.is_image or long else ColumnRenderer(spec)
