"""Names of the files of a run, and the checks that they belong together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from msgspec import Meta

from vaelab.training import Plan
from vaelab.utils import atomic_files
from vaelab.utils.validation import validate

FORMAT = 1
RECIPE, WEIGHTS, OPTIMIZER = "recipe.json", "weights.safetensors", "optimizer.safetensors"
OBJECTIVE = "objective.safetensors"
METRICS, CODES, TIMING = "metrics.jsonl", "codes.json", "timing.jsonl"
FILES = (WEIGHTS, OBJECTIVE, OPTIMIZER, METRICS, TIMING, CODES, RECIPE)
EVALUATION, PRIORS = "evaluation.json", "priors"

UNFINISHED, TRAINING, CHECKPOINTS = "unfinished", "training.json", "checkpoints"
"""Subfolder of a run for a training in progress; in it, its settings and its checkpoints."""

CLOCK = ("images_per_s", "seconds")
"""Figures of an epoch that depend on the machine and its load."""


def figures_of(row: Mapping[str, float]) -> dict[str, float]:
    """Figures of an epoch that the same training has again."""
    return {name: value for name, value in row.items() if name not in CLOCK}


def timing_of(row: Mapping[str, float]) -> dict[str, float]:
    """The other figures of an epoch, with its number."""
    return {name: row[name] for name in ("epoch", *CLOCK) if name in row}


def check_files(folder: Path, sums: Any) -> None:
    """Check that the files of a run are those that were saved together.

    Args:
        folder: folder of the run.
        sums: SHA-256 of every file by name; a run of an earlier version has none.

    Raises:
        ValueError: names the first that is not.
    """
    for name, digest in sums.items() if isinstance(sums, dict) else ():
        if name not in FILES or not (folder / name).is_file():
            continue
        if atomic_files.sha256(folder / name) != digest:
            raise ValueError(
                f"{folder / name} is not the file that {RECIPE} was saved with: it was altered, or "
                "the change to another run was broken off. Restore it, or go on with "
                f"`vaelab train --resume {folder}`"
            )


def read_recipe(folder: Path) -> dict[str, Any]:
    """The content of recipe.json.

    Raises:
        FileNotFoundError: if there is no run; says what there is instead.
        ValueError: if it is that of no run, or of another version.
    """
    if not (folder / RECIPE).is_file():
        if (folder / UNFINISHED / TRAINING).is_file():
            raise FileNotFoundError(
                f"{folder} holds a training that has not ended; go on with "
                f"`vaelab train --resume {folder}`"
            )
        what = "holds no run (no recipe.json)" if folder.is_dir() else "does not exist"
        raise FileNotFoundError(
            f"{folder} {what}; train one with `vaelab train vae --data digits --out RUN`"
        )
    about: dict[str, Any] = atomic_files.read_json(folder / RECIPE)
    needed = {"format": int, "recipe": str, "arguments": dict, "data": dict, "training": dict}
    has = about if isinstance(about, dict) else {}
    if wrong := [key for key, kind in needed.items() if not isinstance(has.get(key), kind)]:
        raise ValueError(
            f"{folder / RECIPE} is not a run's recipe: {', '.join(wrong)} is missing or of another "
            "type"
        )
    if about["format"] != FORMAT:
        raise ValueError(
            f"{folder / RECIPE} has format {about['format']!r}; this version reads {FORMAT}"
        )
    return about


def read_plan(found: Mapping[str, Any]) -> Plan:
    """The plan among the settings of a training.

    Raises:
        ValueError: for a value of another type, or out of range.
    """
    hints = get_type_hints(Plan, include_extras=True)
    return Plan(
        **{k: validate(v, hints[k], f"training.{k}") for k, v in found.items() if k in hints}
    )


def read_training(found: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """The record of a training, with its settings and its best epoch validated."""
    hints = get_type_hints(Plan, include_extras=True)
    hints |= {"ending": str, "best_epoch": Annotated[int, Meta(ge=1, le=max(1, epochs))]}
    known = {k: validate(v, hints[k], f"training.{k}") for k, v in found.items() if k in hints}
    return {**found, **known}
