"""The page of an evaluation: one file in two languages that can be sent."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from markupsafe import Markup, escape
from torch import Tensor

from vaelab.data import DataSpec
from vaelab.evaluation.definitions import DEFINITIONS, GROUPS
from vaelab.evaluation.evaluate import Evaluation
from vaelab.evaluation.record import Record
from vaelab.plots import png, rows
from vaelab.plots.renderers import MOST_PANELS, find_renderer
from vaelab.plots.scaling import color_limits, to_display
from vaelab.reports import svg_charts
from vaelab.reports.evaluation_table import meaning_of, remarks, written
from vaelab.reports.page import data_uri, render, tables
from vaelab.reports.translations import LANGUAGES, Texts, find
from vaelab.runs.run import Run
from vaelab.utils.messages import Message

InBoth = Callable[..., dict[str, Markup]]
"""A text in all languages from its key, the language that the page opens in first."""


def document(name: str, record: Record, evaluation: Evaluation, run: Run, lang: str = "en") -> str:
    """The page of an evaluation, as HTML.

    Args:
        name: name of the run.
        record: the content of evaluation.json.
        evaluation: the figures behind it, example by example.
        run: the run.
        lang: "en" or "zh": the language the page opens in; it holds both.
    """
    texts = {language: _texts(language, name, record) for language in LANGUAGES}
    ordered = sorted(texts.values(), key=lambda t: t.language != lang)

    def in_both(key: str, **blanks: str) -> dict[str, Markup]:
        return {t.language: t.line(key, blanks) for t in ordered}

    setup = tables("evaluation/en.toml")["setup"]
    return render(
        "evaluation.html",
        texts,
        lang,
        remarks=remarks(record),
        groups=_groups(record),
        layers=[_layer(i, layer, in_both) for i, layer in enumerate(evaluation.layers or [], 1)],
        spread=_spread(evaluation, in_both),
        nearest=_nearest(evaluation, run.spec),
        translated=translated,
        setup={name: record[name] for name in setup if name in record},
    )


def _texts(language: str, name: str, record: Record) -> Texts:
    tree = tables(f"evaluation/{language}.toml")
    if language == "en":
        figures = {
            name: {
                "title": escape(about.title),
                "meaning": escape(meaning_of(about, record)),
                "definition": escape(about.definition),
            }
            for name, about in DEFINITIONS.items()
        }
        tree = tree | {"groups": GROUPS, "figures": figures}
    met = {
        "prior": record["prior"] is not None,
        "binarized": record["binarize"] == "dynamic",
        "drawn": record.get("output", "").startswith("draws"),
        record["split"]: True,
    }
    features = str(record.get("features"))
    for known in tree.get("features", []):
        if match := re.fullmatch(known["pattern"], features):
            features = match.expand(known["text"])
    factors = ", ".join(record.get("disentanglement", {}).get("factors", ()))
    values = record | {"name": name, "features": features, "factors": factors}
    return Texts(
        language, tree, (key for key, holds in met.items() if holds), partial(find, values)
    )


def translated(message: str, t: Texts) -> str:
    """A note in the language of a translation, or in English if that does not have it."""
    if not isinstance(message, Message):
        return message
    return t.first(f"remarks.{message.key}", blanks=message.blanks) or message


def _groups(record: Record) -> dict[str, dict[str, dict[str, Any]]]:
    """The figures by group: value, error, unit and sample size, as they are written."""
    groups: dict[str, dict[str, dict[str, Any]]] = {group: {} for group in GROUPS}
    for name, figure in record["figures"].items():
        value, _, error = written(name, record).partition(" ± ")
        about = DEFINITIONS[name]
        n = f"{figure['n']:,}"
        groups[about.group][name] = {"value": value, "error": error, "unit": about.unit, "n": n}
    return {group: figures for group, figures in groups.items() if figures}


def _layer(number: int, layer: Any, in_both: InBoth) -> dict[str, Any]:
    """A layer's rate, and the chart of its dimensions if they have a closed form."""
    found = {"blanks": {"number": str(number), "rate": str(layer.rate)}, "chart": None}
    if layer.by_dimension is None:
        return found
    count = len(layer.by_dimension)
    active = [True] * count if layer.active is None else layer.active.tolist()
    chart = svg_charts.bars(
        layer.by_dimension,
        active,
        across=in_both("layers.across"),
        up=in_both("layers.up"),
        alt=in_both("layers.alt", count=str(min(count, svg_charts.MOST))),
    )
    return found | {"chart": chart, "inactive": layer.active is not None}


def _spread(evaluation: Evaluation, in_both: InBoth) -> dict[str, Markup]:
    """Histograms of NLL and of effective draws over the examples."""
    of_each = evaluation.found.of_each
    if "ess" not in of_each:
        return {}
    charts = {}
    for name, values in (("nll", of_each["nll"]), ("ess", of_each["ess"].clamp(min=1))):
        across = in_both(f"spread.{name}_across")
        count = str(int(values.isfinite().sum()))
        alt = {
            language: in_both("spread.alt", count=count, across=text)[language]
            for language, text in across.items()
        }
        up = in_both("spread.up")
        charts[name] = svg_charts.histogram(values, across, up, alt, log=name == "ess")
    return charts


def _nearest(evaluation: Evaluation, spec: DataSpec) -> dict[str, Any] | None:
    """Samples beside the training examples nearest to them: a picture, or a table's rows."""
    if evaluation.pictures is None:
        return None
    made, closest = (torch.as_tensor(x) for x in evaluation.pictures)
    if find_renderer(spec).legible:
        return _pairs_of_rows(made, closest, spec)
    pair = [to_display(x, spec) for x in (made, closest)]
    pair = [np.clip(x, 0, 1) if spec.is_image else x.reshape(len(x), -1) for x in pair]
    return {"picture": data_uri(png(rows(pair, span=color_limits(spec))))}


def _pairs_of_rows(made: Tensor, closest: Tensor, spec: DataSpec) -> dict[str, Any]:
    """Samples (N, D), each above its nearest row; categories that differ are marked."""
    header = spec.headings[:MOST_PANELS]
    body = []
    for pair in zip(made.tolist(), closest.tolist(), strict=True):
        lines = [[h.written(v) for h, v in zip(header, row, strict=False)] for row in pair]
        differs = [bool(h.values) and a != b for h, a, b in zip(header, *lines, strict=True)]
        for kind, line in zip(("sample", "nearest"), lines, strict=True):
            body.append((kind, list(zip(line, differs, strict=True))))
    return {"header": [heading.name for heading in header], "rows": body}
