"""Files of an evaluation: evaluation.json, and the figures of every example.

evaluation.json          figures with standard error and sample size, and all it takes to read
                         and repeat them
evaluation.safetensors   −ELBO, rate, distortion, NLL and effective draws of every example in
                         the order of the split, for paired comparisons
"""

from __future__ import annotations

import hashlib
import math
import platform
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from vaelab.evaluation.definitions import DEFINITIONS
from vaelab.evaluation.evaluate import Evaluation
from vaelab.evaluation.likelihood import likelihood_of
from vaelab.evaluation.settings import Settings
from vaelab.metrics.estimate import Estimate
from vaelab.runs.files import WEIGHTS
from vaelab.runs.run import Run
from vaelab.utils import atomic_files
from vaelab.version import __version__

Record = dict[str, Any]
HEADLINES = ("neg_elbo", "rate", "distortion", "nll")


def describe(
    run: Run, judged: Evaluation, settings: Settings, split: str, prior: str | None
) -> Record:
    """The content of evaluation.json."""
    found = judged.found
    record: Record = {"unit": "nats per example"}
    for name in HEADLINES:
        estimate = found.figures.get(name)
        record[name] = None if estimate is None else number(estimate.value)
        record[f"{name}_se"] = None if estimate is None else number(estimate.se)
    bits = found.figures.get("bits")
    record["bits_per_dim"] = None if bits is None else number(bits.value)
    record |= settings.facts | {
        "n": judged.n,
        "data": run.spec.source,
        "split": split,
        "binarize": run.spec.binarize,
        "dims": run.spec.dims,
        "digest": judged.digest,
        "recipe": run.recipe.name,
        "prior": prior,
        "likelihood": run.recipe.reason.partition(":")[0],
        "discrete": likelihood_of(run).discrete,
    }
    record["figures"] = {
        name: figure(found.figures[name]) | {"unit": DEFINITIONS[name].unit}
        for name in DEFINITIONS
        if name in found.figures
    }
    if judged.layers is not None:
        record["layers"] = [
            {
                "rate": figure(layer.rate),
                "by_dimension": None
                if layer.by_dimension is None
                else [figure(rate) for rate in layer.by_dimension],
                "active": None if layer.active is None else layer.active.tolist(),
            }
            for layer in judged.layers
        ]
    return record | {
        **found.facts,
        "notes": list(found.notes),
        "device": judged.device,
        "vaelab": __version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
    }


def figure(estimate: Estimate) -> Record:
    """An estimate as JSON values."""
    return {"value": number(estimate.value), "se": number(estimate.se), "n": estimate.n}


def number(value: float) -> float | None:
    """The value, or None for infinity and nan, which JSON lacks."""
    return value if math.isfinite(value) else None


def file_name(prior: str | None) -> str:
    """Name of an evaluation's files, without their suffix."""
    return "evaluation" if prior is None else f"evaluation-{prior}"


def keep(path: Path, run: Run, judged: Evaluation, record: Record) -> None:
    """Write the figures of every example, with the digest of the weights."""
    assert run.path is not None
    about = {name: str(record[name]) for name in ("digest", "seed", "samples", "split", "n")}
    about["weights"] = weights_of(run.path)
    tensors = {name: t.contiguous() for name, t in judged.found.of_each.items()}
    atomic_files.write(path, save(tensors, about))


def weights_of(path: Path) -> str:
    """SHA-256 of a run's weights."""
    return hashlib.sha256((path / WEIGHTS).read_bytes()).hexdigest()


def read_of_each(file: Path) -> dict[str, Tensor] | None:
    """The figures of every example; None if there are none for the run's present weights.

    Raises:
        ValueError: if the file is damaged.
    """
    if not file.is_file():
        return None
    try:
        with safe_open(file, framework="pt") as kept:
            if (kept.metadata() or {}).get("weights") != weights_of(file.parent):
                return None
            return {name: kept.get_tensor(name) for name in kept.keys()}  # noqa: SIM118
    except Exception as error:
        raise ValueError(f"{file} is damaged ({error}); evaluate the run anew") from None
