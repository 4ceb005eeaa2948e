"""Training curves over epochs, and bars of nats over dimensions."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.isotonic import isotonic_regression

from vaelab.plots import style
from vaelab.plots.style import GREY, OKABE_ITO, figure, owner, styled

Array = NDArray[np.generic]
Histories = Mapping[str, Mapping[str, Sequence[float]]]

MOST_BARS = 32  # beyond this, neither names nor values fit under and over the bars
DASHES = ("-", "--", "-.", ":")  # another for every ten runs, where colours begin again


class End(NamedTuple):
    """Last point of a run's line, in data units."""

    name: str
    color: str
    epoch: float
    value: float


@styled()
def training_curves(
    histories: Histories,
    *,
    log: bool = False,
    columns: int = 2,
    units: Mapping[str, str] | None = None,
) -> Figure:
    """One panel a metric, one line a run, named at its end; epochs 1, 2, … across.

    Args:
        histories: run name → metric name → a value for each epoch; runs may lack a metric or stop
            early. A value that is not finite breaks the line.
        log: logarithmic values; those that are not positive are left out.
        columns: panels side by side.
        units: metric name → its unit; a metric whose unit is "" is counted.

    Raises:
        ValueError: no run has any metric.
    """
    metrics = list(dict.fromkeys(metric for runs in histories.values() for metric in runs))
    if not metrics:
        raise ValueError("there is nothing to show: the histories hold no metric")
    across = min(columns, len(metrics))
    lines = -(-len(metrics) // across)
    fig = figure(3.9 * across, 2.5 * lines)
    grid = fig.subplots(lines, across, squeeze=False).flatten()
    for axes, metric in zip(grid, metrics, strict=False):
        _panel(axes, histories, metric, log)
        if (unit := (units or {}).get(metric)) is not None:
            axes.set_ylabel(unit)
            if not unit:
                axes.yaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    for axes in grid[max(0, len(metrics) - across) : len(metrics)]:  # nothing stands below them
        axes.set_xlabel("epoch")
    for axes in grid[len(metrics) :]:
        axes.set_visible(False)
    return fig


def _panel(axes: Axes, histories: Histories, metric: str, log: bool) -> None:
    _open(axes)
    axes.set_title(style.printable([metric])[0], loc="left", parse_math=False)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 5, 10]))
    if log:
        axes.set_yscale("log", nonpositive="mask")
    names = style.printable(list(histories))
    looks = style.class_styles(len(histories))
    ends = []
    for i, run in enumerate(histories.values()):
        values = np.array(run.get(metric, ()), dtype=np.float64)
        shown = np.isfinite(values) & ((values > 0) | (not log))
        if not shown.any():
            continue
        epochs = np.arange(1, len(values) + 1)
        axes.plot(
            epochs,
            np.where(shown, values, np.nan),
            color=looks[i].color,
            ls=DASHES[i // len(style.PETROFF) % len(DASHES)],
            marker="o" if shown.sum() == 1 else None,
            ms=4,
            lw=1.5,
        )
        ends.append(End(names[i], looks[i].color, float(epochs[shown][-1]), values[shown][-1]))
    if len(histories) > 1 and ends:
        _name_ends(axes, ends)


def _name_ends(axes: Axes, ends: Sequence[End]) -> None:
    """Run names right of the panel: in the order of the lines' ends, as near them as fits."""
    axes.margins(x=0.01)
    axes.autoscale_view()  # limits are lazy, and transData does not ask for them
    to_axes = axes.transData - axes.transAxes
    anchors = np.array([to_axes.transform((end.epoch, end.value))[1] for end in ends])
    order = np.argsort(anchors, kind="stable")
    inches = axes.get_window_extent().height / owner(axes).dpi
    stack = np.arange(len(ends)) * 1.3 * 9 / 72 / inches  # one line of text above the other
    room = max(0.03, 1 - stack[-1])
    heights = isotonic_regression(anchors[order] - stack, y_min=0.03, y_max=room) + stack
    for k, y in zip(order, heights, strict=True):
        axes.text(
            1.02,
            y,
            ends[k].name,
            color=ends[k].color,
            transform=axes.transAxes,
            va="center",
            weight="bold",
            parse_math=False,
        )


@styled()
def bars(
    rates: Array,
    active: Sequence[bool] | Array | None = None,
    names: Sequence[str] | None = None,
    *,
    axes: Axes | None = None,
) -> Figure:
    """Rate of each latent dimension in nats, inactive ones in grey.

    Args:
        rates: (L,) in the order to show.
        active: (L,) which dimensions carry information; all by default.
        names: (L,) under the bars; by default 0, 1, ….
        axes: axes to draw on; a new figure by default.

    Raises:
        ValueError: lengths differ, or there are no rates.
    """
    values = np.asarray(rates, dtype=np.float64)
    n = values.size
    used = np.ones(n, dtype=bool) if active is None else np.asarray(active, dtype=bool)
    under = [str(i) for i in range(n)] if names is None else style.printable(names)
    if values.ndim != 1 or n == 0 or not n == len(used) == len(under):
        raise ValueError(
            f"got {values.shape} rates, {len(used)} marks of activity and {len(under)} names; "
            "expected as many of each, and at least one"
        )
    if axes is None:
        axes = figure(float(np.clip(0.8 + 0.34 * n, 3.0, 7.5)), 2.4).add_subplot()
    _open(axes)
    axes.bar(np.arange(n), values, width=0.8, color=np.where(used, OKABE_ITO[0], GREY))
    axes.set_xlim(-0.6, max(n, 5) - 0.4)  # two bars alone would look like a flag
    axes.margins(y=0.12)
    if n > MOST_BARS:
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, steps=[1, 2, 5, 10]))
        return owner(axes)
    axes.set_xticks(np.arange(n), under, parse_math=False)
    for i, value in enumerate(values):
        text = f"{value:.2f}" if n <= MOST_BARS // 2 else f"{value:.1f}"
        axes.annotate(text, (i, value), (0, 2), textcoords="offset points", ha="center", size=7)
    return owner(axes)


def _open(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color=GREY, alpha=0.2, lw=0.6)
    axes.set_axisbelow(True)
