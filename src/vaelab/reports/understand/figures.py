"""Which files make a figure, and how they stand on the page; their words are in the TOML files."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

MODELS = ("ae", "kl-only", "reconstruction-only", "vae")
PLOT = 190  # pixels, the width of a plot of one code
TYPES = {".png": "image/png", ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Panel:
    """One file of a figure.

    Attributes:
        file: its name in the folder of figures.
        model: whose picture it is, None where the panel's words say it.
        size: of the latent space: "2" or "wide".
    """

    file: str
    model: str | None
    size: str


@dataclass(frozen=True)
class Figure:
    """Panels side by side.

    Attributes:
        panels: in reading order.
        columns: side by side on a wide screen.
        narrow: side by side on a phone.
    """

    panels: tuple[Panel, ...]
    columns: int
    narrow: int = 1


def _pairs(stem: str) -> tuple[Panel, ...]:
    return tuple(
        Panel(f"{stem}-{model}-{size}.png", model, size)
        for size in ("2", "wide")
        for model in ("ae", "vae")
    )


def _each(stem: str, models: tuple[str, ...], end: str = "") -> tuple[Panel, ...]:
    return tuple(Panel(f"{stem}-{model}{end}.png", model, "2") for model in models)


FIGURES = {
    "gap_map": Figure(
        tuple(
            Panel(f"1-{name}.png", None, "2") for name in ("map-ae", "gap-error", "gap-distance")
        ),
        columns=3,
    ),
    "gap_strips": Figure(
        tuple(Panel(f"1-strip-{name}.png", None, "2") for name in ("gap", "class")), columns=1
    ),
    "ellipses": Figure((Panel("2-ellipses.png", "vae", "2"),), columns=1),
    "redraws": Figure(
        (Panel("2-samples-2.png", "vae", "2"), Panel("2-samples-wide.png", "vae", "wide")),
        columns=2,
    ),
    "maps": Figure(_each("3-map", MODELS), columns=4, narrow=2),
    "near": Figure(_each("3-map", MODELS, "-near"), columns=4, narrow=2),
    "walks": Figure(_pairs("4-walks"), columns=2),
    "density": Figure(_each("4-density", ("ae", "vae")), columns=2),
    "samples": Figure(_pairs("5-samples"), columns=2, narrow=2),
    "manifold": Figure(_each("5-manifold", ("ae", "vae")), columns=2),
    "variations": Figure(_pairs("6-variations"), columns=2),
}


def inlined(path: Path) -> str:
    """A picture as a data URI.

    Raises:
        FileNotFoundError: where it is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"the figure {path} is missing; run `vaelab understand` again")
    return f"data:{TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}"


def code_plot(mean: list[float], std: list[float], name: str, other: str, first: str) -> str:
    """Dots at μ, bars of ±σ, a row a dimension, over the band of the prior; an inline SVG.

    Args:
        mean: μ of each dimension.
        std: σ of each dimension.
        name: what it shows, in English.
        other: the same in Chinese.
        first: the one of both the page opens with.
    """
    row, width, left = 9, PLOT, 26
    reach = 1.05 * max(2.5, *(abs(m) + s for m, s in zip(mean, std, strict=True)))
    height = row * len(mean) + 20

    def x(value: float) -> float:
        return round(left + (width - left) * (value + reach) / (2 * reach), 1)

    marks = []
    for j, (m, s) in enumerate(zip(mean, std, strict=True)):
        y = row * j + row / 2
        if j % 5 == 0 or len(mean) < 5:
            marks.append(f'<text x="{left - 5}" y="{y + 4}" text-anchor="end">z{j}</text>')
        marks.append(f'<line class="bar" x1="{x(m - s)}" x2="{x(m + s)}" y1="{y}" y2="{y}"/>')
        marks.append(f'<circle class="dot" cx="{x(m)}" cy="{y}" r="2.1"/>')
    ticks = "".join(
        f'<text x="{x(t)}" y="{height - 4}" text-anchor="middle">{text}</text>'
        for t, text in ((-2, "−2"), (0, "0"), (2, "2"))
    )
    bottom = row * len(mean)
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{first}" data-alt-en="{name}" data-alt-zh="{other}">'
        f'<rect class="band" x="{x(-1)}" y="0" width="{round(x(1) - x(-1), 1)}" height="{bottom}"/>'
        f'<line class="zero" x1="{x(0)}" x2="{x(0)}" y1="0" y2="{bottom}"/>'
        f"{''.join(marks)}{ticks}</svg>"
    )
