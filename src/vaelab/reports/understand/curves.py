"""Training curves as inline SVG, so that their words change with the language of the page.

A panel shows one term of the loss at one latent size over the epochs, a line a model. Lines differ
in colour and in dashes, and each is named at its end. A term that spans more than a factor of 30,
as a rate left to itself does, is shown on a logarithmic axis.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from vaelab.reports.understand.formatting import short
from vaelab.reports.understand.translations import Words

WIDTH, HEIGHT = 380, 230
LEFT, RIGHT, TOP, BOTTOM = 44, 84, 10, 26
LINE = 15
WIDE_SPAN = 30.0
FLOOR = 0.01  # nats; less is drawn here on a logarithmic axis


def curves(
    lines: Mapping[str, Sequence[float | None]], words: Sequence[Words], alts: Mapping[str, str]
) -> str:
    """One panel.

    Args:
        lines: a value for each epoch by model id; None where there is none.
        words: of both languages, the one the page opens with first.
        alts: what it shows, by language.
    """
    values = [v for line in lines.values() for v in line if v is not None]
    epochs = max(len(line) for line in lines.values())
    low, high = min(values), max(values)
    log = high > WIDE_SPAN * max(low, FLOOR)
    ticks = _decades(max(low, FLOOR), high) if log else _ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])

    def y(value: float) -> float:
        a, b, v = (math.log(max(t, FLOOR)) if log else t for t in (low, high, value))
        return round(HEIGHT - BOTTOM - (v - a) / (b - a or 1.0) * (HEIGHT - TOP - BOTTOM), 1)

    def x(epoch: int) -> float:
        return round(LEFT + (epoch - 1) / max(1, epochs - 1) * (WIDTH - LEFT - RIGHT), 1)

    parts = [
        f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(t)}" y2="{y(t)}"/>'
        f'<text x="{LEFT - 6}" y="{y(t) + 4}" text-anchor="end">{short(t)}</text>'
        for t in ticks
    ]
    parts += [
        f'<text x="{x(t)}" y="{HEIGHT - 8}" text-anchor="middle">{t}</text>' for t in (1, epochs)
    ]
    ends = {}
    for model, line in lines.items():
        points = [f"{x(i)},{y(v)}" for i, v in enumerate(line, 1) if v is not None]
        if points:
            parts.append(f'<polyline class="curve {model}" points="{" ".join(points)}"/>')
            ends[model] = y(next(v for v in reversed(line) if v is not None))
    for model, place in _apart(ends).items():
        at = WIDTH - RIGHT + 6
        parts.append(
            f'<line class="curve {model}" x1="{at}" x2="{at + 16}" y1="{place}" y2="{place}"/>'
        )
        parts += [
            f'<text class="name" lang="{w.tag}" x="{at + 20}" y="{place + 4}">'
            f"{w.line(f'short.{model}')}</text>"
            for w in words
        ]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{alts[words[0].language]}" data-alt-en="{alts["en"]}" '
        f'data-alt-zh="{alts["zh"]}">{"".join(parts)}</svg>'
    )


def _ticks(low: float, high: float) -> list[float]:
    """Three to six round values from below `low` to `high` or a step beneath it."""
    span = high - low or max(abs(high), 1.0)
    power = 10 ** math.floor(math.log10(span))
    step = next(f * power for f in (0.2, 0.5, 1, 2, 5) if span / (f * power) <= 5)
    first = math.floor(low / step)
    return [i * step for i in range(first, math.floor(high / step) + 1)]


def _decades(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    return [10.0**i for i in range(first, last + 1)]


def _apart(ends: Mapping[str, float]) -> dict[str, float]:
    """Heights of the names, in the order of the lines' ends and a line of text apart."""
    order = sorted(ends, key=lambda model: ends[model])
    places: dict[str, float] = {}
    last = float(TOP) - LINE / 2
    for model in order:
        last = places[model] = max(ends[model], last + LINE)
    ceiling = float(HEIGHT - BOTTOM)
    for model in reversed(order):
        ceiling = places[model] = min(places[model], ceiling)
        ceiling -= LINE
    return {model: round(place, 1) for model, place in places.items()}
