"""Colours, ink and figures shared by every drawing.

Up to eight classes take the set of Okabe & Ito, "Color Universal Design" (2008), with a dark grey
for its black, which a dark page would swallow; nine and ten take that of Petroff, "Accessible
Color Sequences for Data Visualization" (arXiv:2107.02270); more take its ten colours again with
other marker shapes. The tests simulate colour-vision deficiency and hold a least distance between
any two.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

OKABE_ITO = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#F0E442",
    "#666666",
)
PETROFF = (
    "#3F90DA",
    "#FFA90E",
    "#BD1F01",
    "#94A4A2",
    "#832DB6",
    "#A96B59",
    "#E76300",
    "#B9AC70",
    "#717581",
    "#92DADD",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
SEQUENTIAL = "viridis"
DIVERGING = "RdBu_r"
GREY = "#808080"  # contrast 4 on white and 5 on near-black: one ink for both pages
FONT = "DejaVu Sans"  # comes with matplotlib, so it is the same everywhere
LONGEST_NAME = 14

# A user's matplotlibrc must not change our pictures, so the defaults are laid down first; what
# concerns windows is left alone.
_OURS = {
    "font.family": FONT,
    "font.size": 9,
    "text.color": GREY,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.labelcolor": GREY,
    "axes.titlecolor": GREY,
    "axes.titlesize": 9,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "svg.fonttype": "path",
    "svg.hashsalt": "vaelab",
}
_WINDOWS = ("backend", "interactive", "toolbar", "figure.hooks", "webagg", "tk.", "macosx")
RC: Any = {
    key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith(_WINDOWS)
} | _OURS


@contextmanager
def styled() -> Iterator[None]:
    """Our settings of matplotlib while a picture is drawn or saved, the user's afterwards."""
    with matplotlib.rc_context(RC):
        yield


class ClassStyle(NamedTuple):
    """Colour and marker of one class."""

    color: str
    marker: str


def class_styles(count: int) -> tuple[ClassStyle, ...]:
    """Colour and marker of each of `count` classes.

    Styles repeat after seventy classes, where no picture can tell them apart any more.

    >>> len(set(class_styles(30)))
    30
    >>> {style.marker for style in class_styles(10)}
    {'o'}
    """
    if count <= len(OKABE_ITO):
        return tuple(ClassStyle(color, MARKERS[0]) for color in OKABE_ITO[:count])
    tens = len(PETROFF)
    return tuple(
        ClassStyle(PETROFF[i % tens], MARKERS[(i // tens) % len(MARKERS)]) for i in range(count)
    )


def printable(names: Sequence[str]) -> tuple[str, ...]:
    """The names as a picture can show them: shortened, or numbers if the font lacks a sign.

    One name that cannot be shown turns all of them into numbers, so that a map never mixes both.

    >>> printable(["cat", "dog"]), printable(["cat", "狗"])
    (('cat', 'dog'), ('0', '1'))
    """
    font = get_font(findfont(FONT))

    def shown(name: str) -> bool:
        legible = name.isprintable() and bool(name.strip())
        return legible and all(font.get_char_index(ord(sign)) for sign in name)

    if not all(shown(name) for name in names):
        return tuple(str(number) for number in range(len(names)))
    return tuple(
        name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1].rstrip() + "…"
        for name in names
    )


@styled()
def figure(width: float, height: float) -> Figure:
    """An empty transparent figure of `width` × `height` inches, independent of pyplot."""
    fig = Figure(figsize=(width, height), dpi=160, layout="constrained")
    FigureCanvasAgg(fig)
    return fig


def owner(axes: Axes) -> Figure:
    """The figure that holds `axes`, also when they lie in a subfigure."""
    fig = axes.get_figure(root=True)
    assert fig is not None
    return fig


def dark(color: str) -> tuple[float, float, float]:
    """`color` at half its strength: white text outlined with it is legible everywhere."""
    r, g, b = to_rgb(color)
    return (0.5 * r, 0.5 * g, 0.5 * b)


def write(axes: Axes, x: float, y: float, text: str, color: str, size: float = 9.0) -> None:
    """Write white text outlined in a dark `color`, centred on (x, y) in data units."""
    axes.text(
        x,
        y,
        text,
        size=size,
        weight="bold",
        color="white",
        ha="center",
        va="center",
        zorder=10,
        parse_math=False,  # a class may be called "$5$"
        path_effects=[withStroke(linewidth=2.5, foreground=dark(color))],
    )


def separate(
    centres: NDArray[np.float64], sizes: NDArray[np.float64], rounds: int = 500
) -> NDArray[np.float64]:
    """Push boxes apart, each pair along the line between them, until none overlap.

    Args:
        centres: (N, 2) centres of the boxes.
        sizes: (N, 2) widths and heights in the same units.
        rounds: passes over all pairs at most.

    Returns:
        (N, 2) new centres.
    """
    n = len(centres)
    # Equal centres have no direction to part in: a small ring gives them one.
    turn = 2 * np.pi * np.arange(n)[:, None] / max(n, 1) + np.array([0.0, -np.pi / 2])
    moved = centres + 1e-2 * sizes * np.cos(turn)
    for _ in range(rounds):
        clash = False
        for i in range(n):
            for j in range(i):
                apart = moved[i] - moved[j]
                depth = (sizes[i] + sizes[j]) / 2 - np.abs(apart)
                if (depth > 0).all():
                    clash = True
                    way = apart / np.linalg.norm(apart)
                    step = 0.5 * np.min(depth / np.maximum(np.abs(way), 1e-9)) * way
                    moved[i] += 1.01 * step
                    moved[j] -= 1.01 * step
        if not clash:
            break
    return moved
