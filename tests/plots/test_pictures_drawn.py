"""Maps and curves: what is drawn where, the density against known answers, and the files."""

import os
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import Ellipse
from PIL import Image

from vaelab.plots import (
    bars,
    density_map,
    field_map,
    figure,
    grid,
    latent_map,
    limits,
    png,
    save,
    svg,
    training_curves,
)
from vaelab.plots.maps import aggregate_density

RNG = np.random.default_rng(0)
MU = RNG.normal(size=(300, 2))
SIGMA = np.full_like(MU, 0.1)
LABELS = np.arange(300) % 10


def legend_texts(axes):
    return [] if axes.get_legend() is None else axes.get_legend().get_texts()


def texts(axes):
    """Names on a map and in its legend, in order."""
    return sorted(text.get_text() for text in (*axes.texts, *legend_texts(axes)))


def label_boxes(fig):
    fig.draw_without_rendering()
    return [text.get_window_extent() for axes in fig.axes for text in axes.texts]


def overlapping(boxes):
    return [(i, j) for i in range(len(boxes)) for j in range(i) if boxes[i].overlaps(boxes[j])]


def test_map_has_equal_axes_and_names_every_class():
    fig = latent_map(MU, SIGMA, LABELS, ellipses=7)
    (axes,) = fig.axes
    fig.draw_without_rendering()
    box = axes.get_window_extent()
    assert box.width == pytest.approx(box.height)
    assert np.diff(axes.get_xlim()) == pytest.approx(np.diff(axes.get_ylim()))
    assert texts(axes) == [str(i) for i in range(10)]
    ellipses = [p for p in axes.patches if isinstance(p, Ellipse) and p.width < 1]
    assert sorted({round(p.width, 6) for p in ellipses}) == [0.2, 0.4]
    assert len(ellipses) == 14


@pytest.mark.parametrize("spread", [1.0, 1e-6], ids=["spread", "collapsed"])
def test_names_do_not_overlap(spread):
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    assert not overlapping(label_boxes(latent_map(MU * spread, None, LABELS, names)))
    fig = figure(6, 3)
    for axes, scale in zip(fig.subplots(1, 2), (1, spread), strict=True):
        latent_map(MU * scale, labels=LABELS, axes=axes)
    for axes in fig.axes:
        fig.draw_without_rendering()
        assert not overlapping([text.get_window_extent() for text in axes.texts])


def test_names_stand_at_their_classes_unless_they_overlap():
    codes = np.array([[-2.0, 2.0], [2.0, -1.5], [2.02, -1.5]] * 5)
    axes = latent_map(codes, None, np.arange(15) % 3, ["apart", "_one", "other"]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["apart"]
    assert axes.texts[0].get_position() == pytest.approx((-2.0, 2.0), abs=0.3)
    assert [text.get_text() for text in legend_texts(axes)] == ["_one", "other"]


def test_map_shows_names_as_they_are_or_as_numbers():
    dollars = latent_map(MU, None, LABELS % 2, ["$5$", "a_b"]).axes[0]
    assert texts(dollars) == ["$5$", "a_b"]
    assert not any(text.get_parse_math() for text in (*dollars.texts, *legend_texts(dollars)))
    shown = latent_map(MU, None, LABELS % 2, ["猫", "狗"])
    assert texts(shown.axes[0]) == ["0", "1"]
    png(shown)  # a missing sign would warn, and warnings are errors here
    assert texts(latent_map(MU, None, np.arange(300) % 30).axes[0]) == []


def test_map_thins_out_many_codes():
    fig = latent_map(RNG.normal(size=(9000, 2)), None, np.zeros(9000, int))
    assert sum(len(c.get_offsets()) for c in fig.axes[0].collections) == 4000


def test_limits_hold_every_code_and_the_prior():
    assert limits(np.zeros((3, 2))) == (-2.2, 2.2, -2.2, 2.2)
    x0, x1, y0, y1 = limits(np.array([[0.0, 0.0]]), np.array([[10.0, 1.0]]))
    assert x1 > 10 > x0
    assert x1 - x0 == pytest.approx(y1 - y0)


def test_maps_draw_on_given_axes():
    fig = figure(9, 3)
    one, two, three = fig.subplots(1, 3)
    assert latent_map(MU, axes=one) is fig
    assert density_map(MU, SIGMA, axes=two) is fig
    assert field_map(np.ones((2, 2)), (-1, 1, -1, 1), axes=three) is fig
    assert len(two.patches) == 3
    png(fig)


def test_density_of_one_posterior_is_the_normal_density():
    extent = (-4.0, 4.0, -4.0, 4.0)
    q = aggregate_density(np.array([[0.5, -1.0]]), np.array([[1.0, 0.5]]), extent, 200)
    z = -4 + 8 * (np.arange(200) + 0.5) / 200
    exact = np.exp(-0.5 * ((z - 0.5) ** 2)[None] - 2 * ((z + 1.0) ** 2)[:, None]) / np.pi
    assert np.abs(q - exact).max() < 5e-4


@pytest.mark.parametrize("sigma", [1e-12, 1e-3, 0.3])
def test_density_keeps_its_mass_however_narrow(sigma):
    extent = (-6.0, 6.0, -6.0, 6.0)
    q = aggregate_density(MU, np.full_like(MU, sigma), extent, 50)
    assert q.sum() * (12 / 50) ** 2 == pytest.approx(1.0, abs=1e-6)


def test_field_lies_the_right_way_up():
    values = np.array([[0.0, 1.0], [2.0, np.nan]])
    fig = field_map(values, (0.0, 2.0, 0.0, 2.0), norm=Normalize(0, 2))
    image = fig.axes[0].get_images()[0]
    assert image.origin == "lower"
    assert image.get_array()[1, 0] == 2
    assert image.get_array().mask[1, 1]
    png(field_map(10.0 ** RNG.normal(size=(9, 9)), (-2, 2, -2, 2), MU, norm=LogNorm()))


def test_colour_bar_lies_within_the_picture():
    fig = density_map(3 * MU)
    png(fig)
    assert fig.axes[0].get_tightbbox(fig.canvas.get_renderer()).x1 <= fig.bbox.x1


def test_curves_name_every_run_once_in_the_order_of_their_ends():
    runs = {"a": 1.0, "b": 1.001, "c": 0.999, "d": 50.0}
    fig = training_curves({name: {"rate": [60.0, 1.0, v]} for name, v in runs.items()})
    (axes,) = fig.axes
    heights = {text.get_text(): text.get_position()[1] for text in axes.texts}
    assert sorted(heights, key=heights.get) == ["c", "a", "b", "d"]
    assert not overlapping(label_boxes(fig))
    assert axes.get_title(loc="left") == "rate"


def test_curves_name_their_axes_and_count_in_whole_numbers():
    runs = {"a": {"loss": [3.0, 2.0], "rate": [1.0, 1.5], "active units": [1, 2]}}
    fig = training_curves(runs, units={"loss": "nats", "rate": "nats", "active units": ""})
    png(fig)
    loss, rate, active = (axes for axes in fig.axes if axes.get_visible())
    assert [axes.get_ylabel() for axes in (loss, rate, active)] == ["nats", "nats", ""]
    assert [axes.get_xlabel() for axes in (loss, rate, active)] == ["", "epoch", "epoch"]
    assert all(tick == round(tick) for tick in active.get_yticks())
    assert any(tick != round(tick) for tick in rate.get_yticks())


@pytest.mark.parametrize("log", [False, True])
def test_curves_bear_gaps_and_short_runs(log):
    fig = training_curves(
        {
            "one": {"loss": [3.0, float("nan"), 1.0], "rate": [0.0, -1.0, float("inf")]},
            "two": {"loss": [2.0]},
            "none": {},
        },
        log=log,
    )
    png(fig)
    assert texts(fig.axes[0]) == ["two", "one"] or texts(fig.axes[0]) == ["one", "two"]


def test_bars_grey_the_inactive_and_state_the_rates():
    fig = bars(np.array([2.0, 0.001]), [True, False], ["7", "3"])
    (axes,) = fig.axes
    assert [text.get_text() for text in axes.texts] == ["2.00", "0.00"]
    used, idle = (patch.get_facecolor() for patch in axes.patches)
    assert len({*idle[:3]}) == 1
    assert len({*used[:3]}) == 3
    assert [t.get_text() for t in axes.get_xticklabels()] == ["7", "3"]
    png(bars(np.arange(500.0)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: latent_map(np.zeros((5, 16))), r"shape \(N, 2\); got \(5, 16\)"),
        (lambda: latent_map(np.full((5, 2), np.nan)), "not finite"),
        (lambda: latent_map(MU, None, LABELS[:3]), r"expected \(300,\)"),
        (lambda: latent_map(MU, None, LABELS, ["a", "b"]), r"0\.\.9; expected 0\.\.1"),
        (lambda: field_map(np.zeros(4), (0, 1, 0, 1)), r"values \(ny, nx\)"),
        (lambda: training_curves({"a": {}}), "no metric"),
        (lambda: bars(np.ones(3), [True]), "1 marks of activity"),
    ],
)
def test_mistakes_are_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()


PICTURES = {
    "map": lambda: latent_map(MU, SIGMA, LABELS),
    "density": lambda: density_map(MU, SIGMA, pixels=40),
    "curves": lambda: training_curves({"a": {"m": [1, 2]}, "b": {"m": [2, 1]}}),
}


@pytest.mark.parametrize("name", PICTURES)
def test_the_same_picture_has_the_same_bytes(name):
    assert png(PICTURES[name]()) == png(PICTURES[name]())
    one = svg(PICTURES[name]())
    assert one == svg(PICTURES[name]())
    assert b"<dc:date>" not in one
    assert b"<text" not in one


def test_save_writes_whole_files_into_new_folders(tmp_path):
    image = grid(RNG.random((4, 1, 8, 8)))
    path = save(image, tmp_path / "a" / "b" / "grid.PNG")
    with Image.open(path) as back:
        assert back.mode == "LA"  # grey and gaps: nothing more to keep
        assert back.convert("RGBA").tobytes() == image.tobytes()
    first = save(PICTURES["curves"](), tmp_path / "c.svg").read_bytes()
    assert first.startswith(b"<?xml")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "c.svg"]
    assert [p.name for p in path.parent.iterdir()] == ["grid.PNG"]


def test_a_failed_save_leaves_what_was_there(tmp_path, monkeypatch):
    path = save(grid(np.zeros((1, 1, 2, 2))), tmp_path / "p.png")
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        save(grid(np.ones((1, 1, 2, 2))), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["p.png"]


@pytest.mark.parametrize("name", ["x.jpg", "x", "x.svg"])
def test_save_refuses_other_formats(tmp_path, name):
    with pytest.raises(ValueError, match=r"\.png"):
        save(grid(np.zeros((1, 1, 2, 2))), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_pyplot_is_never_loaded():
    code = (
        "import sys, numpy as np; from vaelab.plots import latent_map, png;"
        "png(latent_map(np.zeros((3, 2)))); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    paths = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    assert subprocess.run([sys.executable, "-c", code], env=os.environ | paths).returncode == 0
