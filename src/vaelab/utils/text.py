"""Suggestions for misspelt names, text that is safe to print, and exact numbers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that control a terminal or reverse its text, and those without an encoding."""


def escape_control(text: str) -> str:
    """Escape the control characters of a text, since names come from files.

    >>> print(escape_control("café \\x1b[2J"))
    café \\x1b[2J
    """
    return _UNSEEN.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence to append after a full stop, with the nearest names; empty if none is near.

    >>> did_you_mean("sampel", ["train", "sample"])
    ' Did you mean sample?'
    >>> did_you_mean("--pior", ["--prior", "--json", "--help"])
    ' Did you mean --prior?'
    >>> did_you_mean("xyz", ["train", "sample"])
    ''
    """
    # Every flag starts with dashes, which would make all of them similar.
    bare = {each.lstrip("-"): each for each in known}
    near = difflib.get_close_matches(name.lstrip("-"), bare, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(bare[each] for each in near)}?" if near else ""


def exact(value: float) -> str:
    """A number in as many digits as it takes, no more rounded than it was tested.

    >>> exact(255.000001), exact(16.0), exact(-0.0)
    ('255.000001', '16', '0')
    """
    import numpy as np

    value = float(value) + 0.0  # never −0
    single = np.float32(value)
    text = str(single) if float(single) == value and abs(value) < 1e6 else repr(value)
    return text.removesuffix(".0")
