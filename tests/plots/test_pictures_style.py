"""Colours that colour-blind readers tell apart, names that the font can show."""

import itertools

import matplotlib
import numpy as np
import pytest

from vaelab.plots import class_styles, printable, style

# Machado, Oliveira & Fernandes, "A Physiologically-based Model for Simulation of Color Vision
# Deficiency" (2009), severity 1.0, on linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)


def linear(color):
    c = np.array(matplotlib.colors.to_rgb(color))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    t = TO_XYZ @ rgb / TO_XYZ.sum(axis=1)
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def ciede2000(one, two):
    """Sharma, Wu & Dalal, "The CIEDE2000 color-difference formula" (2005)."""
    (l1, a1, b1), (l2, a2, b2) = one, two
    c = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 1.5 - 0.5 * np.sqrt(c**7 / (c**7 + 25.0**7))
    c1, c2 = np.hypot(a1 * g, b1), np.hypot(a2 * g, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a * g)) % 360 for a, b in ((a1, b1), (a2, b2)))
    dh = (h2 - h1 + 180) % 360 - 180
    h, l, c = np.radians(h1 + dh / 2), (l1 + l2) / 2, (c1 + c2) / 2  # noqa: E741
    t = (
        1
        - 0.17 * np.cos(h - np.pi / 6)
        + 0.24 * np.cos(2 * h)
        + 0.32 * np.cos(3 * h + np.radians(6))
        - 0.20 * np.cos(4 * h - np.radians(63))
    )
    sl = 1 + 0.015 * (l - 50) ** 2 / np.sqrt(20 + (l - 50) ** 2)
    dl, dc = (l2 - l1) / sl, (c2 - c1) / (1 + 0.045 * c)
    dhue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(dh / 2)) / (1 + 0.015 * c * t)
    turn = np.radians(60 * np.exp(-((((np.degrees(h) % 360) - 275) / 25) ** 2)))
    rt = -2 * np.sqrt(c**7 / (c**7 + 25.0**7)) * np.sin(turn)
    return np.sqrt(dl**2 + dc**2 + dhue**2 + rt * dc * dhue)


def least_distance(colors, sight):
    seen = [lab(np.clip(SIGHT[sight] @ linear(color), 0, 1)) for color in colors]
    return min(ciede2000(a, b) for a, b in itertools.combinations(seen, 2))


def test_the_distance_is_the_published_one():
    # Two rows of the test data of Sharma, Wu & Dalal.
    assert ciede2000((50, 2.6772, -79.7751), (50, 0, -82.7485)) == pytest.approx(2.0425, abs=1e-4)
    assert ciede2000((50, 2.5, 0), (73, 25, -18)) == pytest.approx(27.1492, abs=1e-4)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("palette", [style.OKABE_ITO, style.PETROFF], ids=["eight", "ten"])
def test_colours_stay_apart(palette, sight):
    assert least_distance(palette, sight) > (17 if sight == "normal" else 11)


def test_a_set_that_fails_would_be_seen():
    matplotlibs_own = [f"C{i}" for i in range(10)]
    assert least_distance(matplotlibs_own, "deuteranopia") < 4


@pytest.mark.parametrize("palette", [style.OKABE_ITO, style.PETROFF])
def test_names_can_be_read_on_their_outline(palette):
    for color in palette:
        luminance = TO_XYZ[1] @ linear(style.dark(color))
        assert 1.05 / (luminance + 0.05) > 4.5  # white text on it, as WCAG measures


@pytest.mark.parametrize("count", [1, 8, 9, 10, 11, 70])
def test_each_class_has_its_own_look(count):
    assert len(set(class_styles(count))) == count


def test_styles_repeat_rather_than_end():
    assert len(class_styles(1623)) == 1623


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["cat", "dog"], ("cat", "dog")),
        (["café", "β−1"], ("café", "β−1")),
        (["a 猫", "dog"], ("0", "1")),
        (["a\nb", "c"], ("0", "1")),
        (["  "], ("0",)),
        (["a name longer than a map"], ("a name longer…",)),
        ([], ()),
    ],
)
def test_names_the_font_cannot_show_become_numbers(names, shown):
    assert printable(names) == shown


def test_boxes_part():
    rng = np.random.default_rng(0)
    for centres in (np.zeros((12, 2)), rng.normal(size=(20, 2))):
        sizes = rng.uniform(0.2, 1.0, centres.shape)
        moved = style.separate(centres, sizes)
        for i, j in itertools.combinations(range(len(moved)), 2):
            depth = (sizes[i] + sizes[j]) / 2 - np.abs(moved[i] - moved[j])
            assert depth.min() <= 1e-6
    far = np.array([[0.0, 0.0], [9.0, 9.0]])
    assert np.allclose(style.separate(far, np.ones_like(far)), far, atol=0.02)


def test_the_users_settings_are_left_alone():
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"figure.facecolor": "red", "font.family": "serif"}):
        fig = style.figure(2, 1)
        assert fig.get_facecolor()[3] == 0
        assert matplotlib.rcParams["font.family"] == ["serif"]
    assert dict(matplotlib.rcParams) == before
