"""Notation of numbers: two decimals of a nat, one of a per cent, ± one standard error.

Any other number has as many places as its standard error gives it: the error's
first digit, or its first two if it begins with 1; but no more than four significant digits.

A share whose error leads out of 0–100% has, in place of it, the part of the interval that is
inside; one that could be any, as two errors lead out at either end, is written as that: 0–100.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from vaelab import metrics as m

Estimate = Mapping[str, Any]
"""value, se, n; or value None and why."""

UNITS = {"en": {"nats": " nats", "share": "%"}, "zh": {"nats": " nat", "share": "%"}}
DIGITS, MOST_PLACES = 4, 5  # of a figure at most


def value_and_error(estimate: Estimate, unit: str) -> tuple[str, str]:
    """The figure and what follows it, without unit: its error, "" if that rounds to 0.

    >>> value_and_error({"value": 0.1313, "se": 0.0034, "n": 10000}, "share")
    ('13.1', '± 0.3')
    >>> value_and_error({"value": 0.9806, "se": 0.0285, "n": 360}, "share")
    ('98.1', '(95.2–100.0)')
    >>> value_and_error({"value": 1.0, "se": 0.5, "n": 360}, "share")
    ('0–100', '')
    >>> value_and_error({"value": 104.216, "se": 0.31, "n": 10000}, "nats")
    ('104.22', '± 0.31')
    >>> value_and_error({"value": -0.00021, "se": 0.00013, "n": 5000}, "none")
    ('−0.00021', '± 0.00013')
    >>> value_and_error({"value": 0.999983, "se": 0.000002, "n": 360}, "none")
    ('1.000', '')
    >>> value_and_error({"value": 6e-07, "se": 1e-08, "n": 360}, "nats")
    ('< 0.01', '')
    """
    scale = 100.0 if unit == "share" else 1.0
    value, se = scale * float(estimate["value"]), scale * float(estimate.get("se") or 0.0)
    if unit == "nats" and 0 < abs(value) < 0.005:
        return ("< 0.01" if value > 0 else "0.00"), ""
    places = {"nats": 2, "share": 1}.get(unit, _places(value, se))
    text, error = _text(value, places), _text(se, places)
    if not float(error):
        return text, ""
    if unit == "share" and not se <= value <= scale - se:
        if m.Estimate(value / scale, se / scale, 1).is_any_share:
            return "0–100", ""
        low, high = max(value - se, 0.0), min(value + se, scale)
        return text, f"({_text(low, places)}–{_text(high, places)})"
    return text, f"± {error}"


def written(estimate: Estimate, unit: str, language: str) -> str:
    """The figure in a sentence: value ± error unit, with spaces that do not break.

    >>> written({"value": 0.98, "se": 0.03, "n": 9}, "share", "en").replace(chr(160), " ")
    '98.0% (95.0–100.0)'

    >>> written({"value": 0.5, "se": 0.0, "n": 1}, "nats", "en").replace(chr(160), " ")
    '0.50 nats'
    """
    value, se = value_and_error(estimate, unit)
    after = UNITS[language].get(unit, "")
    text = f"{value} {se}{after}" if se.startswith("±") else f"{value}{after} {se}".rstrip()
    return text.replace(" ", "\u00a0")


def count(n: float) -> str:
    """A whole number with commas between thousands, as everywhere.

    >>> count(1437), count(60000)
    ('1,437', '60,000')
    """
    return f"{round(n):,}"


def short(value: float) -> str:
    """Three significant digits, without an exponent if it can be helped.

    >>> short(0.30412), short(12.0), short(1)
    ('0.304', '12', '1')
    """
    return f"{value:.3g}".replace("-", "−")


def exact(value: float) -> str:
    """Five significant digits, for who wants more than the sentence shows."""
    return f"{value:.5g}".replace("-", "−")


def _places(value: float, se: float) -> int:
    rounded = abs(float(f"{value:.{DIGITS - 1}e}"))  # 0.99998 is about to become 1.000
    size = math.floor(math.log10(rounded)) if rounded else 0
    most = min(max(0, DIGITS - 1 - size), MOST_PLACES)
    if se <= 0:
        return 0 if value == int(value) else min(2, most)
    exponent = math.floor(math.log10(se))
    leading = se / 10**exponent
    return min(max(0, -exponent + (1 if leading < 2 else 0)), most)


def _text(value: float, places: int) -> str:
    text = f"{value:.{places}f}"
    return text.replace("-", "−") if float(text) else f"{0:.{places}f}"
