"""Rows of a table: one small panel a column, its name above, its own values on the axes.

Categories and other named values stand side by side in their order. Every function takes raw rows
and the header that names them.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from vaelab.data.tabular.header import Heading
from vaelab.plots.style import GREY, OKABE_ITO, SEQUENTIAL, class_styles, figure, printable, styled

Array = NDArray[np.generic]
Floats = NDArray[np.float64]
Header = Sequence[Heading]

ACROSS, WIDTH, HEIGHT = 3, 2.6, 1.9  # panels side by side; inches of each
BINS, WHOLE = 30, 40  # whole numbers have a bar each where so few are between the ends
TAILS = (0.2, 99.8)  # percent: one far draw must not squeeze all the rest into a bar
NAMED = 12  # names on an axis
SHORT = 40  # letters of all names together that stand upright
LETTER = 0.03  # of the width of a panel, that a letter on a walk takes
MARK, CLOUD = 0.32, 6  # half the room of a name that its points are spread over; their size
SEED = 0


@styled()
def marginals(samples: Array, data: Array | None, header: Header) -> Figure:
    """Each column's histogram: samples filled, the data as an outline.

    Args:
        samples: (N, D), raw.
        data: (M, D), raw; None if it is not available.
        header: D names.

    Raises:
        ValueError: there are no samples, or they have another number of columns.
    """
    made = _rows(samples, header)
    real = None if data is None else _rows(data, header)

    def draw(axes: Axes, j: int) -> None:
        edges = _edges(made[:, j] if real is None else np.r_[made[:, j], real[:, j]], header[j])
        axes.stairs(_shares(made[:, j], edges), edges, fill=True, color=OKABE_ITO[0], alpha=0.55)
        if real is not None:
            axes.stairs(_shares(real[:, j], edges), edges, color=OKABE_ITO[3], lw=1.3)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        _along(axes, header[j], x=True)

    return _panels(header, draw)


@styled()
def agreement(originals: Array, made: Array, header: Header) -> Figure:
    """Each column of the originals, across, against its reconstruction, up.

    Args:
        originals: (N, D), raw.
        made: (N, D), raw.
        header: D names.

    Raises:
        ValueError: shapes differ, or there are no rows.
    """
    x, y = _rows(originals, header), _rows(made, header)
    if x.shape != y.shape:
        raise ValueError(f"originals have shape {x.shape} and what was made {y.shape}")
    apart = np.random.default_rng(SEED).uniform(-MARK, MARK, (2, *x.shape))

    def draw(axes: Axes, j: int) -> None:
        across = x[:, j] + bool(header[j].values) * apart[0, :, j]
        up = y[:, j] + _unordered(header[j]) * apart[1, :, j]
        low, high = min(across.min(), up.min()), max(across.max(), up.max())
        axes.plot([low, high], [low, high], color=GREY, lw=0.8, zorder=1)
        axes.scatter(across, up, s=CLOUD, color=OKABE_ITO[0], alpha=0.35, lw=0, zorder=2)
        _along(axes, header[j], x=True)
        _along(axes, header[j], x=False)

    return _panels(header, draw, "original", "reconstruction")


@styled()
def spread(originals: Array, made: Array, header: Header) -> Figure:
    """For each column, the values generated from every original as points, and itself as a bar.

    Args:
        originals: (R, D), raw.
        made: (R, K, D), raw.
        header: D names.

    Raises:
        ValueError: there are no rows, or as many originals are not given.
    """
    real = _rows(originals, header)
    many = _rows(made, header).reshape(-1, made.shape[1], len(header))
    if len(real) != len(many):
        raise ValueError(f"got {len(many)} rows and {len(real)} originals; expected as many")
    apart = np.random.default_rng(SEED).uniform(-MARK, MARK, (2, *many.shape[:2]))
    places = np.arange(len(real))

    def draw(axes: Axes, j: int) -> None:
        up = many[..., j] + _unordered(header[j]) * 0.5 * apart[1]
        axes.scatter(places[:, None] + apart[0], up, s=CLOUD, color=OKABE_ITO[0], alpha=0.6, lw=0)
        axes.hlines(real[:, j], places - 0.42, places + 0.42, color=OKABE_ITO[3], lw=1.5)
        axes.set_xticks(places)
        _along(axes, header[j], x=False)

    return _panels(header, draw, "example")


@styled()
def lines(
    paths: Array,
    across: Sequence[float] | Array,
    header: Header,
    way: str = "",
    names: Sequence[str] = (),
    active: Sequence[bool] | None = None,
) -> Figure:
    """Each column along several paths, one line a path; names without an order as words on it.

    Args:
        paths: (W, S, D), raw.
        across: (S,), position of each step on the way.
        header: D names.
        way: what `across` is.
        names: (W,), of the paths; none are written by default.
        active: (W,), which paths carry information; others are faded.

    Raises:
        ValueError: there are no paths, or names or steps of another number.
    """
    many = _rows(paths, header).reshape(*paths.shape)
    used = [True] * len(many) if active is None else list(active)
    if {len(used), len(names) or len(many)} != {len(many)} or len(across) != many.shape[1]:
        raise ValueError(f"names, marks or steps do not fit paths of shape {many.shape}")
    looks = class_styles(len(many))
    at = np.asarray(across, dtype=np.float64)

    def draw(axes: Axes, j: int) -> None:
        words = _unordered(header[j])
        for i, (path, look, on) in enumerate(zip(many, looks, used, strict=True)):
            color, lw = (look.color, 1.5) if on else (GREY, 0.8)
            up = np.full(len(at), -i) if words else path[:, j]
            axes.plot(at, up, color=color, lw=lw)
            if words:
                _words(axes, at, path[:, j], -i, header[j], color)
        if words:  # no axis: lines lie one under another, in the order of the paths
            axes.set_yticks([])
            axes.spines["left"].set_visible(False)
            axes.set_ylim(-len(many) + 0.6, 0.9)
        else:
            _along(axes, header[j], x=False)

    fig = _panels(header, draw, way)
    if names:
        colours = [look.color if on else GREY for look, on in zip(looks, used, strict=True)]
        handles = [fig.axes[0].plot([], [], color=colour)[0] for colour in colours]
        fig.legend(handles, names, loc="outside lower center", ncols=min(8, len(names)), frameon=0)
    return fig


@styled()
def plane(lattice: Array, header: Header) -> Figure:
    """Each column over a square of places, its values as colours.

    Args:
        lattice: (S², D), raw, line by line from the top.
        header: D names.

    Raises:
        ValueError: the places are none, or no square.
    """
    values = _rows(lattice, header)
    side = math.isqrt(len(values))
    if side**2 != len(values):
        raise ValueError(f"{len(values)} places are to be shown as a square")

    def draw(axes: Axes, j: int) -> None:
        names, square = header[j].values, values[:, j].reshape(side, side)
        colours: str | ListedColormap = SEQUENTIAL
        low, high = (0.0, 1.0) if names else (None, None)
        if _unordered(header[j]):
            colours = ListedColormap([look.color for look in class_styles(len(names))])
            low, high = -0.5, len(names) - 0.5
        image = axes.imshow(square, cmap=colours, vmin=low, vmax=high, interpolation="nearest")
        axes.set_axis_off()
        bar = axes.figure.colorbar(image, ax=axes)
        if names:
            step = -(-len(names) // NAMED)
            bar.set_ticks(
                range(0, len(names), step), labels=printable(names)[::step], parse_math=False
            )

    return _panels(header, draw)


def _unordered(heading: Heading) -> bool:
    """Return True if values are names without a mean; of two, it is a probability."""
    return len(heading.values) > 2


def _rows(x: Array, header: Header) -> Floats:
    if x.size == 0 or x.shape[-1] != len(header):
        raise ValueError(f"rows of {len(header)} columns are to be shown, not shape {x.shape}")
    return x.reshape(-1, len(header)).astype(np.float64)


def _words(axes: Axes, at: Floats, values: Floats, up: float, heading: Heading, color: str) -> None:
    """The names along a walk, each over its stretch if there is room, with marks between."""
    names, index = printable(heading.values), np.rint(values).astype(int)
    changes = np.flatnonzero(np.diff(index)) + 1
    ends = np.r_[at[0], (at[changes - 1] + at[changes]) / 2, at[-1]]
    axes.scatter(ends[1:-1], np.full(len(changes), up), marker="|", s=40, color=color)
    letter = LETTER * (at[-1] - at[0])
    for start, low, high in zip([0, *changes], ends[:-1], ends[1:], strict=True):
        name, room = names[index[start]], int((high - low) / letter)
        text = name if len(name) <= room else name[: room - 1] + "…"
        if room > 3:
            axes.text(
                (low + high) / 2,
                up + 0.12,
                text,
                size=7,
                ha="center",
                va="bottom",
                parse_math=False,
            )


def _panels(
    header: Header, draw: Callable[[Axes, int], None], along: str = "", up: str = ""
) -> Figure:
    """A panel for each column; axis names are at the left and below."""
    across = min(ACROSS, len(header))
    down = -(-len(header) // across)
    fig = figure(WIDTH * across, HEIGHT * down + 0.2)
    grid = fig.subplots(down, across, squeeze=False).flatten()
    titles = printable([heading.name for heading in header])
    for j, axes in enumerate(grid):
        if j >= len(header):
            axes.set_visible(False)
            continue
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(titles[j], loc="left", parse_math=False)
        draw(axes, j)
        axes.set_xlabel(along if j + across >= len(header) else "", size=8)
        axes.set_ylabel(up if j % across == 0 else "", size=8)
    return fig


def _edges(values: Floats, heading: Heading) -> Floats:
    if heading.values:
        return np.arange(-0.5, len(heading.values), dtype=np.float64)
    low, high = (float(end) for end in np.percentile(values[np.isfinite(values)], TAILS))
    if heading.decimals == 0:  # as many whole numbers in one bar as in another
        low, high = np.floor(low), np.ceil(high)
        width = np.ceil((high - low + 1) / WHOLE)
        return np.arange(low, high + width + 1, width) - 0.5
    if high <= low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, BINS + 1).astype(np.float64)


def _shares(values: Floats, edges: Floats) -> Floats:
    return np.histogram(values, edges)[0] / len(values)


def _along(axes: Axes, heading: Heading, x: bool) -> None:
    """The ticks of an axis: names if values have some, else a few numbers."""
    axis = axes.xaxis if x else axes.yaxis
    if not heading.values:
        whole = heading.decimals == 0
        axis.set_major_locator(MaxNLocator(4, integer=whole, steps=[1, 2, 2.5, 5, 10]))
        axes.ticklabel_format(axis="x" if x else "y", scilimits=(-3, 7))
        return
    step = -(-len(heading.values) // NAMED)
    names = printable(heading.values)[::step]
    axis.set_ticks(np.arange(len(heading.values))[::step], names, parse_math=False)
    if x and sum(map(len, names)) > SHORT - 2 * len(names):
        axes.tick_params(axis="x", labelrotation=40)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
