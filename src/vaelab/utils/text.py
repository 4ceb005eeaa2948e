"""What a misspelt name may have been meant to be, and names as a terminal may show them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What commands a terminal or turns its text around, and what no encoding has."""


def escape_control(text: str) -> str:
    """A text whose control characters are seen, not obeyed: names come from files.

    >>> print(escape_control("café \\x1b[2J"))
    café \\x1b[2J
    """
    return _UNSEEN.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence to go on with after a full stop, with the nearest names; empty where none is near.

    >>> did_you_mean("sampel", ["train", "sample"])
    ' Did you mean sample?'
    >>> did_you_mean("--pior", ["--prior", "--json", "--help"])
    ' Did you mean --prior?'
    >>> did_you_mean("xyz", ["train", "sample"])
    ''
    """
    # Dashes are on every flag, and would make all of them alike.
    bare = {each.lstrip("-"): each for each in known}
    near = difflib.get_close_matches(name.lstrip("-"), bare, n=3, cutoff=0.6)
    return f" Did you mean {' or '.join(bare[each] for each in near)}?" if near else ""
