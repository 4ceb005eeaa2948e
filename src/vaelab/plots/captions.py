"""Captions: a strip of text below a picture, wrapped to its width.

The ink is a mid-grey on nothing, as in all pictures, so that one file serves light and dark pages.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from PIL import Image, ImageDraw, ImageFont

from vaelab.plots.cells import PAPER
from vaelab.plots.save import Picture, pixels
from vaelab.plots.style import FONT

INK = (128, 128, 128, 255)
TEXT = 13
"""Pixels of the text under a picture of pixels; a figure has 160 dots an inch, and gets more."""
FIGURE_TEXT = 19
NARROWEST = 360
"""Pixels across below which a caption would be a column of words."""


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """The typeface of all pictures, at a size in pixels."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(path, size=size)


def captioned(picture: Picture, *paragraphs: str) -> Image.Image:
    """The picture above a strip with its caption.

    Args:
        picture: an image, or a figure, which is drawn at its own resolution.
        paragraphs: paragraphs of the caption, each on lines of its own; signs that the typeface
            lacks become question marks.

    Returns:
        An RGBA image: the picture's pixels unchanged at the upper left, the text below.
    """
    size = FIGURE_TEXT if isinstance(picture, Figure) else TEXT
    image = pixels(picture)
    width = max(image.width, NARROWEST)
    lines = [line for text in paragraphs for line in _wrapped(_printable(text), width, size)]
    top, step = image.height + size // 2, round(1.4 * size)
    canvas = Image.new("RGBA", (width, top + step * len(lines)), PAPER)
    canvas.paste(image, (0, 0))
    pen = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        pen.text((0, top + step * number), line, INK, font(size))
    return canvas


def _wrapped(text: str, width: int, size: int) -> list[str]:
    """Lines of words that fit the width; a longer word is cut."""
    measure = font(size).getlength
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}".lstrip()
        if line and measure(longer) > width:
            lines.append(line)
            longer = word
        while measure(longer) > width:
            fits = int(np.searchsorted([measure(longer[:n]) for n in range(1, len(longer))], width))
            lines.append(longer[: max(1, fits)])
            longer = longer[max(1, fits) :]
        line = longer
    return [*lines, line] if line else lines


def _printable(text: str) -> str:
    signs = get_font(findfont(FONT))
    return "".join(c if c == " " or signs.get_char_index(ord(c)) else "?" for c in text)
