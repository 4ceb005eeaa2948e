"""Lock of a folder: one process at a time writes to it."""

from __future__ import annotations

import json
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

_held: set[Path] = set()


class Locked(ValueError):
    """Another process writes to the folder; the message names it."""


class Lock:
    """Lock on a file that names this process and its host.

    The system drops the lock when the process ends, however it ends; the file alone blocks nobody.

    Args:
        path: file of the lock, in an existing folder.

    Raises:
        Locked: if another process, or another training of this one, holds it.
        OSError: if the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        if self.path in _held:
            raise Locked(f"{path.parent} is being written by another training of this process")
        self.file = self._acquire()
        _held.add(self.path)
        self.file.seek(0)
        self.file.truncate()
        self.file.write(json.dumps({"process": os.getpid(), "host": platform.node()}))
        self.file.flush()

    def release(self) -> None:
        """Remove the file and drop the lock."""
        _held.discard(self.path)
        with suppress(OSError):  # the folder may be gone
            self.path.unlink()
        self.file.close()

    def _acquire(self) -> IO[str]:
        while True:
            file = self.path.open("a+", encoding="utf-8")
            try:
                _lock(file)
            except OSError:
                file.seek(0)
                holder = file.read()
                file.close()
                raise Locked(f"{self.path.parent} is being written by {_named(holder)}") from None
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), self.path.stat()):
                    return file
            file.close()  # the holder removed the file in between


def _named(holder: str) -> str:
    try:
        about = json.loads(holder)
        return f"process {about['process']} on {about['host']}"
    except (ValueError, TypeError, KeyError):
        return "another process"


if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        file.seek(2**20)  # a byte past the text, which others may then read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        # Of the process: not inherited by children, which may outlive it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
