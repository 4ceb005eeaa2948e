"""Parts that installed packages offer by entry points; each is imported when it is needed."""

from __future__ import annotations

import functools
import importlib
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path


@functools.cache
def installed(group: str) -> dict[str, EntryPoint]:
    """Entry points of a group by name.

    >>> installed("vaelab.no_such_group")
    {}
    """
    return {point.name: point for point in entry_points(group=group)}


def import_named(module: str) -> None:
    """Import a module that the user names, so that its parts register themselves.

    The working directory is searched too, since the command line does not do so by itself.

    Raises:
        ValueError: if there is no such module, or it fails.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        importlib.import_module(module)
    except Exception as error:
        raise ValueError(
            f"the module {module} cannot be imported: {error}. Name an installed module, or one in "
            f"{here}, without .py"
        ) from None
