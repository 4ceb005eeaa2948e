"""An evaluation as one page that can be sent: self-contained, light and dark, without scripts' aid.

Its look is that of the page of `vaelab understand`; its words are the definitions of the figures.
"""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vaelab.data import DataSpec
from vaelab.evaluation.definitions import DEFINITIONS, GROUPS
from vaelab.evaluation.evaluate import Evaluation
from vaelab.evaluation.record import Record
from vaelab.plots import png, rows
from vaelab.plots.renderers import MOST_PANELS, find_renderer
from vaelab.plots.scaling import color_limits, to_display
from vaelab.reports import svg_charts
from vaelab.reports.evaluation_table import UNITS, meaning_of, remarks, subtitle, written
from vaelab.runs.run import Run

HERE = Path(__file__).parent
SHARED = HERE / "understand" / "page.css"
FACTS = {
    "data": "data",
    "split": "split",
    "n": "examples",
    "binarize": "binarization",
    "likelihood": "likelihood",
    "samples": "draws K",
    "train": "training rows compared with",
    "features": "features",
    "sample_count": "samples",
    "output": "samples are",
    "seed": "seed",
    "device": "device",
    "vaelab": "vaelab",
    "torch": "torch",
    "digest": "SHA-256 of x",
}


def document(name: str, record: Record, judged: Evaluation, run: Run) -> str:
    """The page of an evaluation, as HTML."""
    css = SHARED.read_text(encoding="utf-8") + (HERE / "evaluation.css").read_text(encoding="utf-8")
    title = f"{escape(name)}, judged"
    body = "\n".join(
        [
            *(_note(text) for text in remarks(record)),
            *(_group(group, record) for group in GROUPS),
            _layers(judged),
            _spread(judged),
            _pictures(judged, run),
            _definitions(record),
            _facts(record),
        ]
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
{css}
</style>
</head>
<body>
<header>
<div class="switches"><span></span><button type="button" id="theme">◐ light or dark</button></div>
<h1>{title}</h1>
<p class="deck">{_deck(record)}</p>
</header>
<main>
{body}
</main>
<script>
{(HERE / "evaluation.js").read_text(encoding="utf-8")}
</script>
</body>
</html>
"""


def _deck(record: Record) -> str:
    once = f", binarized once by seed {record['seed']}" if record["binarize"] == "dynamic" else ""
    prior = "" if record["prior"] is None else f" with the prior {escape(record['prior'])}"
    return (
        f"{escape(record['recipe'])}{prior}, {escape(record['likelihood'])} likelihood, on "
        f"{record['n']:,} {record['split']} examples of {escape(record['data'])}{once}. "
        "Every figure is given with one standard error."
    )


def _note(text: str) -> str:
    return f'<section><p class="note">{escape(text)}</p></section>'


def _group(group: str, record: Record) -> str:
    names = [name for name in record["figures"] if DEFINITIONS[name].group == group]
    if not names:
        return ""
    lines = []
    for name in names:
        about = DEFINITIONS[name]
        value, _, error = written(name, record).partition(" ± ")
        after = f"<small>± {error}</small>" if error else ""
        unit = f'<span class="unit">{UNITS[about.unit]}</span>' if UNITS[about.unit] else ""
        lines.append(
            f'<tr><th scope="row"><a class="num" href="#about-{name}">{escape(about.title)}</a>'
            f"{unit}</th><td>{value}{after}</td><td>{escape(meaning_of(about, record))}</td></tr>"
        )
    under = subtitle(group, record).removeprefix(" · ")
    said = f"<p>{escape(under[0].upper() + under[1:])}.</p>" if under else ""
    return (
        f'<section id="{group}"><h2>{GROUPS[group]}</h2>{said}<table class="figures"><tbody>'
        f"{''.join(lines)}</tbody></table></section>"
    )


def _layers(judged: Evaluation) -> str:
    if judged.layers is None:
        return ""
    parts = []
    for number, layer in enumerate(judged.layers, 1):
        several = len(judged.layers) > 1
        head = f"Layer {number}: {layer.rate} nats" if several else f"{layer.rate} nats"
        if layer.by_dimension is None:
            parts.append(f"<p>{head}; it has no closed form by dimension.</p>")
            continue
        active, idle = [True] * len(layer.by_dimension), ""
        if layer.active is not None:
            active, idle = layer.active.tolist(), " Grey dimensions do not move with x."
        parts.append(
            f"<figure>{svg_charts.bars(layer.by_dimension, active)}"
            f"<figcaption><p>{head}, by dimension, most first; a line reaches two standard "
            f"errors to either side.{idle}</p></figcaption></figure>"
        )
    return f'<section id="dimensions"><h2>Rate by dimension</h2>{"".join(parts)}</section>'


def _spread(judged: Evaluation) -> str:
    of_each = judged.found.of_each
    if "ess" not in of_each:
        return ""
    ess = svg_charts.histogram(of_each["ess"].clamp(min=1), "draws that carry weight", log=True)
    nll = svg_charts.histogram(of_each["nll"], "NLL in nats")
    return (
        '<section id="spread"><h2>Example by example</h2>'
        f"<figure>{nll}<figcaption><p>NLL of every example, in nats.</p></figcaption></figure>"
        f"<figure>{ess}<figcaption><p>How many of an example's draws carry weight. To the left of "
        "10, the bound is loose.</p></figcaption></figure></section>"
    )


def _pictures(judged: Evaluation, run: Run) -> str:
    if judged.pictures is None:
        return ""
    made, closest = (torch.as_tensor(x) for x in judged.pictures)
    picture = (_beside if find_renderer(run.data).legible else _above)(made, closest, run.data)
    return (
        '<section id="nearest"><h2>Samples and what they are nearest to</h2><figure>'
        f"{picture}<figcaption><p>Samples above; below each the training example nearest to it in "
        "the features.</p></figcaption></figure></section>"
    )


def _above(made: Tensor, closest: Tensor, spec: DataSpec) -> str:
    """A picture with samples (N, …) above what they are nearest to."""
    pair = [to_display(x, spec) for x in (made, closest)]
    pair = [np.clip(x, 0, 1) if spec.is_image else x.reshape(len(x), -1) for x in pair]
    data = base64.b64encode(png(rows(pair, span=color_limits(spec)))).decode()
    return (
        '<img class="pixels" alt="Samples above the nearest training examples" '
        f'src="data:image/png;base64,{data}">'
    )


def _beside(made: Tensor, closest: Tensor, spec: DataSpec) -> str:
    """Samples (N, D) as rows of a table, each above what it is nearest to; names that differ stand
    out."""
    header = spec.headings[:MOST_PANELS]
    head = "".join(f"<th scope=col>{escape(heading.name)}</th>" for heading in header)
    body = []
    for pair in zip(made.tolist(), closest.tolist(), strict=True):
        lines = [[h.written(v) for h, v in zip(header, row, strict=False)] for row in pair]
        other = [h.values and a != b for h, a, b in zip(header, *lines, strict=True)]
        for name, line in zip(("sample", "nearest"), lines, strict=True):
            cells = "".join(
                f"<td><strong>{escape(text)}</strong></td>" if apart else f"<td>{escape(text)}</td>"
                for text, apart in zip(line, other, strict=True)
            )
            body.append(f'<tr class="{name}"><th scope=row>{name}</th>{cells}</tr>')
    return (
        f'<div class="wide"><table class="pairs"><thead><tr><th></th>{head}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _definitions(record: Record) -> str:
    items = "".join(
        f'<dt id="about-{name}">{escape(DEFINITIONS[name].title)}</dt>'
        f"<dd>{escape(DEFINITIONS[name].definition)} "
        f"n&nbsp;=&nbsp;{record['figures'][name]['n']:,}.</dd>"
        for name in record["figures"]
    )
    return f'<section class="notes" id="definitions"><h2>Definitions</h2><dl>{items}</dl></section>'


def _facts(record: Record) -> str:
    items = "".join(
        f"<dt>{title}</dt><dd>{escape(str(record[key]))}</dd>"
        for key, title in FACTS.items()
        if key in record
    )
    return (
        f'<section id="setup"><h2>How it was measured</h2><dl class="facts">{items}</dl></section>'
    )
