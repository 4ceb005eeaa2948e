"""What a misspelt name may have been meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence to go on with after a full stop, with the nearest names; empty where none is near.

    >>> did_you_mean("sampel", ["train", "sample"])
    ' Did you mean sample?'
    >>> did_you_mean("xyz", ["train", "sample"])
    ''
    """
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(near)}?" if near else ""
