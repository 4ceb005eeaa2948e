"""Numbers as they are written: plain, grouped, with a currency or per cent."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from vaelab.data.tabular.cells import Array, Cell

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MONEY = r"(?:[$€£¥₹]|USD|EUR|GBP|CHF|JPY|CNY|INR|kr|zł)"
_MARKED = re.compile(
    rf"(?P<minus>[+-]?)\s*(?P<before>{_MONEY})?\s*(?P<minus2>[+-]?)"
    r"(?P<digits>\d[\d.,'\u2019\u00a0\u202f ]*|[.,]\d+)\s*"
    r"(?P<after>[^\d\s.,'()+\-_:;#*\"][^\d\s]{0,9})?"
)
"""A number as people write it: grouped digits, a currency before, a unit or per cent behind."""
_MINUS, _IN_BRACKETS = "\u2212", "()"


_SHAPE = str.maketrans("12345678", "9" * 8)


class Marks(NamedTuple):
    """Characters around and inside the numbers of a column.

    Attributes:
        before: a currency in front, as "$".
        thousands: between groups of three digits, as ",".
        decimal: "." or ",".
        after: a unit behind, as "%", " €" or " kg".
        negative: the sign of a number below 0: "-", "−", or "()" for brackets around it.
    """

    before: str = ""
    thousands: str = ""
    decimal: str = "."
    after: str = ""
    negative: str = "-"


PLAIN = Marks()


def number(text: str, decimal: str = ".") -> float | None:
    """The number that a text is, or None.

    >>> number("1e3"), number("1,5", decimal=","), number("12a")
    (1000.0, 1.5, None)
    """
    if decimal == ",":
        text = text.replace(",", ".")
    return float(text) if _NUMBER.fullmatch(text) else None


def plain_numbers(cells: Sequence[Cell], decimal: str) -> Array:
    """(N,) float64, nan for cells that are no plain number."""
    texts: Iterable[Any] = cells
    if decimal == ",":
        texts = [None if cell is None else cell.replace(",", ".") for cell in cells]
    try:
        values = np.fromiter(map(float, texts), np.float64, len(cells))
    except (TypeError, ValueError):
        values = np.fromiter(map(_float, texts), np.float64, len(cells))
    odd = ~np.isfinite(values)
    for i in np.flatnonzero(odd).tolist():  # of which "nan" and "inf" are no numbers
        cell = cells[i]
        found = None if cell is None else number(cell, decimal)
        values[i] = math.nan if found is None else found
    # float() also takes 1_000, which no file means as a number.
    for i, cell in enumerate(cells):
        if cell is not None and "_" in cell:
            values[i] = math.nan
    return values


def _float(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def find_marks(texts: set[str], decimal: str) -> Marks | str | None:
    """The marks that make every text a number; None if there are none; a doubt, in words."""
    parts, signs = [], set()
    for text in shapes(texts):
        sign, plain = _signed(text)
        match = _MARKED.fullmatch(plain)
        if match is None or re.match(r"0\d", match["digits"]):
            return None
        parts.append(match)
        signs.add(sign or ("-" if match["minus"] == "-" or match["minus2"] == "-" else ""))
    negative = signs - {""}
    if len(negative) > 1 or signs == {_IN_BRACKETS}:  # brackets around all are no minus
        return None
    before = {m["before"] or "" for m in parts}
    after = {m["after"] or "" for m in parts}
    if len(before) > 1 or len(after) > 1 or (before != {""} and after != {""}):
        return None
    prefix, suffix = before.pop(), after.pop()
    digits = {m["digits"].strip() for m in parts}
    used = {c for d in digits for c in d if not c.isdigit()}
    fits = []
    for point in [decimal] if decimal else [".", ","]:
        if len(marks := used - {point}) <= 1 and all(
            _grouped(d, "".join(marks), point) for d in digits
        ):
            fits.append(("".join(marks), point))
    if not fits:
        return None
    if len(fits) > 1 and used:  # all marks are as in 1,234
        money = bool(prefix or suffix.strip("%"))  # no currency has three decimals
        if not money and all(any(c in d for c in used) for d in digits):
            return f"numbers such as {min(texts)} which may have a mark of thousands or of decimals"
        fits.sort(key=lambda fit: fit[0] == "")
    space = " " if suffix and any(m[0].removesuffix(suffix).endswith(" ") for m in parts) else ""
    return Marks(prefix, *fits[0], space + suffix, next(iter(negative), "-"))


def _signed(text: str) -> tuple[str, str]:
    """The sign of a number that is written otherwise than by a hyphen, and the text with one.

    >>> _signed("(1,200)"), _signed("$(5)"), _signed("7")
    (('()', '-1,200'), ('()', '-$5'), ('', '7'))
    """
    if _MINUS in text:
        return _MINUS, text.replace(_MINUS, "-")
    opened = text.find("(")
    if opened >= 0 and text.endswith(")") and text.count("(") == text.count(")") == 1:
        return _IN_BRACKETS, "-" + text[:opened] + text[opened + 1 : -1]
    return "", text


def _grouped(digits: str, group: str, point: str) -> bool:
    """True if the digits are in groups of three and have at most one point."""
    whole, mark, fraction = digits.partition(point)
    if mark and not fraction.isdigit():
        return False
    if not group or group not in whole:
        return (whole.isdigit() or not whole) and not (group and len(whole) > 3)
    head, *groups = whole.split(group)
    return (
        len(head) <= 3
        and head.isdigit()
        and head[0] != "0"
        and all(len(part) == 3 and part.isdigit() for part in groups)
    )


def marked_numbers(texts: Sequence[str], marks: Marks) -> Array:
    """The numbers (N,) of texts with marks; nan for a text that is none."""
    plain: Sequence[Cell] = [_signed(text)[1] for text in texts]
    for mark in (marks.before, marks.after.strip(), marks.thousands, " "):
        if mark:
            plain = [text.replace(mark, "") for text in plain if text is not None]
    return plain_numbers(plain, marks.decimal)


def shapes(texts: Iterable[str]) -> set[str]:
    """The forms of numbers, with 9 for every digit but 0.

    >>> sorted(shapes(["1,250", "7,310", "12"]))
    ['9,990', '99']
    """
    return {text.translate(_SHAPE) for text in texts}
