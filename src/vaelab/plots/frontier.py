"""The rate–distortion plane: the distortion that each nat of code buys.

−ELBO = distortion + rate, so that models equally good as bounds lie on one falling diagonal
(Alemi et al., "Fixing a Broken ELBO", 1711.00464).
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vaelab.plots.style import GREY, OKABE_ITO, figure, separate, styled

Array = NDArray[np.float64]

MOST_LABELS = 24  # more names than this hide the points they name


def frontier(points: Array) -> list[int]:
    """The points (S, 2) that no other beats in rate and distortion both, by rate.

    >>> frontier(np.array([[2.0, 5.0], [1.0, 9.0], [3.0, 6.0]]))
    [1, 0]
    """
    best, found = np.inf, []
    for i in np.lexsort((points[:, 1], points[:, 0])):
        if points[i, 1] < best:
            best = points[i, 1]
            found.append(int(i))
    return found


@styled()
def rate_distortion(points: Sequence[Array], names: Sequence[str]) -> Figure:
    """Rate across, distortion up: a small dot a run, a large one a setting, with its spread.

    The settings on the frontier are joined, those that another beats are grey; thin diagonals are
    lines of equal −ELBO.

    Args:
        points: for each setting the (rate, distortion) of its runs in nats, (K, 2).
        names: one a setting.

    Raises:
        ValueError: there are no settings, one has no run, or not as many names.
    """
    if not points or len(points) != len(names) or not all(len(p) for p in points):
        raise ValueError(
            f"got {len(points)} settings and {len(names)} names; expected as many of each, at "
            "least one, and a run for every setting"
        )
    means = np.array([p.mean(0) for p in points])
    best = frontier(means)
    axes = figure(5.2, 4.0).add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("rate (nats)")
    axes.set_ylabel("distortion (nats)")
    axes.plot(means[best, 0], means[best, 1], color=OKABE_ITO[0], lw=1.2)
    colors = [OKABE_ITO[0] if i in best else GREY for i in range(len(points))]
    for runs, mean, color in zip(points, means, colors, strict=True):
        if len(runs) > 1:
            axes.scatter(runs[:, 0], runs[:, 1], s=7, color=color, alpha=0.5, lw=0)
            spread = runs.std(0, ddof=1)
            axes.errorbar(mean[0], mean[1], spread[1], spread[0], color=color, lw=0.8)
        axes.scatter(mean[0], mean[1], s=26, color=color, zorder=3)
    axes.margins(0.12)
    axes.autoscale_view()  # limits are lazy, and the diagonals need them
    _diagonals(axes)
    shown = range(len(points)) if len(points) <= MOST_LABELS else best
    _label(axes, means[list(shown)], [names[i] for i in shown], [colors[i] for i in shown])
    found = axes.get_figure(root=True)
    assert found is not None
    return found


def _diagonals(axes: Axes) -> None:
    """Lines of equal −ELBO, each with its nats where it leaves the picture below or right."""
    (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
    axes.set_autoscale_on(False)
    levels = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(x0 + y0, x1 + y1)
    inside = [level for level in levels if x0 + y0 < level < x1 + y1]
    for level in inside:
        axes.plot([x0, x1], [level - x0, level - x1], color=GREY, lw=0.5, alpha=0.45, zorder=0)
        x = min(x1, level - y0)
        right = level - y0 > x1
        axes.annotate(
            f"−ELBO {level:g}" if level == inside[-1] else f"{level:g}",
            (x, level - x),
            (3, 0) if right else (-2, 3),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center" if right else "bottom",
            size=6.5,
            annotation_clip=False,
        )


def _label(axes: Axes, means: Array, names: Sequence[str], colors: Sequence[str]) -> None:
    """Names up and right of their points, pushed apart where they would cover each other."""
    if not len(means):
        return
    pixels = axes.transData.transform(means)
    scale = 160 / 72  # pixels in a point, in our figures
    sizes = np.array([[5.2 * len(name) + 3, 11.0] for name in names]) * scale
    centres = separate(pixels + sizes / 2 + 3 * scale, sizes)
    for name, color, mean, away in zip(names, colors, means, centres - pixels, strict=True):
        axes.annotate(
            name,
            tuple(mean),
            tuple(away / scale),
            textcoords="offset points",
            color=color,
            ha="center",
            va="center",
            size=8,
            weight="bold",
            parse_math=False,
        )
