"""Files of a run, and how they are written: all of them, or none.

recipe.json           name and arguments of the recipe, data specification, training, versions
weights.safetensors   best weights
objective.safetensors state of the objective: a critic's weights, if it has one
optimizer.safetensors optimizer state of the best weights
metrics.jsonl         one line per epoch
codes.json            statistics of codes: spread and rate by latent dimension
priors/               priors fitted afterwards, by name
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save
from torch import Tensor

from vaelab.utils import atomic_files
from vaelab.version import __version__

if TYPE_CHECKING:
    from vaelab.runs.run import Run

FORMAT = 1
RECIPE, WEIGHTS, OPTIMIZER = "recipe.json", "weights.safetensors", "optimizer.safetensors"
OBJECTIVE = "objective.safetensors"
METRICS, CODES = "metrics.jsonl", "codes.json"
FILES = (WEIGHTS, OBJECTIVE, OPTIMIZER, METRICS, CODES, RECIPE)
EVALUATION, PRIORS = "evaluation.json", "priors"
UNFINISHED = "unfinished"
"""Subfolder of a run in which a training in progress keeps its checkpoints."""


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
        lines = "".join(json.dumps(row) + "\n" for row in run.history)
        atomic_files.write(staged / METRICS, lines)
        atomic_files.write_json(staged / CODES, asdict(run.codes))
        made_with = {"vaelab": __version__, "torch": str(torch.__version__)}
        about = {"format": FORMAT} | made_with | run.recipe.to_json()
        atomic_files.write_json(staged / RECIPE, about | {"training": dict(run.training)})
    return folder
