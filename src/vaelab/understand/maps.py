r"""The drawings of the two-dimensional latent spaces: maps, gaps, ellipses, densities.

All maps that are compared share their axes; the codes are those of the training data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import NDArray
from torch import Tensor

from vaelab import plots
from vaelab.metrics import nearest, round_trip_error
from vaelab.plots import Picture
from vaelab.plots.style import GREY, styled
from vaelab.runs.run import Run
from vaelab.understand.benchmark import Cloud, returned
from vaelab.understand.landmarks import Extent, Segment, lattice

NEAR: Extent = (-4.0, 4.0, -4.0, 4.0)
"""The neighbourhood of the prior."""

SMALL = 3.2
"""Inches of a map that stands beside three others."""

WIDTH, HEIGHT, BOX = 4.85, 4.1, 3.7
"""Inches of a figure that may have a colour bar, and of its axes."""

SHOWN = 4_000
GRID = 150
TAIL = 0.005
"""Share of the codes beyond each side of a frame: a few far codes must not make the rest a dot."""


def frame(*codes: Tensor) -> Extent:
    """The square that holds all but the outermost of some clouds (N, 2), and the prior."""
    inner = []
    for z in codes:
        low, high = torch.quantile(z, torch.tensor([TAIL, 1 - TAIL]), dim=0)
        inner.append(torch.stack([low, high]).numpy())
    return plots.limits(*inner)


class Names:
    """Labels and class names as maps take them.

    Args:
        labels: (N,), None if there are none.
        classes: names by label.
    """

    def __init__(self, labels: Tensor | None, classes: Sequence[str]) -> None:
        self.labels = labels
        self.classes = tuple(classes) if labels is not None else ()

    def select(self, chosen: Tensor) -> Names:
        """Those of some codes."""
        return Names(None if self.labels is None else self.labels[chosen], self.classes)

    def map(self, cloud: Cloud, extent: Extent, axes: Axes) -> None:
        """The codes of one model, with some posteriors if they are not points."""
        sigma = None if cloud.is_points else cloud.sigma[:SHOWN].numpy()
        plots.latent_map(
            cloud.mu[:SHOWN].numpy(),
            sigma,
            None if self.labels is None else self.labels[:SHOWN].numpy(),
            self.classes,
            axes=axes,
            extent=extent,
        )


@styled()
def gap_maps(
    run: Run, cloud: Cloud, names: Names, scale: float, segments: Mapping[str, Segment]
) -> dict[str, Picture]:
    """The map of an autoencoder beside what happens between its codes.

    Args:
        run: the autoencoder.
        cloud: its training codes.
        names: names of their classes.
        scale: scale of the codes, which errors are relative to.
        segments: "gap" and "class".
    """
    extent = frame(cloud.mu)
    z = lattice(extent, GRID)
    error = round_trip_error(z, returned(run, z), scale)
    distance, cell = nearest(z, cloud.mu)[0], (extent[1] - extent[0]) / GRID
    drawn = {name: _boxed() for name in ("1-map-ae", "1-gap-error", "1-gap-distance")}
    names.map(cloud, extent, drawn["1-map-ae"].axes[0])
    for name, values in {"1-gap-error": error, "1-gap-distance": distance}.items():
        axes = drawn[name].axes[0]
        norm = _log(values, cell / 3 if values is distance else 0.0)
        plots.field_map(_field(values), extent, norm=norm, axes=axes)
        for radius in (1, 2):
            axes.add_patch(Circle((0, 0), radius, fill=False, ec="white", lw=0.8))
        for bar in axes.child_axes:
            bar.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            bar.yaxis.set_major_formatter("{x:g}")
            bar.yaxis.set_minor_formatter(NullFormatter())
    # Over the distances the codes show themselves.
    some = cloud.mu[:1500].numpy()
    drawn["1-gap-error"].axes[0].scatter(
        some[:, 0], some[:, 1], s=1.2, c="white", lw=0, alpha=0.4, rasterized=True
    )
    for figure in drawn.values():
        for name, segment in segments.items():
            _draw(figure.axes[0], segment, dashed=name == "gap")
    return dict(drawn)


@styled()
def four_maps(clouds: Mapping[str, Cloud], names: Names) -> dict[str, Picture]:
    """The maps of all models on the axes of the widest, and again near the prior."""
    wide = frame(*(cloud.mu for cloud in clouds.values()))
    drawn: dict[str, Picture] = {}
    for model, cloud in clouds.items():
        drawn[f"3-map-{model}"] = _small(cloud, names, wide)
        inside = (cloud.mu.abs() < NEAR[1]).all(1)
        if bool(inside.any()):  # names stand where codes can be seen
            near, few = Cloud(cloud.mu[inside], cloud.sigma[inside]), names.select(inside)
            drawn[f"3-map-{model}-near"] = _small(near, few, NEAR)
        else:
            drawn[f"3-map-{model}-near"] = _small(cloud, names, NEAR)
    return drawn


def _small(cloud: Cloud, names: Names, extent: Extent) -> Figure:
    figure = plots.figure(SMALL, SMALL)
    names.map(cloud, extent, figure.add_subplot())
    return figure


def _boxed() -> Figure:
    """A figure whose axes stand at the same place with and without a colour bar."""
    figure = plots.figure(WIDTH, HEIGHT)
    figure.set_layout_engine("none")
    figure.add_axes((0.42 / WIDTH, 0.3 / HEIGHT, BOX / WIDTH, BOX / HEIGHT))
    return figure


def densities(clouds: Mapping[str, Cloud]) -> dict[str, Picture]:
    """q(z) near the prior, on the same axes and colours, up to 1.5 of the prior's own peak."""
    top = 1.5 / (2 * np.pi)
    return {
        f"4-density-{name}": plots.density_map(
            cloud.mu.numpy(),
            None if cloud.is_points else cloud.sigma.numpy(),
            extent=NEAR,
            top=top,
        )
        for name, cloud in clouds.items()
    }


@styled()
def ellipses(
    cloud: Cloud, chosen: Cloud, draws: Tensor, labels: Tensor | None, count: int
) -> Picture:
    """q(z|x) of a few inputs at 1 and 2 σ, with draws from each, over all codes in grey.

    Args:
        cloud: all codes.
        chosen: the few, (I, 2).
        draws: z ~ q(z|x) of each, (I, S, 2).
        labels: classes of the few; None if there are none.
        count: how many classes there are.
    """
    figure = plots.figure(4.2, 4.2)
    axes = figure.add_subplot()
    reach = 2.1 * chosen.sigma
    outlines = torch.cat([chosen.mu - reach, chosen.mu + reach]).numpy()
    extent = plots.limits(np.array(frame(cloud.mu)).reshape(2, 2).T, outlines, pad=0.0)
    axes.set(xlim=extent[:2], ylim=extent[2:], aspect="equal")
    axes.locator_params(nbins=5)
    for radius in (1, 2):
        axes.add_patch(Circle((0, 0), radius, fill=False, ec=GREY, lw=0.7, alpha=0.8))
    some = cloud.mu[:SHOWN].numpy()
    axes.scatter(some[:, 0], some[:, 1], s=3, c=GREY, alpha=0.22, lw=0, rasterized=True)
    kinds = range(len(chosen.mu)) if labels is None else labels.tolist()
    looks = plots.class_styles(max(count, len(chosen.mu)))
    for kind, mu, sigma, z in zip(kinds, chosen.mu, chosen.sigma, draws, strict=True):
        color = looks[kind].color
        for radius, width in ((2, 0.8), (1, 1.6)):
            size = (2 * radius * sigma).tolist()
            axes.add_patch(Ellipse(mu.tolist(), *size, fill=False, ec=color, lw=width, zorder=4))
        axes.scatter(z[:, 0], z[:, 1], s=9, color=color, ec="white", lw=0.4, zorder=5)
    return figure


def _field(values: Tensor) -> NDArray[np.float64]:
    return values.double().reshape(GRID, GRID).numpy()


def _log(values: Tensor, least: float = 0.0) -> LogNorm:
    """From the 10th to the last percentile: values near zero must not take the colours.

    Distances are distinguished from about the width of a cell on, `least`; below is noise.
    """
    low, high = torch.quantile(values.double(), torch.tensor([0.10, 1.0]).double()).tolist()
    high = max(high, 1e-9)
    return LogNorm(min(max(low, least, 1e-3 * high), 0.5 * high), high, clip=True)


def _draw(axes: Axes, segment: Segment, dashed: bool) -> None:
    (x0, y0), (x1, y1) = segment.start, segment.end
    axes.plot(
        [x0, x1],
        [y0, y1],
        color="black",
        ls=(0, (2, 1.2)) if dashed else "-",
        lw=2.2,
        zorder=11,
        path_effects=[withStroke(linewidth=4.4, foreground="white")],
    )
