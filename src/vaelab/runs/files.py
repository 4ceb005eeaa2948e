"""Files of a run: their names, the checks that they belong together, and how they are written.

recipe.json           name and arguments of the recipe, data specification, training, versions
weights.safetensors   best weights
objective.safetensors state of the objective: a critic's weights, if it has one
optimizer.safetensors optimizer state of the best weights
metrics.jsonl         one line of figures per epoch, a function of recipe, data and plan
timing.jsonl          duration and speed of every epoch
codes.json            statistics of codes: spread and rate by latent dimension
priors/               priors fitted afterwards, by name
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import torch
from msgspec import Meta
from safetensors.torch import save
from torch import Tensor

from vaelab.training import Plan
from vaelab.utils import atomic_files
from vaelab.utils.validation import validate
from vaelab.version import __version__

if TYPE_CHECKING:
    from vaelab.runs.run import Run

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
                f"`vaelab train --resume {shlex.quote(str(folder))}`"
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
                f"`vaelab train --resume {shlex.quote(str(folder))}`"
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


def write_run(run: Run, folder: Path, optimizer: Mapping[str, Tensor] | None) -> Path:
    """Write a run into a folder and return it; a failure leaves the folder unchanged."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_files.together(folder) as staged:
        atomic_files.write(staged / WEIGHTS, save(run.model.state_dict()))
        # Most objectives have no state; a critic's weights are one.
        if state := run.recipe.objective.state_dict():
            atomic_files.write(staged / OBJECTIVE, save(state))
        if optimizer:
            atomic_files.write(staged / OPTIMIZER, save(dict(optimizer)))
        for name, part in ((METRICS, figures_of), (TIMING, timing_of)):
            lines = "".join(json.dumps(part(row)) + "\n" for row in run.history)
            atomic_files.write(staged / name, lines)
        atomic_files.write_json(staged / CODES, asdict(run.codes))
        made_with = {"vaelab": __version__, "torch": str(torch.__version__)}
        about = {"format": FORMAT} | made_with | run.recipe.to_json()
        about |= {"training": dict(run.training)}
        about |= {"sha256": {p.name: atomic_files.sha256(p) for p in sorted(staged.iterdir())}}
        atomic_files.write_json(staged / RECIPE, about)
    return folder
