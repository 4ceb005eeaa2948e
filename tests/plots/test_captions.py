"""Caption strips: pixels of the picture unchanged, text below and within the width."""

from __future__ import annotations

import numpy as np
import pytest

from vaelab.plots import captioned, figure, grid
from vaelab.plots.captions import NARROWEST, _wrapped, font

TEXT = "upper rows: 20 originals; lower rows: their reconstructions " * 3


@pytest.mark.parametrize("columns", [2, 9])
def test_a_caption_leaves_the_picture_and_stands_below_it(columns: int) -> None:
    drawn = grid(np.linspace(0, 1, 18 * 6).reshape(18, 1, 2, 3), columns)
    image = captioned(drawn, TEXT, "vae on digits")
    pixels, before = np.asarray(image), np.asarray(drawn)
    height, width = before.shape[:2]
    assert np.array_equal(pixels[:height, :width], before)
    assert image.width == max(width, NARROWEST)
    assert not pixels[:height, width:, 3].any()
    assert pixels[height:, :, 3].any(axis=1).sum() > 3 * 8  # three lines of text at least


def test_a_caption_of_a_figure_keeps_its_pixels() -> None:
    fig = figure(2.0, 1.0)
    assert captioned(fig, "epochs").size[0] == NARROWEST
    assert captioned(fig, "epochs").height > 160


@pytest.mark.parametrize("text", [TEXT, "run" * 200, "a " * 300, "", " one   space "])
def test_lines_of_a_caption_fit_its_width_and_lose_nothing(text: str) -> None:
    lines = _wrapped(text, 300, 13)
    assert all(font(13).getlength(line) <= 300 for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


def test_signs_that_the_typeface_lacks_become_question_marks() -> None:
    assert captioned(grid(np.zeros((1, 1, 2, 2))), "猫").tobytes() == (
        captioned(grid(np.zeros((1, 1, 2, 2))), "?").tobytes()
    )
