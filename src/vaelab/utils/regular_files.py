"""Only regular files are opened: a pipe waits for ever, and a device may have no end."""

from __future__ import annotations

import stat
from pathlib import Path

_KINDS = (
    (stat.S_ISFIFO, "a pipe (fifo)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def special_kind(path: Path) -> str | None:
    """The kind of a path that is neither a regular file nor a folder, in words; else None.

    Raises:
        OSError: if nothing is there, or it may not be looked at.

    >>> special_kind(Path("/dev/null")), special_kind(Path("/"))
    ('a device', None)
    """
    mode = path.stat().st_mode
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    return next((kind for test, kind in _KINDS if test(mode)), "a special file")
