"""Pictures to bytes and files: equal pictures give equal bytes, a file is whole or absent."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from vaelab.plots.style import styled
from vaelab.utils.atomic_files import write

Picture = Figure | Image.Image


def _smallest(image: Image.Image) -> Image.Image:
    """The same pixels without the channels that say nothing."""
    pixels = np.asarray(image.convert("RGBA"))
    opaque = bool((pixels[..., 3] == 255).all())
    grey = bool((pixels[..., :1] == pixels[..., 1:3]).all())
    mode = ("L" if grey else "RGB") + ("" if opaque else "A")
    return image.convert(mode)


@styled()
def pixels(picture: Picture) -> Image.Image:
    """The picture as RGBA: images pixel for pixel, figures at their own resolution."""
    if not isinstance(picture, Figure):
        return picture.convert("RGBA")
    out = io.BytesIO()
    picture.draw_without_rendering()  # the layout needs two passes to fit a colour bar
    picture.savefig(out, format="rgba")
    size = picture.canvas.get_width_height()
    return Image.frombuffer("RGBA", size, out.getvalue(), "raw", "RGBA", 0, 1)


@styled()
def png(picture: Picture) -> bytes:
    """The picture as PNG: images pixel for pixel, figures at their own resolution."""
    out = io.BytesIO()
    if isinstance(picture, Figure):
        picture.draw_without_rendering()
        picture.savefig(out, format="png", metadata={"Software": None})
    else:
        _smallest(picture).save(out, format="PNG")
    return out.getvalue()


@styled()
def svg(picture: Figure) -> bytes:
    """The figure as SVG, its text as outlines, without a date."""
    return _drawing(picture, "svg", {"Date": None, "Creator": None})


@styled()
def pdf(picture: Figure) -> bytes:
    """The figure as PDF, without a date."""
    return _drawing(picture, "pdf", {"CreationDate": None, "Creator": None, "Producer": None})


def _drawing(picture: Figure, kind: str, metadata: dict[str, Any]) -> bytes:
    out = io.BytesIO()
    picture.draw_without_rendering()
    picture.savefig(out, format=kind, metadata=metadata)
    return out.getvalue()


def save(picture: Picture, path: str | os.PathLike[str]) -> Path:
    """Write a picture to `path`, as PNG, SVG or PDF by its suffix; missing folders are made.

    The file appears whole or not at all: it is written beside its name and then renamed.

    Returns:
        The path written.

    Raises:
        ValueError: for another suffix, or an image of pixels as SVG or PDF.
        OSError: the folder cannot be made or written to.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".png":
        data = png(picture)
    elif suffix == ".svg" and isinstance(picture, Figure):
        data = svg(picture)
    elif suffix == ".pdf" and isinstance(picture, Figure):
        data = pdf(picture)
    elif suffix in (".svg", ".pdf"):
        raise ValueError(f"{path}: this picture is made of pixels; give it a name ending in .png")
    else:
        raise ValueError(f"{path}: pictures are written as .png, .svg or .pdf; end the name in one")
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, data)
    return path
