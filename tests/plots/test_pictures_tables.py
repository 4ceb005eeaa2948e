"""Pictures of tables: what the panels hold, read back from matplotlib."""

from __future__ import annotations

import numpy as np
import pytest

from vaelab.data import DataSpec
from vaelab.data.tabular.header import Heading
from vaelab.plots import agreement, lines, marginals, plane, png, spread
from vaelab.plots.renderers import ColumnRenderer, GridRenderer, find_renderer

HEADER = (
    Heading("age", (), 0),
    Heading("income", (), 2),
    Heading("smoker", ("no", "yes")),
    Heading("city", ("Leeds", "London", "York")),
)


def rows(n: int, seed: int = 0) -> np.ndarray:
    r = np.random.default_rng(seed)
    columns = [r.integers(18, 90, n), r.lognormal(10, 1, n), r.integers(2, size=n)]
    return np.stack([*columns, r.integers(3, size=n)], 1).astype(np.float32)


def test_marginals_are_shares_of_samples_and_of_data() -> None:
    made, data = rows(500), rows(80, 1)
    fig = marginals(made, data, HEADER)
    panels = [axes for axes in fig.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == ["age", "income", "smoker", "city"]
    samples, outline = (patch.get_data() for patch in panels[3].patches)
    assert np.allclose(samples.values, np.bincount(made[:, 3].astype(int)) / 500)
    assert np.allclose(outline.values, np.bincount(data[:, 3].astype(int)) / 80)
    assert [t.get_text() for t in panels[3].get_xticklabels()] == ["Leeds", "London", "York"]
    edges = panels[0].patches[0].get_data().edges
    assert len(set(np.diff(edges))) == 1  # every bar holds as many ages
    assert (edges % 1 == 0.5).all()
    assert png(fig).startswith(b"\x89PNG")
    assert len(marginals(made, None, HEADER).axes[0].patches) == 1


def test_one_far_draw_does_not_squeeze_the_rest() -> None:
    made = rows(2000)
    made[0, 1] = 1e12
    assert marginals(made, None, HEADER).axes[1].patches[0].get_data().edges[-1] < 1e6


def test_agreement_and_spread_keep_numbers_where_they_are() -> None:
    x = rows(30)
    fig = agreement(x, x, HEADER)
    points = fig.axes[1].collections[0].get_offsets()
    assert np.allclose(points, np.stack([x[:, 1], x[:, 1]], 1))
    apart = fig.axes[3].collections[0].get_offsets()
    assert np.array_equal(np.round(apart), np.stack([x[:, 3], x[:, 3]], 1))
    assert len(np.unique(apart, axis=0)) == 30
    made = np.repeat(x[:4, None], 5, 1)
    points = spread(x[:4], made, HEADER).axes[0].collections[0].get_offsets()
    assert np.array_equal(points[:, 1], np.repeat(x[:4, 0], 5))
    with pytest.raises(ValueError, match="expected as many"):
        spread(x[:3], made, HEADER)
    with pytest.raises(ValueError, match="rows of 4 columns are to be shown"):
        agreement(x[:, :3], x[:, :3], HEADER)


def test_lines_follow_walks_and_fade_what_is_idle() -> None:
    walks = rows(2 * 7).reshape(2, 7, 4)
    across = np.linspace(-3, 3, 7)
    walks[:, :, 3] = [[0, 0, 0, 0, 2, 2, 1], [1] * 7]
    fig = lines(walks, across, HEADER, "deviations", ["z0: 1.20", "z1: 0.00"], [True, False])
    first, second = fig.axes[1].lines[:2]
    assert np.array_equal(first.get_ydata(), walks[0, :, 1])
    assert np.array_equal(second.get_xdata(), across)
    assert second.get_color() == "#808080" != first.get_color()
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["z0: 1.20", "z1: 0.00"]
    with pytest.raises(ValueError, match="do not fit paths"):
        lines(walks, across, HEADER, "deviations", ["z0"])
    assert [axes.get_xlabel() for axes in fig.axes[:4]] == ["", *["deviations"] * 3]
    # Names without an order have no height: they are words, each walk on a line of its own.
    city = fig.axes[3]
    assert [set(line.get_ydata()) for line in city.lines] == [{0}, {-1}]
    words = {text.get_text(): text.get_position() for text in city.texts}
    assert {word: at[0] for word, at in words.items()} == {"Leeds": -1.25, "York": 1.5, "London": 0}
    assert words["London"][1] < words["York"][1] == words["Leeds"][1]
    assert city.collections[0].get_offsets()[:, 0].tolist() == [0.5, 2.5]


def test_a_plane_shows_each_column_over_a_square() -> None:
    x = rows(49)
    fig = plane(x, HEADER)
    panels = [axes for axes in fig.axes if axes.images]
    assert len(panels) == 4
    for j, axes in enumerate(panels):
        assert np.array_equal(axes.images[0].get_array(), x[:, j].reshape(7, 7))
    bars = [axes for axes in fig.axes if axes.get_label() == "<colorbar>"]
    assert [t.get_text() for t in bars[3].get_yticklabels()] == ["Leeds", "London", "York"]
    assert panels[3].images[0].get_clim() == (-0.5, 2.5)
    with pytest.raises(ValueError, match="48 places are to be shown as a square"):
        plane(x[:48], HEADER)


def spec(*shape: int, header: tuple[Heading, ...] = ()) -> DataSpec:
    return DataSpec("array", shape, "float32", None, -3, 3, (0.0,), (2.0,), header=header)


def test_the_look_follows_from_the_data() -> None:
    assert isinstance(find_renderer(spec(1, 8, 8)), GridRenderer)
    assert isinstance(find_renderer(spec(5)), ColumnRenderer)
    assert isinstance(
        find_renderer(spec(784)), GridRenderer
    )  # an image laid flat, more likely than a table
    named = tuple(Heading(f"gene {j}") for j in range(100))
    assert isinstance(find_renderer(spec(100, header=named)), ColumnRenderer)
