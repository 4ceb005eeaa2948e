"""What a misspelt name may have been meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


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
