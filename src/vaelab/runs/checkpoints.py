"""Folder of checkpoints: states of a training, each whole or not there.

    checkpoints/step-400/   state.safetensors, state.json, history.jsonl; SHA256SUMS of them

A checkpoint is written under another name, flushed to the disk and renamed. The last two are kept;
one that is damaged falls back to the one before.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
from pathlib import Path

from safetensors.torch import load, save

from vaelab.training import State

log = logging.getLogger(__name__)

TENSORS, FACTS, HISTORY, SUMS = "state.safetensors", "state.json", "history.jsonl", "SHA256SUMS"

KEPT = 2
"""Number of checkpoints to keep."""


def write(folder: Path, state: State) -> Path:
    """Write a checkpoint and remove all but the last two; return its folder.

    Raises:
        OSError: if the disk is full, read-only or missing; the checkpoints before stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    place = folder / f"step-{state.facts['step']}"
    content = {
        TENSORS: save(state.tensors),
        FACTS: f"{json.dumps(state.facts, indent=2, allow_nan=False)}\n".encode(),
        HISTORY: "".join(f"{json.dumps(row)}\n" for row in state.history).encode(),
    }
    content[SUMS] = "".join(f"{_digest(d)}  {name}\n" for name, d in content.items()).encode()
    made = Path(tempfile.mkdtemp(dir=folder, prefix="."))
    try:
        for name, data in content.items():
            with (made / name).open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        flush(made)
        made.chmod(0o777 & ~_umask())  # temporary folders are private; a run is shared
        if place.exists():  # of the same step, and perhaps the damaged one
            place.rename(made / "replaced")
        made.rename(place)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    flush(folder)
    shutil.rmtree(place / "replaced", ignore_errors=True)
    for old in numbered(folder)[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return place


def numbered(folder: Path) -> list[Path]:
    """Checkpoints, the latest first."""
    found = [p for p in folder.glob("step-*") if p.name.removeprefix("step-").isdecimal()]
    return sorted(found, key=lambda p: int(p.name.removeprefix("step-")), reverse=True)


def latest(folder: Path) -> State | None:
    """The state of the latest checkpoint that is whole, or None; warns of damaged ones."""
    for place in numbered(folder):
        try:
            return read(place)
        except (OSError, ValueError) as error:
            log.warning("the checkpoint %s cannot be used (%s); the one before is", place, error)
    return None


def read(place: Path) -> State:
    """Read a checkpoint.

    Raises:
        OSError: if a file is missing.
        ValueError: if a file is not the one that was written.
    """
    content = {name: (place / name).read_bytes() for name in (TENSORS, FACTS, HISTORY)}
    sums = (place / SUMS).read_bytes()
    for name, data in content.items():
        if f"{_digest(data)}  {name}\n".encode() not in sums:
            raise ValueError(f"{name} is torn or was altered")
    history = [json.loads(line) for line in content[HISTORY].splitlines()]
    return State(load(content[TENSORS]), json.loads(content[FACTS]), history)


def flush(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    if os.name != "posix":  # where folders cannot be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
