"""Maps of a two-dimensional latent space: codes, posteriors, densities, fields.

The density of the aggregate posterior is that of the mixture itself,
    q(z) = (1/N) Σₙ N(z; μₙ, diag σₙ²),
averaged exactly over each pixel through the normal distribution function, so that posteriors
narrower than a pixel keep their weight (Hoffman & Johnson, "ELBO surgery", 2016).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Ellipse
from numpy.typing import NDArray
from scipy.special import ndtr  # type: ignore[import-untyped, unused-ignore]

from vaelab.plots import style
from vaelab.plots.style import GREY, SEQUENTIAL, ClassStyle, figure, owner, styled

Array = NDArray[np.generic]
Floats = NDArray[np.float64]
Extent = tuple[float, float, float, float]

MOST_POINTS = 4000
MOST_LABELS = 24  # more names than this hide the codes they name
SIDE = 4.2  # inches of one map
ROOM = 2.2  # the square around the prior's circles of radius 1 and 2


def _codes(values: Array, name: str = "mu") -> Floats:
    if values.ndim != 2 or values.shape[1] != 2 or len(values) == 0:
        raise ValueError(
            f"a latent map needs {name} of shape (N, 2); got {values.shape}. "
            "Project more dimensions to two first"
        )
    codes = values.astype(np.float64)
    if not np.isfinite(codes).all():
        raise ValueError(f"{name} holds values that are not finite; the encoder may have diverged")
    return codes


def limits(*mus: Array, pad: float = 0.05) -> Extent:
    """The square (x0, x1, y0, y1) that holds all these codes and the prior's 2-σ circle.

    Args:
        mus: arrays (N, 2).
        pad: share of the side left free around the codes.
    """
    every = np.concatenate([_codes(mu) for mu in mus])
    low, high = every.min(axis=0), every.max(axis=0)
    margin = pad * float((high - low).max())
    low = np.minimum(low - margin, -ROOM)
    high = np.maximum(high + margin, ROOM)
    centre, half = (low + high) / 2, float((high - low).max()) / 2
    (x, y) = centre
    return (float(x - half), float(x + half), float(y - half), float(y + half))


def _axes(axes: Axes | None, extent: Extent) -> Axes:
    """Given axes or new ones, with equal scales and the limits wanted."""
    if axes is None:
        axes = figure(SIDE, SIDE).add_subplot()
    axes.set_aspect("equal", adjustable="box")
    axes.set_xlim(extent[0], extent[1])
    axes.set_ylim(extent[2], extent[3])
    axes.locator_params(nbins=5)
    return axes


def _prior(axes: Axes, radii: Sequence[float], color: str, alpha: float) -> None:
    for radius in radii:
        axes.add_patch(Circle((0, 0), radius, fill=False, ec=color, lw=0.7, alpha=alpha, zorder=3))


def _sample(n: int, most: int) -> NDArray[np.intp]:
    """A fixed random choice, in random order so that no class always lies on top."""
    return np.random.default_rng(0).permutation(n)[:most]


def _kinds(
    labels: Array | None, classes: Sequence[str], n: int
) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Class number of each code and the names to print, none without labels."""
    if labels is None:
        return np.zeros(n, dtype=np.intp), ()
    if labels.shape != (n,):
        raise ValueError(f"labels have shape {labels.shape} for {n} codes; expected ({n},)")
    kinds = labels.astype(np.intp)
    count = len(classes) or int(kinds.max()) + 1
    if kinds.min() < 0 or kinds.max() >= count:
        raise ValueError(
            f"labels lie in {kinds.min()}..{kinds.max()}; expected 0..{count - 1}, "
            f"for {count} classes"
        )
    return kinds, style.printable(classes or [str(i) for i in range(count)])


@styled()
def latent_map(
    mu: Array,
    sigma: Array | None = None,
    labels: Array | None = None,
    classes: Sequence[str] = (),
    *,
    axes: Axes | None = None,
    ellipses: int = 40,
    extent: Extent | None = None,
    prior: bool = True,
    title: str = "",
) -> Figure:
    """Posterior means by class, with the posteriors' ellipses, names, and the prior's circles.

    Args:
        mu: (N, 2) posterior means, or codes; at most 4000 of them are drawn.
        sigma: (N, 2) posterior standard deviations, None for a deterministic encoder.
        labels: (N,) class numbers from 0, None if there are none.
        classes: names by class number; a name the font cannot show makes all of them numbers.
        axes: axes to draw on; a new square figure by default.
        ellipses: how many posteriors to outline at 1 and 2 σ.
        extent: (x0, x1, y0, y1) shown, by default `limits(mu)`; give the same to every map that
            is to be compared.
        prior: draw the circles of radius 1 and 2 of N(0, I).
        title: over the axes.

    Raises:
        ValueError: another shape, values that are not finite, labels outside the classes.
    """
    codes = _codes(mu)
    kinds, names = _kinds(labels, classes, len(codes))
    named = axes is None
    looks = style.class_styles(max(1, len(names)))
    axes = _axes(axes, extent or limits(mu))
    if prior:
        _prior(axes, (1, 2), GREY, 0.8)
    chosen = _sample(len(codes), MOST_POINTS)
    _scatter(axes, codes[chosen], kinds[chosen], looks)
    if sigma is not None:
        scales = _codes(sigma, "sigma")
        for i in chosen[:ellipses]:
            _ellipse(axes, codes[i], scales[i], looks[kinds[i]].color)
    if named:
        axes.set_xlabel("z0")
        axes.set_ylabel("z1")
    if title:
        axes.set_title(title)
    if 0 < len(names) <= MOST_LABELS:
        owner(axes).draw_without_rendering()  # names are laid out within the final axes
        _names(axes, codes, kinds, names, looks)
    return owner(axes)


def _scatter(
    axes: Axes, codes: Floats, kinds: NDArray[np.intp], looks: Sequence[ClassStyle]
) -> None:
    size = float(np.clip(12_000 / len(codes), 4, 16))
    colours = np.array([look.color for look in looks])[kinds]
    markers = np.array([look.marker for look in looks])[kinds]
    for marker in dict.fromkeys(markers):
        here = markers == marker
        axes.scatter(
            codes[here, 0],
            codes[here, 1],
            s=size,
            c=colours[here],
            marker=marker,
            alpha=0.55,
            linewidths=0,
            rasterized=True,  # thousands of marks would make an SVG slow to open
            zorder=2,
        )


def _ellipse(axes: Axes, mu: Floats, sigma: Floats, color: str) -> None:
    for radius, width in ((2, 0.6), (1, 1.2)):
        axes.add_patch(
            Ellipse(
                (mu[0], mu[1]),
                2 * radius * sigma[0],
                2 * radius * sigma[1],
                fill=False,
                ec=color,
                lw=width,
                zorder=4,
            )
        )


def _names(
    axes: Axes,
    codes: Floats,
    kinds: NDArray[np.intp],
    names: Sequence[str],
    looks: Sequence[ClassStyle],
    size: float = 10.0,
) -> None:
    """Class names at the medians of their codes; a legend has those that would overlap."""
    present = [k for k in range(len(names)) if (kinds == k).any()]
    anchors = np.stack([np.median(codes[kinds == k], axis=0) for k in present])
    low, high = (np.array(ends) for ends in zip(axes.get_xlim(), axes.get_ylim(), strict=True))
    em = size / 72 * (high - low)[1] / (axes.get_window_extent().height / owner(axes).dpi)
    boxes = em * np.array([[0.75 * len(names[k]) + 0.5, 1.35] for k in present])
    centres = np.minimum(np.maximum(anchors, low + boxes / 2), high - boxes / 2)
    apart = np.abs(centres[:, None] - centres) >= (boxes[:, None] + boxes) / 2
    overlaps = (~apart.any(-1)).sum(1) > 1  # every name overlaps itself
    for k, (x, y), overlap in zip(present, centres, overlaps, strict=True):
        if not overlap:
            style.write(axes, x, y, names[k], looks[k].color, size)
    if overlaps.any():
        _legend(
            axes,
            codes,
            [(names[k], looks[k]) for k, o in zip(present, overlaps, strict=True) if o],
            size,
        )


def _legend(
    axes: Axes, codes: Floats, entries: Sequence[tuple[str, ClassStyle]], size: float
) -> None:
    """A legend of classes in the corner with the fewest codes."""
    middle = np.array([np.mean(axes.get_xlim()), np.mean(axes.get_ylim())])
    corners: dict[Any, int] = {
        f"{row} {column}": int(((codes - middle) * [right, up] > 0).all(1).sum())
        for row, up in (("lower", -1), ("upper", 1))
        for column, right in (("left", -1), ("right", 1))
    }
    marks = [Line2D([], [], ls="", marker=look.marker, color=look.color) for _, look in entries]
    legend = axes.legend(
        marks,
        [str(i) for i in range(len(entries))],
        loc=min(corners, key=lambda corner: corners[corner]),
        ncols=5 if max(len(name) for name, _ in entries) <= 2 else 1,
        fontsize=0.7 * size,
        handletextpad=0.1,
        columnspacing=0.6,
        framealpha=0.6,
    )
    for text, (name, _) in zip(legend.get_texts(), entries, strict=True):
        text.set_parse_math(False)  # a name is shown as it is, whatever its first letter
        text.set_text(name)


@styled()
def field_map(
    values: Array,
    extent: Extent,
    codes: Array | None = None,
    *,
    norm: Normalize | None = None,
    cmap: str = SEQUENTIAL,
    axes: Axes | None = None,
) -> Figure:
    """A quantity over a grid of z in colour, with a colour bar; codes as dots over it.

    Args:
        values: (ny, nx), the first row at the smallest second coordinate; NaN stays open.
        extent: (x0, x1, y0, y1), the outer edges of the grid.
        codes: (N, 2) drawn over it, at most 4000.
        norm: from values to colours: `Normalize(0, 1)`, `LogNorm()`, `CenteredNorm()`; by default
            linear between the least and the greatest.
        cmap: `SEQUENTIAL` for quantities, `DIVERGING` for differences.
        axes: axes to draw on; a new figure by default.

    Raises:
        ValueError: `values` is not a grid.
    """
    if values.ndim != 2 or 0 in values.shape:
        raise ValueError(f"a field needs values (ny, nx); got shape {values.shape}")
    if axes is None:
        axes = figure(SIDE + 0.6, SIDE).add_subplot()
    axes = _axes(axes, extent)
    image = axes.imshow(
        np.ma.masked_invalid(values.astype(np.float64)),
        origin="lower",
        extent=extent,
        cmap=cmap,
        norm=norm,
        interpolation="nearest",
        aspect="equal",
    )
    if codes is not None:
        dots = _codes(codes, "codes")
        x, y = dots[_sample(len(dots), MOST_POINTS)].T
        axes.scatter(x, y, s=2.5, c="white", ec="black", lw=0.25, alpha=0.6, rasterized=True)
    bar = owner(axes).colorbar(image, cax=axes.inset_axes((1.03, 0, 0.045, 1)))
    bar.outline.set_visible(False)
    return owner(axes)


@styled()
def density_map(
    mu: Array,
    sigma: Array | None = None,
    *,
    axes: Axes | None = None,
    extent: Extent | None = None,
    top: float | None = None,
    pixels: int = 160,
) -> Figure:
    """The density q(z) of the aggregate posterior, under the circles of N(0, I) at 1, 2 and 3 σ.

    Args:
        mu: (N, 2) posterior means; all of them count.
        sigma: (N, 2) standard deviations. None for a deterministic encoder, whose codes have no
            density: half of Scott's bandwidth smooths them, as a whole one would close the gaps.
        axes: axes to draw on; a new figure by default.
        extent: shown; by default `limits(mu)`.
        top: density at the upper end of the colours (the prior's own peak is 1/2π ≈ 0.159); by
            default the greatest. Give the same to maps that are compared.
        pixels: size of the grid, across and up.
    """
    extent = extent or limits(mu)
    density = aggregate_density(mu, sigma, extent, pixels)
    norm = Normalize(0.0, float(density.max()) if top is None else top)
    fig = field_map(density, extent, norm=norm, axes=axes)
    _prior(fig.axes[0] if axes is None else axes, (1, 2, 3), "white", 0.9)
    return fig


def aggregate_density(mu: Array, sigma: Array | None, extent: Extent, pixels: int) -> Floats:
    """Mean of q(z) over each pixel: (pixels, pixels), its first row at the smallest z₂."""
    codes = _codes(mu)
    if sigma is None:
        scott = codes.std(axis=0) * len(codes) ** (-1 / 6)
        scales = np.broadcast_to(0.5 * scott, codes.shape)
    else:
        scales = _codes(sigma, "sigma")
    scales = np.maximum(scales, 1e-9)
    x0, x1, y0, y1 = extent
    edges = [np.linspace(x0, x1, pixels + 1), np.linspace(y0, y1, pixels + 1)]
    share = [
        np.diff(ndtr((edge[:, None] - codes[:, d]) / scales[:, d]), axis=0)
        for d, edge in enumerate(edges)
    ]
    area = (edges[0][1] - edges[0][0]) * (edges[1][1] - edges[1][0])
    density: Floats = share[1] @ share[0].T / (len(codes) * area)
    return density
