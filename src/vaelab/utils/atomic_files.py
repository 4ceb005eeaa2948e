"""Atomic files: written beside their target, then moved into place."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors.torch import load_file
from torch import nn

FLOATS = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
"""Types of weights that may replace each other."""


def write(path: Path, content: str | bytes) -> None:
    """Write a file atomically; a failure leaves the existing file untouched.

    Raises:
        OSError: if the disk is full, read-only or missing.
    """
    try:
        with replacing(path) as file:
            file.write(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        error.filename = str(path)  # the user's own path, not the temporary one
        raise


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that replaces the target once it is complete; a failure leaves no trace.

    Raises:
        OSError: if the disk is full, read-only or missing.
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


@contextmanager
def together(folder: Path) -> Iterator[Path]:
    """Stage files in a temporary folder and move them to `folder` when all of them are complete.

    A failure leaves existing files as they were: no file is moved before the last one is complete.

    Raises:
        OSError: if the disk is full, read-only or missing.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as staged:
        yield Path(staged)
        # The file that names the others' digests comes last.
        for path in sorted(Path(staged).iterdir(), key=lambda p: p.stat().st_mtime_ns):
            path.replace(folder / path.name)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def append(path: Path, line: str) -> None:
    """Append a line to a file; a failure leaves no part of it behind.

    Raises:
        OSError: if the disk is full, read-only or missing.
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
    """Write indented JSON."""
    write(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is not JSON.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from None


def read_rows(path: Path) -> list[dict[str, float]]:
    """Read rows of numbers, one JSON object per line; a missing file has none.

    Raises:
        ValueError: if a line is anything else.
    """
    if not path.is_file():
        return []
    rows: list[dict[str, float]] = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            rows.append(json.loads(line))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}, line {len(rows) + 1} is not JSON: {error}") from None
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or not all(map(_is_figure, row.values())):
            raise ValueError(f"{path}, line {number} is not a row of numbers; restore the file")
    return rows


def _is_figure(value: Any) -> bool:
    # A whole number of JSON has any number of digits.
    return isinstance(value, float) or (type(value) is int and abs(value) < 2**63)


class Foreign(ValueError):
    """Complete tensors that belong to another module than the one to load."""


def load_weights(module: nn.Module, path: Path, what: str) -> None:
    """Load the tensors of a module from a safetensors file.

    Args:
        module: module to load, changed in place.
        path: path of the file.
        what: name of the file's owner in messages, such as run or prior.

    Raises:
        FileNotFoundError: if the file is missing.
        Foreign: if it belongs to another module.
        ValueError: if it is damaged or holds values that are not finite.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; the {what} cannot be used without its weights")
    try:
        weights = load_file(path)
    except Exception as error:
        raise ValueError(
            f"{path} is damaged ({error}); restore it or create the {what} again"
        ) from None
    own = module.state_dict()
    wrong = sorted(set(own) ^ set(weights))
    wrong += [k for k in sorted(set(own) & set(weights)) if own[k].shape != weights[k].shape]
    if wrong:
        raise Foreign(
            f"{path} does not belong to this {what}: {len(wrong)} tensors are missing, foreign or "
            f"of another shape, the first {wrong[0]!r}"
        )
    odd = [
        k
        for k, t in weights.items()
        if {t.dtype, own[k].dtype} - FLOATS and t.dtype != own[k].dtype
    ]
    if odd:
        raise ValueError(
            f"{path} holds {weights[odd[0]].dtype} in {odd[0]!r}; expected {own[odd[0]].dtype}"
        )
    bad = [k for k, t in weights.items() if not torch.isfinite(t).all()]
    if bad:
        raise ValueError(f"{path} holds values that are not finite, in {bad[0]!r}")
    module.load_state_dict(weights)
