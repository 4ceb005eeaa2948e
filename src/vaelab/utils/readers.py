"""Boundary of a reader: any exception of a library becomes an error with the path and the reason.

A list of the exceptions that libraries raise on damaged files is never complete. Errors that
vaelab raises itself, and those of the system (missing, not permitted), pass as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

HOME = Path(__file__).parents[1]
"""Folder of the package."""


@contextmanager
def reading(path: str | Path, kind: str = "file", *, named: bool = False) -> Iterator[None]:
    """Guard the body, which reads a file or folder.

    Args:
        path: path, for messages.
        kind: expected content, such as array file.
        named: True to add the path to vaelab's own messages that lack it.

    Raises:
        ValueError: for any exception of another library, with path and reason.

    >>> import zlib
    >>> with reading("odd.gz", "gzip file"):  # doctest: +ELLIPSIS
    ...     zlib.decompress(b"odd")
    Traceback (most recent call last):
    ValueError: odd.gz cannot be read as a gzip file: Error -3 while decompressing data: ...
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.strerror is not None:
            raise
        if is_own(error):
            if named and str(path) not in str(error):
                raise ValueError(f"{path}: {error}") from error
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} cannot be read as a {kind}: {reason}") from error


def is_own(error: BaseException) -> bool:
    """True for an error with a message for the user, raised by vaelab itself."""
    return isinstance(error, ValueError | FileNotFoundError) and raised_here(error.__traceback__)


def raised_here(trace: TracebackType | None) -> bool:
    """True if the innermost frame is the library's own."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and HOME in Path(trace.tb_frame.f_code.co_filename).parents
