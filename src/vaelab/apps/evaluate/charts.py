"""Two small charts as inline SVG, so that they follow the theme of the page."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vaelab.metrics.estimate import Estimate

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 700, 200, 46, 24, 8
MOST, BINS, WIDEST = 64, 40, 36


def bars(rates: Sequence[Estimate], active: Sequence[bool]) -> str:
    """Rates by dimension, most first, at most 64 of them; what does not move with x is grey."""
    order = sorted(range(len(rates)), key=lambda j: -rates[j].value)[:MOST]
    top = max(max(rates[j].value for j in order), 1e-9) * 1.08
    step = min((WIDTH - LEFT) / len(order), WIDEST)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - min(max(value, 0.0), top) / top * (HEIGHT - BOTTOM - TOP), 1)

    parts = [_axis(y(tick), f"{tick:.3g}") for tick in (0.0, top / 2.16, top / 1.08)]
    for place, j in enumerate(order):
        x, middle = LEFT + place * step, LEFT + (place + 0.5) * step
        kind = "fill" if active[j] else "dim"
        height = round(HEIGHT - BOTTOM - y(rates[j].value), 1)
        parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{y(rates[j].value)}" width="{0.8 * step:.1f}" '
            f'height="{height}"><title>dimension {j}: {rates[j]} nats</title></rect>'
        )
        low, high = rates[j].value - 2 * rates[j].se, rates[j].value + 2 * rates[j].se
        at = round(middle - 0.1 * step, 1)
        parts.append(f'<line class="whisker" x1="{at}" x2="{at}" y1="{y(low)}" y2="{y(high)}"/>')
        if len(order) <= 32:
            parts.append(_label(at, str(j)))
    return _svg(parts, f"Rate of {len(order)} latent dimensions in nats")


def histogram(values: Tensor, power: bool = False) -> str:
    """How often values (N,) occur; with `power` they are exponents of ten."""
    v = values[values.isfinite()].double()
    low, high = float(v.min()), float(v.max())
    high = high if high > low else low + 1.0
    counts = torch.histc(v, BINS, low, high)
    step, top = (WIDTH - LEFT) / BINS, float(counts.max()) * 1.08
    parts = [_axis(HEIGHT - BOTTOM, "0")]
    for place, count in enumerate(counts.tolist()):
        tall = round(count / top * (HEIGHT - BOTTOM - TOP), 1)
        parts.append(
            f'<rect class="fill" x="{LEFT + place * step:.1f}" y="{HEIGHT - BOTTOM - tall:.1f}" '
            f'width="{0.92 * step:.1f}" height="{tall}"/>'
        )
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        value = low + share * (high - low)
        text = f"{10**value:.3g}" if power else f"{value:.4g}"
        parts.append(_label(LEFT + share * (WIDTH - LEFT - 30) + 10, text.replace("-", "−")))
    return _svg(parts, f"Histogram of {len(v)} values")


def _axis(y: float, text: str) -> str:
    return (
        f'<line class="rule" x1="{LEFT}" x2="{WIDTH}" y1="{y}" y2="{y}"/>'
        f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{text}</text>'
    )


def _label(x: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{text}</text>'


def _svg(parts: Sequence[str], alt: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{alt}">{"".join(parts)}</svg>'
    )
