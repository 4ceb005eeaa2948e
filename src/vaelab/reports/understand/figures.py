"""The figures of the page: which pictures stand side by side, and the charts drawn from numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from vaelab.reports import svg_charts
from vaelab.reports.page import data_uri
from vaelab.reports.understand.values import MODELS, Values


@dataclass(frozen=True)
class Panel:
    """One picture of a figure.

    Attributes:
        file: its name in the folder of figures.
        model: the model shown, None if the label names something else.
        size: latent size, "2" or "wide".
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
        even: columns of one width, rather than in proportion to the pictures.
    """

    panels: tuple[Panel, ...]
    columns: int
    narrow: int = 1
    even: bool = False


def _pairs(stem: str, sizes: Sequence[str] = ("2", "wide")) -> tuple[Panel, ...]:
    return tuple(
        Panel(f"{stem}-{model}-{size}.png", model, size)
        for size in sizes
        for model in ("ae", "vae")
    )


def _each(stem: str, models: Sequence[str], end: str = "") -> tuple[Panel, ...]:
    return tuple(Panel(f"{stem}-{model}{end}.png", model, "2") for model in models)


FIGURES = {
    "first": Figure(
        (*_each("3-map", ("ae", "vae")), *_pairs("5-samples", ("wide",))),
        columns=4,
        narrow=2,
        even=True,
    ),
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


@dataclass(frozen=True)
class View:
    """A panel as the template shows it.

    Attributes:
        labels: above it, by language.
        width: in pixels.
        chart: an SVG element, or None for a picture.
        picture: attributes of its `img`, empty for a chart.
        alts: descriptions, by language.
    """

    labels: Mapping[str, Markup]
    width: int
    chart: Markup | None = None
    picture: Mapping[str, Any] | None = None
    alts: Mapping[str, str] | None = None


class Gallery:
    """The panels of every figure that was drawn.

    Args:
        values: the study.
        folder: folder of the pictures.
    """

    def __init__(self, values: Values, folder: Path) -> None:
        self._values, self._folder = values, folder
        self._drawn = {picture["file"]: picture for picture in values.document["pictures"]}

    def panels(self, name: str) -> list[View]:
        """The panels of a figure whose pictures exist."""
        figure = enumerate(FIGURES[name].panels, 1)
        return [self._panel(name, *one) for one in figure if one[1].file in self._drawn]

    def _panel(self, name: str, number: int, panel: Panel) -> View:
        drawn, latent = self._drawn[panel.file], self._values.latent(panel.size)
        labels, alts = {}, {}
        for language, t in self._values.texts.items():
            model = t.line(f"models.{panel.model}") if panel.model else ""
            blanks = {"latent": str(latent), "model": model or None}
            key = f"pictures.{name}"
            alts[language] = t.first(f"{key}.alt_{number}", f"{key}.alt", blanks=blanks)
            label = t.first(f"{key}.label_{number}", f"{key}.label", blanks=blanks) or model
            bold = [Markup("<strong>{}</strong>").format(label)] if label else []
            labels[language] = t.line("ui.comma").join([*bold, self._values.dims(latent, t)])
        # Drawings have two dots to a pixel of the page, grids of pixels one.
        scale = 2 if drawn["kind"] == "drawing" else 1
        width, height = (round(drawn[side] / scale) for side in ("width", "height"))
        picture = {
            "class": drawn["kind"],
            "width": width,
            "height": height,
            "src": data_uri(self._folder / panel.file),
        }
        return View(labels, width, picture=picture, alts=alts)

    def codes(self) -> list[View]:
        """Posteriors of a few inputs in the wide VAE, one small chart each."""
        views = []
        classes = self._values.document["data"]["classes"]
        for number, example in enumerate(self._values.document["inputs"], 1):
            code = example["codes"].get(f"vae-{self._values.wide}")
            if code is None:
                continue
            label = example.get("label")
            known = label is not None and label < len(classes)
            key, blanks = ("class", {"name": str(classes[label])}) if known else ("input", {})
            blanks["n"] = str(number)
            titles = {
                language: Markup("<strong>{}</strong>").format(t.line(f"ui.{key}", blanks))
                for language, t in self._values.texts.items()
            }
            alts = self._in_first("pictures.codes.alt", {"n": str(number)})
            chart = svg_charts.code(code["mean"], code["std"], alts)
            views.append(View(titles, svg_charts.CODE_WIDTH, chart))
        return views

    def training(self) -> list[View]:
        """Distortion and rate over the epochs at both latent sizes, a chart each."""
        views = []
        history = self._values.document["history"]
        names = {model: self._in_first(f"short.{model}") for model in MODELS}
        for latent in self._values.document["study"]["latents"]:
            for term in ("distortion", "rate"):
                lines = {m: history.get(f"{m}-{latent}", {}).get(term) for m in MODELS}
                known = {model: line for model, line in lines.items() if line}
                if not known:
                    continue
                titles, alts = {}, {}
                for t in self._values.ordered:
                    name = self._values.figure_name(term, t)
                    titles[t.language] = t.line("ui.comma").join(
                        [Markup("<strong>{}</strong>").format(name), self._values.dims(latent, t)]
                    )
                    blanks = {"term": name, "latent": str(latent)}
                    alts[t.language] = t.line("pictures.training.alt", blanks)
                chart = svg_charts.curves(known, names, alts)
                views.append(View(titles, svg_charts.CURVES_WIDTH, chart))
        return views

    def _in_first(self, key: str, blanks: Mapping[str, str | None] | None = None) -> dict[str, str]:
        """A text in all languages, the one that the page opens in first."""
        return {t.language: t.line(key, blanks) for t in self._values.ordered}
