r"""understand.json: every number of a study with its standard error, sample size and seed.

Strict JSON: a figure that does not exist is null, with the reason why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from vaelab.plots.renderers import find_renderer
from vaelab.training import find_device
from vaelab.understand.benchmark import LEVEL, PAIRS, STEPS, Benchmark, K
from vaelab.understand.claims import ROWS, ClaimResult, Figures, best, check_claim, claims
from vaelab.understand.measure import (
    KL_DRAWS,
    MMD_DRAWS,
    PRIOR_DRAWS,
    SAMPLES,
    Figure,
    Measured,
    Missing,
)
from vaelab.understand.study import BATCH, Study, num_epochs
from vaelab.version import __version__

FORMAT = 1


def document(
    study: Study,
    ground: Benchmark,
    measured: Mapping[str, Measured],
    facts: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """The content of understand.json.

    Args:
        study: the trained models.
        ground: the common reference of the study.
        measured: by key, as the study's runs.
        facts: facts about the figures.
        seconds: duration of each phase.
    """
    figures: Figures = {name: found.figures for name, found in measured.items()}
    judged = [
        check_claim(claim, figures, latent)
        for claim in claims(ground.chance)
        for latent in study.sizes
    ]
    return {
        "format": FORMAT,
        "vaelab": __version__,
        "torch": str(torch.__version__),
        "device": str(find_device(study.device)),
        "data": _data(study, ground),
        "study": _study(study, seconds),
        "measurement": _measurement(ground),
        "models": {name: _model(name, study, found) for name, found in measured.items()},
        "rows": [
            {
                "figure": row.figure,
                "unit": row.unit,
                "better": row.better,
                "collapsed_excluded": row.collapse_wins,
                "best": {str(latent): best(row, figures, latent) for latent in study.sizes},
            }
            for row in ROWS
        ],
        "claims": [_claim(found) for found in judged],
    } | dict(facts)


def figure(found: Figure) -> dict[str, Any]:
    """An estimate, or null with the reason why there is none."""
    if isinstance(found, Missing):
        return {"value": None, "why": found.why}
    return {"value": found.value + 0.0, "se": _finite(found.se), "n": found.n}  # no −0


def _data(study: Study, ground: Benchmark) -> dict[str, Any]:
    spec = study.data.spec
    return {
        "source": spec.source,
        "shape": list(spec.shape),
        "is_image": spec.is_image,
        "by_column": find_renderer(spec).legible,
        "domain": spec.domain,
        "levels": spec.levels,
        "classes": list(spec.classes),
        "sizes": list(spec.sizes),
        "likelihood": next(iter(study.runs.values())).recipe.reason,
        "binarize": ground.spec.binarize,
        "notes": list(study.data.notes),
    }


def _study(study: Study, seconds: Mapping[str, float]) -> dict[str, Any]:
    first = next(iter(study.runs.values()))
    rows = len(study.data.train.x)
    design = first.recipe.arguments["design"]
    return {
        "latents": list(study.sizes),
        "wide": study.wide,
        "seed": study.seed,
        "epochs": study.epochs,
        "batch_size": BATCH,
        "steps": study.epochs * math.ceil(rows / BATCH),
        "usual_epochs": num_epochs(rows),
        "usual_steps": num_epochs(rows) * math.ceil(rows / BATCH),
        "rows": rows,
        "net": design.net,
        "width": design.width,
        "parameters": {
            str(latent): sum(p.numel() for p in study.run("vae", latent).model.parameters())
            for latent in study.sizes
        },
        "seconds": {phase: round(took, 1) for phase, took in seconds.items()},
    }


def _measurement(ground: Benchmark) -> dict[str, Any]:
    accuracy = ground.accuracy
    few = min(MMD_DRAWS, len(ground.train))
    return {
        "encoder_input": "grey" if ground.spec.binarize == "dynamic" else "as is",
        "reference": {"split": ground.train.split, "n": len(ground.train)},
        "heldout": {"split": ground.held.split, "n": len(ground.held)},
        "k": K,
        "level": LEVEL,
        "samples": SAMPLES,
        "prior_draws": PRIOR_DRAWS,
        "generated": len(ground.held),
        "kl_draws": KL_DRAWS,
        "mmd_draws": few,
        "walk_steps": STEPS,
        "pairs": PAIRS,
        "pairs_of": "different classes" if ground.paired_by_class else "any two",
        "features": ground.space.name,
        "classifier_accuracy": figure(Missing("unlabelled") if accuracy is None else accuracy),
        "chance": ground.chance,
        "features_of": {
            "kind": "pixels" if ground.classifier is None else "classifier",
            "dims": ground.features.shape[1],
            "classes": None if ground.classifier is None else len(ground.spec.classes),
        },
        "pixels": ground.pixels.name,
        "pixels_of": {
            "dims": ground.pixels.axes.shape[1],
            "explained": ground.pixels.kept,
        },
        "seeds": {"binarization": ground.seed, "draws": ground.seed, "classifier": ground.seed},
    }


def _model(name: str, study: Study, found: Measured) -> dict[str, Any]:
    run = study.runs[name]
    return {
        "model": name.rpartition("-")[0],
        "recipe": run.recipe.name,
        "latent": run.latent,
        "run": f"runs/{name}",
        "best_epoch": run.training["best_epoch"],
        "figures": {row.figure: figure(found.figures[row.figure]) for row in ROWS},
        "classes": None if found.classes is None else list(found.classes),
    }


def _claim(judged: ClaimResult) -> dict[str, Any]:
    claim = judged.claim
    verdict = judged.verdict

    def side(model: str, found: Figure) -> dict[str, Any]:
        return {"model": f"{model}-{judged.latent}", "figure": claim.figure} | figure(found)

    against = claim.right is None or judged.right is None
    return {
        "id": claim.id,
        "section": claim.section,
        "latent": judged.latent,
        "holds": None if verdict is None else verdict == "holds",
        "verdict": verdict,
        "left": side(claim.left, judged.left),
        "right": None if against else side(str(claim.right), judged.right or Missing("point")),
        "relation": "above" if claim.above else "below",
        "factor": claim.factor,
        "bound": claim.factor if claim.right is None else None,
        "ratio": judged.ratio,
        "z": None if judged.z is None else _finite(judged.z),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
