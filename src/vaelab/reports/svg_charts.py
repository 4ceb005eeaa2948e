"""Two small charts as inline SVG, so that they follow the theme of the page.

They are no wider than a telephone's page needs them, so that their text stays readable there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vaelab.metrics.estimate import Estimate

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 440, 210, 44, 42, 20
MOST, NAMED, BINS, WIDEST = 64, 16, 40, 36
FLOOR = HEIGHT - BOTTOM
ENOUGH = 3
"""Powers of ten that label a logarithmic axis well enough alone."""


def bars(rates: Sequence[Estimate], active: Sequence[bool]) -> str:
    """Rates by dimension, most first, at most 64 of them; what does not move with x is grey."""
    order = sorted(range(len(rates)), key=lambda j: -rates[j].value)[:MOST]
    top = max(max(rates[j].value + 2 * rates[j].se for j in order), 1e-9)
    step = min((WIDTH - LEFT) / len(order), WIDEST)

    def y(value: float) -> float:
        return _y(max(value, 0.0) / top)

    parts = [_axis(y(tick), f"{tick:g}") for tick in ticks(0.0, top)]
    for place, j in enumerate(order):
        x, middle = LEFT + place * step, LEFT + (place + 0.4) * step
        kind = "fill" if active[j] else "dim"
        height = round(FLOOR - y(rates[j].value), 1)
        parts.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{y(rates[j].value)}" width="{0.8 * step:.1f}" '
            f'height="{height}"><title>z{j}: {rates[j]} nats</title></rect>'
        )
        low, high = rates[j].value - 2 * rates[j].se, rates[j].value + 2 * rates[j].se
        at = round(middle, 1)
        parts.append(f'<line class="whisker" x1="{at}" x2="{at}" y1="{y(low)}" y2="{y(high)}"/>')
        if len(order) <= NAMED:
            parts.append(_label(at, f"z{j}"))
    parts += _names("nats", "latent dimension")
    return _svg(parts, f"Rate of {len(order)} latent dimensions in nats")


def histogram(values: Tensor, what: str, log: bool = False) -> str:
    """How often values (N,) occur, of `what`; with `log` on a logarithmic axis."""
    v = values[values.isfinite()].double()
    v = v.log10() if log else v
    low, high = float(v.min()), float(v.max())
    high = high if high > low else low + 1.0
    counts = torch.histc(v, BINS, low, high)
    step, most = (WIDTH - LEFT) / BINS, float(counts.max())
    parts = [_axis(_y(n / most), f"{n:,.0f}") for n in ticks(0.0, most) if n == round(n)]
    for place, count in enumerate(counts.tolist()):
        top = _y(count / most)
        parts.append(
            f'<rect class="fill" x="{LEFT + place * step:.1f}" y="{top}" '
            f'width="{0.92 * step:.1f}" height="{round(FLOOR - top, 1)}"/>'
        )
    found = powers(low, high) if log else {t: f"{t:,g}" for t in ticks(low, high)}
    for value, text in found.items():
        x = LEFT + (value - low) / (high - low) * (WIDTH - LEFT)
        parts.append(
            f'<line class="rule" x1="{x:.1f}" x2="{x:.1f}" y1="{FLOOR}" y2="{FLOOR + 4}"/>'
        )
        parts.append(_label(min(x, WIDTH - 12), text.replace("-", "−")))
    parts += _names("examples", f"{what}, logarithmic axis" if log else what)
    return _svg(parts, f"Histogram of {len(v)} values: {what}")


def ticks(low: float, high: float) -> list[float]:
    """Round values between two ends: two to seven of them, multiples of 1, 2 or 5.

    >>> ticks(0.0, 0.855), ticks(17.3, 31.0)
    ([0.0, 0.2, 0.4, 0.6, 0.8], [20.0, 25.0, 30.0])
    """
    size = 10.0 ** math.floor(math.log10(high - low))
    step = next(s for s in (size / 5, size / 2, size, 2 * size) if (high - low) / s < 6.5)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def powers(low: float, high: float) -> dict[float, str]:
    """Round values between two powers of ten, by their logarithms.

    >>> powers(0.0, 3.0)
    {0.0: '1', 1.0: '10', 2.0: '100', 3.0: '1,000'}
    >>> list(powers(2.2, 2.9).values())
    ['200', '500']
    """
    within = range(math.floor(low), math.ceil(high) + 1)
    tens = {float(e): f"{10.0**e:,g}" for e in within if low <= e <= high}
    if len(tens) >= ENOUGH:
        return tens
    steps = {math.log10(k) + e: f"{k * 10.0**e:,g}" for e in within for k in (1, 2, 5)}
    return {value: text for value, text in steps.items() if low <= value <= high}


def _y(share: float) -> float:
    return round(FLOOR - share * (FLOOR - TOP), 1)


def _axis(y: float, text: str) -> str:
    return (
        f'<line class="rule" x1="{LEFT}" x2="{WIDTH}" y1="{y}" y2="{y}"/>'
        f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{text}</text>'
    )


def _label(x: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{FLOOR + 16}" text-anchor="middle">{text}</text>'


def _names(up: str, across: str) -> list[str]:
    """What is counted upwards, and across."""
    return [
        f'<text x="0" y="{TOP - 9}">{up}</text>',
        f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{across}</text>',
    ]


def _svg(parts: Sequence[str], alt: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'aria-label="{alt}">{"".join(parts)}</svg>'
    )
