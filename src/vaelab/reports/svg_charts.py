"""Charts as inline SVG: colours follow the theme of the page, words its language.

They are no wider than a phone's page, so that their text stays readable there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from markupsafe import Markup, escape
from torch import Tensor

from vaelab.metrics.estimate import Estimate
from vaelab.reports.translations import TAGS

Words = Mapping[str, str]
"""A text by language, the language that the page opens in first."""

WIDTH, HEIGHT = 440, 210
LEFT, TOP, BOTTOM = 44, 20, 42
FLOOR = HEIGHT - BOTTOM
MOST, NAMED, BINS, WIDEST = 64, 16, 40, 36
ENOUGH = 3
"""Powers of ten that suffice to label a logarithmic axis."""

CURVES_WIDTH, CURVES_HEIGHT, ENDS, LINE = 380, 230, 84, 15
"""Size of a panel of curves, the room for their names at the right, and the height of a name."""
WIDE_SPAN = 30.0
SMALLEST = 0.01  # nats; smaller values are drawn here on a logarithmic axis

CODE_WIDTH, ROW = 190, 9


class Chart:
    """A plot area with linear axes, filled mark by mark.

    Args:
        size: width and height in pixels.
        margins: left, top, right and bottom of the plot area, in pixels.
        x: data range of the horizontal axis.
        y: data range of the vertical axis, which points up.
    """

    def __init__(
        self,
        size: tuple[int, int],
        margins: tuple[int, int, int, int],
        x: tuple[float, float],
        y: tuple[float, float],
    ) -> None:
        (self.width, self.height), (self.left, top, right, bottom) = size, margins
        self.right, self.top, self.bottom = self.width - right, top, self.height - bottom
        self._x, self._y = x, y
        self._marks: list[Markup] = []

    def x(self, value: float) -> float:
        """Pixels from the left edge."""
        low, high = self._x
        across = (value - low) / (high - low or 1.0)
        return round(self.left + across * (self.right - self.left), 1)

    def y(self, value: float) -> float:
        """Pixels from the top edge."""
        low, high = self._y
        up = (value - low) / (high - low or 1.0)
        return round(self.bottom - up * (self.bottom - self.top), 1)

    def add(self, tag: str, text: str = "", **attributes: object) -> None:
        """Add an element; `class_` and `text_anchor` become class and text-anchor."""
        names = [name.rstrip("_").replace("_", "-") for name in attributes]
        pairs = zip(names, attributes.values(), strict=True)
        inner = Markup(" ").join(Markup('{}="{}"').format(*pair) for pair in pairs)
        self._marks.append(Markup("<{0} {1}>{2}</{0}>").format(tag, inner, text))

    def line(self, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
        """Add a line from one point to another, of a class of the style sheet."""
        self.add("line", class_=kind, x1=x1, x2=x2, y1=y1, y2=y2)

    def rect(self, kind: str, x: float, y: float, width: float, title: str = "") -> None:
        """Add a rectangle from y to the bottom of the plot area."""
        inner = Markup("<title>{}</title>").format(title) if title else ""
        height = round(self.bottom - y, 1)
        self.add(
            "rect", inner, class_=kind, x=round(x, 1), y=y, width=round(width, 1), height=height
        )

    def label(self, x: float, y: float, text: str | Words, anchor: str = "middle") -> None:
        """Add a text, or one for each language."""
        if isinstance(text, str):
            self.add("text", text, x=x, y=y, text_anchor=anchor)
        else:
            for language, words in text.items():
                self.add("text", words, lang=TAGS[language], x=x, y=y, text_anchor=anchor)

    def grid(self, ticks: Mapping[float, str]) -> None:
        """Add horizontal rules, each with its label at the left."""
        for value, text in ticks.items():
            y = self.y(value)
            self.line("rule", self.left, y, self.right, y)
            self.label(self.left - 6, y + 4, text, "end")

    def axes(self, across: Words, up: Words) -> None:
        """Add the names of the axes."""
        self.label(0, self.top - 9, up, "start")
        self.label((self.left + self.right) / 2, self.height - 6, across)

    def svg(self, alt: Words) -> Markup:
        """The chart as an element.

        Args:
            alt: description for readers who do not see it.
        """
        plain = {language: escape(text).striptags() for language, text in alt.items()}
        others = [Markup('data-alt-{}="{}"').format(*pair) for pair in sorted(plain.items())]
        return Markup(
            '<svg viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" '
            'aria-label="{2}" {3}>{4}</svg>'
        ).format(
            self.width,
            self.height,
            next(iter(plain.values())),
            Markup(" ").join(others),
            Markup().join(self._marks),
        )


def bars(
    rates: Sequence[Estimate], active: Sequence[bool], across: Words, up: Words, alt: Words
) -> Markup:
    """Rates by dimension as bars, in descending order, at most 64 of them.

    Args:
        rates: in nats, one a dimension; a whisker reaches two standard errors to either side.
        active: units whose posterior mean depends on x; the others are grey.
        across: name of the horizontal axis.
        up: name of the vertical axis.
        alt: description.
    """
    order = sorted(range(len(rates)), key=lambda j: -rates[j].value)[:MOST]
    top = max(max(rates[j].value + 2 * rates[j].se for j in order), 1e-9)
    step = min((WIDTH - LEFT) / len(order), WIDEST)
    chart = Chart((WIDTH, HEIGHT), (LEFT, TOP, 0, BOTTOM), (0, (WIDTH - LEFT) / step), (0, top))
    chart.grid({tick: f"{tick:g}" for tick in ticks(0.0, top)})
    for place, j in enumerate(order):
        rate, middle = rates[j], chart.x(place + 0.4)
        low, y, high = (chart.y(max(rate.value + k * rate.se, 0.0)) for k in (-2, 0, 2))
        kind = "fill" if active[j] else "dim"
        chart.rect(kind, chart.x(place), y, 0.8 * step, f"z{j}: {rate} nats")
        chart.line("whisker", middle, low, middle, high)
        if len(order) <= NAMED:
            chart.label(middle, FLOOR + 16, f"z{j}")
    chart.axes(across, up)
    return chart.svg(alt)


def histogram(values: Tensor, across: Words, up: Words, alt: Words, log: bool = False) -> Markup:
    """A histogram of the finite values among (N,).

    Args:
        values: any numbers.
        across: name of the horizontal axis.
        up: name of the vertical axis.
        alt: description.
        log: bins equal in the logarithm.
    """
    v = values[values.isfinite()].double()
    v = v.log10() if log else v
    low, high = float(v.min()), float(v.max())
    high = high if high > low else low + 1.0
    counts = torch.histc(v, BINS, low, high)
    most = float(counts.max())
    chart = Chart((WIDTH, HEIGHT), (LEFT, TOP, 0, BOTTOM), (low, high), (0, most))
    chart.grid({n: f"{n:,.0f}" for n in ticks(0.0, most) if n == round(n)})
    step = (WIDTH - LEFT) / BINS
    for place, count in enumerate(counts.tolist()):
        chart.rect("fill", LEFT + place * step, chart.y(count), 0.92 * step)
    found = powers(low, high) if log else {t: f"{t:,g}" for t in ticks(low, high)}
    for value, text in found.items():
        x = chart.x(value)
        chart.line("rule", x, FLOOR, x, FLOOR + 4)
        chart.label(min(x, WIDTH - 12), FLOOR + 16, text.replace("-", "−"))
    chart.axes(across, up)
    return chart.svg(alt)


def curves(
    lines: Mapping[str, Sequence[float | None]], names: Mapping[str, Words], alt: Words
) -> Markup:
    """One line a model over the epochs, each named at its end.

    The vertical axis is logarithmic if the values span more than a factor of 30.

    Args:
        lines: a value for each epoch by model id, None if there is none.
        names: names of the models.
        alt: description.
    """
    values = [v for line in lines.values() for v in line if v is not None]
    epochs = max(len(line) for line in lines.values())
    low, high = min(values), max(values)
    log = high > WIDE_SPAN * max(low, SMALLEST)
    marks = _decades(max(low, SMALLEST), high) if log else _enclosing(low, high)
    low, high = min(low, marks[0]), max(high, marks[-1])

    def scaled(value: float) -> float:
        return math.log(max(value, SMALLEST)) if log else value

    chart = Chart(
        (CURVES_WIDTH, CURVES_HEIGHT),
        (LEFT, 10, ENDS, 26),
        (1, max(epochs, 2)),
        (scaled(low), scaled(high)),
    )
    chart.grid({scaled(t): f"{t:.3g}".replace("-", "−") for t in marks})
    for epoch in (1, epochs):
        chart.label(chart.x(epoch), CURVES_HEIGHT - 8, str(epoch))
    ends = {}
    for model, line in lines.items():
        points = [(chart.x(i), chart.y(scaled(v))) for i, v in enumerate(line, 1) if v is not None]
        if points:
            path = " ".join(f"{x},{y}" for x, y in points)
            chart.add("polyline", class_=f"curve {model}", points=path)
            ends[model] = points[-1][1]
    for model, y in _apart(ends, chart.top, chart.bottom).items():
        x = chart.right + 6
        chart.line(f"curve {model}", x, y, x + 16, y)
        for language, name in names[model].items():
            chart.add("text", name, class_="name", lang=TAGS[language], x=x + 20, y=y + 4)
    return chart.svg(alt)


def code(mean: Sequence[float], std: Sequence[float], alt: Words) -> Markup:
    """A posterior: a row a dimension with a dot at μ and a bar of ±σ, over the band of N(0, 1).

    Args:
        mean: μ of each dimension.
        std: σ of each dimension.
        alt: description.
    """
    reach = 1.05 * max(2.5, *(abs(m) + s for m, s in zip(mean, std, strict=True)))
    bottom = ROW * len(mean)
    chart = Chart((CODE_WIDTH, bottom + 20), (26, 0, 0, 20), (-reach, reach), (len(mean), 0))
    left, right = chart.x(-1), chart.x(1)
    chart.rect("band", left, 0, right - left)
    chart.line("zero", chart.x(0), 0, chart.x(0), bottom)
    for j, (m, s) in enumerate(zip(mean, std, strict=True)):
        y = chart.y(j + 0.5)
        if j % 5 == 0 or len(mean) < 5:
            chart.label(chart.left - 5, y + 4, f"z{j}", "end")
        chart.line("bar", chart.x(m - s), y, chart.x(m + s), y)
        chart.add("circle", class_="dot", cx=chart.x(m), cy=y, r=2.1)
    for value, text in ((-2, "−2"), (0, "0"), (2, "2")):
        chart.label(chart.x(value), chart.height - 4, text)
    return chart.svg(alt)


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
    """Labels of a logarithmic axis between two powers of ten, by their exponents.

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


def _enclosing(low: float, high: float) -> list[float]:
    """Ticks of an axis that begins at or below `low`."""
    span = high - low or max(abs(high), 1.0)
    step = ticks(low, low + span)
    width = step[1] - step[0]
    return [i * width for i in range(math.floor(low / width), math.floor(high / width) + 1)]


def _decades(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.floor(math.log10(high))
    return [10.0**i for i in range(first, last + 1)]


def _apart(ends: Mapping[str, float], top: float, bottom: float) -> dict[str, float]:
    """Heights of the names, in the order of the lines' ends and at least a line of text apart."""
    places: dict[str, float] = {}
    last = top - LINE / 2
    for model in sorted(ends, key=lambda model: ends[model]):
        last = places[model] = max(ends[model], last + LINE)
    for model in reversed(places):
        bottom = places[model] = round(min(places[model], bottom), 1)
        bottom -= LINE
    return places
