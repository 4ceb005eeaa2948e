"""Grids are exact to the pixel: every value, place and gap is known beforehand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaelab.plots import comparison, grid, manifold, picture, rows, strips, traversal
from vaelab.plots.cells import to_bytes


def pixels(image):
    assert image.mode == "RGBA"
    return np.asarray(image)


def flat(values, side=2):
    """One constant grey image (1, side, side) a value."""
    return np.broadcast_to(
        np.array(values, dtype=np.float32)[:, None, None, None], (len(values), 1, side, side)
    )


def test_bytes_round_and_clip():
    values = np.array([-np.inf, -0.02, 0.0, 0.5, 0.9, 1.0, 1.01, np.inf])
    assert to_bytes(values).tolist() == [0, 0, 0, 128, 230, 255, 255, 255]
    assert to_bytes(np.array([False, True])).tolist() == [0, 255]
    assert to_bytes(np.array([7, 255], dtype=np.uint8)).tolist() == [7, 255]


@given(st.integers(0, 255))
def test_a_byte_survives_the_unit_interval(level):
    assert to_bytes(np.array([level / 255], dtype=np.float32))[0] == level


def test_grid_places_every_value():
    image = pixels(grid(flat([0.0, 0.2, 0.4, 0.6, 0.8]), columns=3, scale=2, gap=1))
    assert image.shape == (2 * 4 + 1, 3 * 4 + 2, 4)
    for i, value in enumerate([0, 51, 102, 153, 204]):
        top, left = (i // 3) * 5, (i % 3) * 5
        cell = image[top : top + 4, left : left + 4]
        assert (cell[..., :3] == value).all()
        assert (cell[..., 3] == 255).all()
    assert (image[4] == (255, 255, 255, 0)).all()
    assert (image[:, 4] == (255, 255, 255, 0)).all()
    assert (image[5:, 10:, 3] == 0).all()  # the sixth cell stays open


def test_pixels_are_repeated_and_never_smoothed():
    x = np.random.default_rng(0).random((1, 1, 8, 8)).astype(np.float32)
    image = pixels(grid(x))
    assert image.shape[:2] == (64, 64)
    assert (image[::8, ::8, 0] == to_bytes(x[0, 0])).all()
    assert (image == image[::8, ::8].repeat(8, 0).repeat(8, 1)).all()


@pytest.mark.parametrize(
    ("h", "w", "shown"),
    [(28, 28, (56, 56)), (28, 20, (56, 40)), (32, 32, (64, 64)), (105, 105, (105, 105))],
)
def test_default_scale_is_a_whole_number_near_60(h, w, shown):
    assert pixels(grid(np.zeros((1, 1, h, w)))).shape[:2] == shown


def test_a_dark_image_is_not_brightened_by_its_neighbours():
    alone = pixels(grid(flat([0.1]), scale=1))
    beside = pixels(grid(flat([0.1, 1.0]), columns=2, scale=1, gap=0))
    assert (beside[:, :2] == alone).all()


def test_rgb_keeps_its_order():
    x = np.zeros((1, 3, 1, 2))
    x[0, 0, 0, 0] = 1.0  # red, then blue
    x[0, 2, 0, 1] = 1.0
    assert pixels(grid(x, scale=1))[0, :, :3].tolist() == [[255, 0, 0], [0, 0, 255]]


def test_other_channels_lie_side_by_side():
    x = np.stack([np.full((2, 2), v) for v in (0.0, 1.0)])[None]
    image = pixels(grid(x, scale=1))
    assert image[0, :, 0].tolist() == [0, 0, 255, 255]


def test_rows_set_the_originals_apart():
    image = pixels(rows([flat([0.2, 0.4]), flat([0.6])], flat([0.0, 1.0]), scale=1, gap=1))
    assert image.shape == (5, 2 + 6 + 5, 4)
    assert (image[0, 0, 0], image[3, 0, 0]) == (0, 255)
    assert (image[:, 2:8, 3] == 0).all()
    assert (image[0, 8, 0], image[0, 11, 0], image[3, 8, 0]) == (51, 102, 153)
    assert (image[3:, 11:, 3] == 0).all()


def test_comparison_stacks_pairs():
    image = pixels(comparison(flat([0.0, 0.2, 0.4]), flat([1.0, 0.8, 0.6]), 2, scale=1, gap=1))
    assert image.shape == (5 + 6 + 5, 5, 4)
    assert image[[0, 0, 3, 3], [0, 3, 0, 3], 0].tolist() == [0, 51, 255, 204]
    assert image[[11, 14], [0, 0], 0].tolist() == [102, 153]


def test_traversal_fades_the_inactive():
    x = np.stack([flat([0.0, 1.0]), flat([0.0, 1.0])])
    image = pixels(traversal(x, active=[True, False], scale=1, gap=0))
    assert (image[:2, :, 3] == 255).all()
    assert (image[2:, :, 3] == 80).all()
    assert (image[2:, :, :3] == image[:2, :, :3]).all()


def test_traversal_prints_names_beside_their_rows():
    x = np.zeros((2, 3, 1, 28, 28))
    bare, marked = pixels(traversal(x)), pixels(traversal(x, names=["12.35", "0.00"]))
    extra = marked.shape[1] - bare.shape[1]
    assert extra > 30
    assert (marked[:, extra:] == bare).all()
    margin = marked[:, : extra - 8, 3] > 0
    lit = np.flatnonzero(margin.any(axis=1))
    assert {*lit[lit < 57]} <= {*range(18, 38)}  # in the middle of the first row
    assert (lit >= 58).any()
    widths = [np.flatnonzero(half.any(axis=0)) for half in (margin[:56], margin[58:])]
    assert widths[0].min() < widths[1].min()  # "12.35" is wider than "0.00", flush right
    assert abs(widths[0].max() - widths[1].max()) <= 2


@pytest.mark.parametrize(("side", "scale"), [(28, 2), (20, 1)])  # room for all, and for the ends
def test_traversal_prints_deviations_above_their_columns(side, scale):
    x = np.zeros((2, 5, 1, side, side))
    bare = pixels(traversal(x, scale=scale))
    marked = pixels(traversal(x, names=["z3", "z0"], deviations=[-3, -1.5, 0, 1.5, 3], scale=scale))
    head, left = (marked.shape[i] - bare.shape[i] for i in (0, 1))
    assert (marked[head:, left:] == bare).all()
    assert not marked[:head, : left - 8, 3].any()  # the names stand beside the rows, not higher
    lit = np.flatnonzero((marked[:head, left:, 3] > 0).any(axis=0))
    column = lit // (side * scale + 2)
    assert {0, 4} <= {*column}
    assert (2 in column) == (side == 28)


def test_manifold_has_a_pixel_between_its_tiles():
    image = pixels(manifold(flat([0.0, 0.2, 0.4, 0.6]), scale=1))
    assert image.shape == (5, 5, 4)
    assert image[0, :, 0].tolist() == [0, 0, 255, 51, 51]
    assert image[2, :, 3].tolist() == [0] * 5


def test_strips_span_the_colour_map_and_leave_the_missing_open():
    image = pixels(strips(np.array([[0.0, 1.0, np.nan], [5.0, 9.0, 10.0]]), gap=0))
    low, high = (68, 1, 84, 255), (253, 231, 36, 255)  # the two ends of viridis
    assert tuple(image[0, 0]) == low
    assert tuple(image[-1, -1]) == high
    assert image[0, -1, 3] == 0
    fixed = pixels(strips(np.array([[10.0]]), span=(0.0, 10.0)))
    assert tuple(fixed[0, 0]) == high
    assert pixels(strips(np.full((2, 3), 4.0)))[..., 3].max() == 255


def test_picture_chooses_by_shape():
    x = np.random.default_rng(0).random((6, 12))
    assert picture(x, (3, 2, 2), 3).size == (3 * 60 + 4, 2 * 60 + 2)
    assert picture(x, (12,)).tobytes() == strips(x).tobytes()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grid(np.full((1, 1, 2, 2), np.nan)), "4 of 4 values .* NaN"),
        (lambda: grid(np.zeros((2, 2, 2))), r"\(N, C, H, W\)"),
        (lambda: grid(np.zeros((0, 1, 2, 2))), "no examples"),
        (lambda: grid(flat([0.0]), columns=0), "columns is 0"),
        (lambda: grid(flat([0.0]), scale=0), "scale is 0"),
        (lambda: rows([flat([0.0])], flat([0.0, 1.0])), "1 rows and 2 originals"),
        (lambda: rows([]), "no rows"),
        (lambda: comparison(flat([0.0]), flat([0.0, 1.0])), "expected the same"),
        (lambda: traversal(flat([0.0])[None], active=[True, False]), "active has 2 entries"),
        (lambda: strips(flat([0.0])), r"vectors \(N, D\)"),
    ],
)
def test_mistakes_are_explained(call, message):
    with pytest.raises(ValueError, match=message):
        call()
