"""Dates as they are written, and as days since the first of them."""

import datetime
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vaelab.data.tabular.cells import Array

_DAY = datetime.timedelta(days=1)
_DATES = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y")
_NAMED = (
    *("%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%B-%Y", "%d-%b-%y", "%d/%b/%Y", "%d. %B %Y"),
    *("%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%B %d %Y", "%Y-%b-%d", "%Y年%m月%d日"),
)
"""Dates with the name of the month, which need no order of day and month."""
COMPACT = "%Y%m%d"
EARLIEST, LATEST = 19000101, 21001231
"""Whole numbers between these, all of which are days of the calendar, are dates."""
_TIMES = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f")
_ZONES = ("", "Z", "+00:00")
_CLOCKS = ("", *(mark + time + zone for mark in " T" for time in _TIMES for zone in _ZONES))
_LIKE_DATE = re.compile(
    r"(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}"
    r"|\d{1,4}[-/. ]+[A-Za-z]{3,9}[-/. ]\d{1,4}|[A-Za-z]{3,9} \d{1,2},? \d{4}"
    r"|\d{4}年\d{1,2}月\d{1,2}日)([ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00)?)?"
)

_PARTS = re.compile("(%[YmdHMSf])")
_DIGITS = {"%Y": r"\d{4}", "%f": r"\d{1,6}"} | dict.fromkeys(
    ("%m", "%d", "%H", "%M", "%S"), r"\d\d"
)


class Dates(NamedTuple):
    """A column of dates as days since the first of them.

    Attributes:
        format: format string of `datetime.strftime`.
        origin: the first date, ISO 8601.
    """

    format: str
    origin: str

    def days(self, texts: Sequence[str]) -> Array:
        """Days since the origin, (N,); nan for a text that is no such date.

        >>> Dates("%d.%m.%Y", "2020-02-28T00:00:00").days(["01.03.2020", "31.02.2020"])
        array([ 2., nan])
        """
        moments = read_moments(texts, self.format)
        return (moments - np.datetime64(self.origin, "us")) / np.timedelta64(1, "D")

    def date(self, days: float) -> datetime.datetime:
        """The moment so many days after the origin; whole days if the format has no clock."""
        days = days if "%H" in self.format else round(days)
        seconds = 0 if "%f" in self.format else 1  # no finer than the format writes
        moment = datetime.datetime.fromisoformat(self.origin) + days * _DAY
        if seconds and moment.microsecond:
            moment += datetime.timedelta(microseconds=500_000)
            moment = moment.replace(microsecond=0)
        return moment


def read_moments(texts: Sequence[str], form: str) -> Array:
    """Moments (N,), datetime64[us], of texts of one format; NaT for a text of another."""
    if form.startswith("%Y-%m-%d") and not form.endswith(_ZONES[1:]):
        pattern = re.compile("".join(_DIGITS.get(part, part) for part in _PARTS.split(form)))
        if all(map(pattern.fullmatch, texts)):
            try:
                return np.array(texts, "datetime64[us]")
            except ValueError:  # no such day
                pass
    return np.array([_moment(text, form) for text in texts], "datetime64[us]")


def find_dates(texts: Iterable[str]) -> tuple[Dates | None, str | None]:
    """The format and first of dates, if all texts are dates of one format; and a doubt, in words.

    >>> find_dates(["2024-01-31", "2023-12-01"])
    (Dates(format='%Y-%m-%d', origin='2023-12-01T00:00:00'), None)
    """
    texts = list(texts)
    if not texts or not all(map(_LIKE_DATE.fullmatch, texts)):
        return None, None
    fits: list[tuple[str, Array]] = []
    for form in _formats(texts[0]):
        moments = read_moments(texts, form)
        if np.isnat(moments).any():
            continue
        if not fits or not np.array_equal(moments, fits[0][1]):  # May is short and long
            fits.append((form, moments))
    if len(fits) > 1:
        return (
            None,
            f"dates such as {min(texts)}, which may be day/month or month/day "
            "(write year-month-day)",
        )
    if not fits:
        return None, None
    form, moments = fits[0]
    return Dates(form, moments.min().item().isoformat()), None


def find_compact_dates(texts: Sequence[str]) -> Dates | None:
    """The format and first of dates without separators, if all texts are such.

    >>> find_compact_dates(["20240131", "20231201"])
    Dates(format='%Y%m%d', origin='2023-12-01T00:00:00')
    """
    if not texts or not all(len(text) == len("20240131") and text.isdigit() for text in texts):
        return None
    moments = read_moments(texts, COMPACT)
    if np.isnat(moments).any():
        return None
    return Dates(COMPACT, moments.min().item().isoformat())


def find_odd_dates(texts: Sequence[str]) -> Array | None:
    """The texts (N,), bool, that are no dates, if most others are dates of one format."""
    some = [text for text in texts if _LIKE_DATE.fullmatch(text)]
    if 2 * len(some) <= len(texts):
        return None
    odd = (np.isnat(read_moments(texts, form)) for form in _formats(some[0]))
    return next((wrong for wrong in odd if 0 < 2 * wrong.sum() < len(texts)), None)


def _formats(text: str) -> Iterator[str]:
    for day in (*_DATES, *_NAMED):
        for clock in _CLOCKS:
            if _moment(text, day + clock) is not None:
                yield day + clock


def _moment(text: str, form: str) -> datetime.datetime | None:
    try:
        return datetime.datetime.strptime(text, form)
    except ValueError:
        return None
