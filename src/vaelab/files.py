"""Files that are whole or not there: written beside their target, then moved into place."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


def write(path: Path, content: str | bytes) -> None:
    """Writes a file atomically; a failure leaves what was there untouched.

    Raises:
        OSError: where the place is full, read-only or missing.
    """
    try:
        with replacing(path) as file:
            file.write(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        error.filename = str(path)  # which the user knows, unlike the temporary one
        raise


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes its place when it is complete; a failure leaves no trace.

    Raises:
        OSError: where the place is full, read-only or missing.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; a run is shared like any other file.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def append(path: Path, line: str) -> None:
    """Adds a line to a file; a failure leaves no part of it behind.

    Raises:
        OSError: where the place is full, read-only or missing.
    """
    rest = line.encode()
    with path.open("ab", buffering=0) as file:
        end = file.seek(0, os.SEEK_END)
        try:
            while rest:
                rest = rest[file.write(rest) or 0 :]
        except OSError as error:
            file.truncate(end)
            error.filename = str(path)
            raise


def write_json(path: Path, value: Any) -> None:
    """Writes JSON that a person can read."""
    write(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
        FileNotFoundError: where it is missing.
        ValueError: where it is not JSON.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None


def read_lines(path: Path) -> list[Any]:
    """Reads a JSON-lines file; a missing one is empty.

    Raises:
        ValueError: where a line is not JSON.
    """
    if not path.is_file():
        return []
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise ValueError(f"{path}, line {number} is not JSON: {error}") from None
    return rows
