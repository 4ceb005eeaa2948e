"""Folder of compiled programs that later processes load and run.

A program is machine code, so one is loaded only if nobody but this user, or root, can have put it
there: folder and files belong to either, are writable by nobody else, and are reached through no
link. A SHA-256 beside each program finds damage; it is no protection against an attacker.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger(__name__)

LIBRARY = "program.so"
SUMS = "sha256"

MOST = 200
"""Programs to keep; beyond these the least recently used are removed."""

OTHERS = stat.S_IWGRP | stat.S_IWOTH


class Untrusted(Exception):
    """A folder or file that others may have written; the message names it and the remedy."""


def folder() -> Path:
    """The folder of programs: `VAELAB_PROGRAMS` if it is set, else `~/.cache/vaelab/programs`."""
    named = os.environ.get("VAELAB_PROGRAMS")
    place = Path(named) if named else Path("~", ".cache", "vaelab", "programs")
    return place.expanduser().absolute()


def open_store() -> Path:
    """The folder of programs, made if it is missing, with mode 0700.

    Raises:
        Untrusted: if others may write to it.
        OSError: if it cannot be made.
    """
    place = folder()
    check_parents(place)
    for missing in reversed([p for p in (place, *place.parents) if not p.exists()]):
        with suppress(FileExistsError):  # another process was first
            missing.mkdir(mode=0o700)
    check(place)
    return place


def check_parents(place: Path) -> None:
    """Hold every folder above a place to belong to this user or root and to be closed to others.

    A folder that everybody may write to passes if it is sticky, as `/tmp` is; a link passes only
    directly below the root of the file system, where systems have their own.

    Raises:
        Untrusted: if one does not.
    """
    for parent in reversed(place.parents):
        if not os.path.lexists(parent):
            return
        linked = parent.is_symlink() and parent.parent != Path(parent.anchor)
        _check(parent, linked, parent.stat() if not linked else parent.lstat(), sticky=True)


def check(place: Path) -> None:
    """Hold a folder or file to belong to this user or root, to be closed to others and no link.

    Raises:
        Untrusted: if it does not.
        OSError: if it is missing.
    """
    _check(place, place.is_symlink(), place.lstat(), sticky=False)


def _check(place: Path, linked: bool, found: os.stat_result, sticky: bool) -> None:
    if os.name != "posix":  # where owners and modes say nothing
        return
    if linked:
        raise Untrusted(f"{place} is a link; set VAELAB_PROGRAMS to the folder itself")
    if found.st_uid not in (os.geteuid(), 0):
        raise Untrusted(
            f"{place} belongs to user {found.st_uid}; set VAELAB_PROGRAMS to a folder of your own"
        )
    if found.st_mode & OTHERS and not (sticky and found.st_mode & stat.S_ISVTX):
        raise Untrusted(
            f"{place} may be written by others (mode {stat.S_IMODE(found.st_mode):04o}); remove it "
            "if others may have done so, else close it: chmod go-w"
        )


def verify(place: Path) -> bool:
    """Return True if the files of a program have the checksums recorded with them.

    Raises:
        Untrusted: if others may have written them.
        OSError: if they are missing.
    """
    check(place)
    for file in place.iterdir():
        check(file)
    try:
        return (place / SUMS).read_text() == sums(place)
    except (OSError, UnicodeDecodeError):
        return False


def sums(place: Path) -> str:
    """SHA-256 and name of every file of a program, a line each."""
    files = sorted(p for p in place.iterdir() if p.name != SUMS)
    return "".join(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in files)


@contextmanager
def workshop(place: Path | None) -> Iterator[Path]:
    """An empty folder to compile in, inside the store (or a temporary one), removed at the end."""
    with tempfile.TemporaryDirectory(dir=place, prefix=f"{_mine()}{os.getpid()}-") as work:
        yield Path(work)


def publish(made: Path, place: Path) -> None:
    """Move a finished program into the store atomically."""
    (made / SUMS).write_text(sums(made))
    for file in made.iterdir():
        file.chmod(0o600)
    with suppress(OSError):  # another process was first, with the same program
        made.rename(place)
    with suppress(OSError):  # another process is removing old ones, too
        clear(place.parent)
        evict(place.parent)


def remove(place: Path) -> None:
    """Remove a damaged program."""
    aside = place.with_name(f"{_mine()}{os.getpid()}-{place.name}")
    with suppress(OSError):  # another process was first
        place.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def clear(store: Path) -> None:
    """Remove the folders of compilations that were broken off on this machine."""
    for left in store.glob(f"{_mine()}*"):
        pid = left.name.removeprefix(_mine()).split("-")[0]
        if pid.isdecimal() and not _runs(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def evict(store: Path) -> None:
    """Remove the least recently used programs beyond `MOST`."""
    kept = [p for p in store.iterdir() if not p.name.startswith("building-")]
    kept.sort(key=lambda p: p.stat().st_mtime, reverse=True)
    for old in kept[MOST:]:
        shutil.rmtree(old, ignore_errors=True)


def _mine() -> str:
    return f"building-{platform.node()}-"


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # a process of another user
        return True
    return True
