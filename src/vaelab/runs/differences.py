"""Settings in which runs differ, read from their folders without their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vaelab.runs.files import RECIPE
from vaelab.utils import atomic_files

UNRELATED = ("device", "compile", "best_epoch")
"""Entries of a training that do not decide its result, or are part of the result."""

ABSENT = "–"


def settings(folder: str | Path) -> dict[str, Any]:
    """Recipe, its arguments and the training settings of a run, flat, by name.

    Raises:
        FileNotFoundError: if there is no run.
    """
    return settings_of(atomic_files.read_json(Path(folder) / RECIPE))


def settings_of(about: Mapping[str, Any]) -> dict[str, Any]:
    """Settings in the content of recipe.json, flat, by name."""
    arguments = dict(about["arguments"])
    design = arguments.pop("design", {})
    training = {name: v for name, v in about["training"].items() if name not in UNRELATED}
    return {"recipe": about["recipe"]} | arguments | design | training


def differing(runs: Sequence[dict[str, Any]]) -> list[str]:
    """Settings that are not the same in all runs: name, and the values in the runs' order.

    >>> differing([{"beta": 1.0, "epochs": 100, "lr": 0.1}, {"beta": 0.1, "epochs": 25, "lr": 0.1}])
    ['beta 1 / 0.1', 'epochs 100 / 25']
    >>> differing([{"recipe": "ae"}, {"recipe": "vae", "beta": 1.0}])
    ['recipe ae / vae', 'beta – / 1']
    """
    names = dict.fromkeys(name for run in runs for name in run)
    found = []
    for name in names:
        values = [_text(run[name]) if name in run else ABSENT for run in runs]
        if len(set(values)) > 1:
            found.append(f"{name.replace('_', ' ')} {' / '.join(values)}")
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, list):
        return ",".join(map(_text, value))
    if isinstance(value, dict):
        return " ".join(f"{name}={_text(part)}" for name, part in value.items())
    return str(value)
