r"""understand.json: every number of a study with its standard error, sample size and seed.

Strict JSON: a figure that does not exist is null, with the reason why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from vaelab.plots.renderers import find_renderer
from vaelab.runs.run import Run
from vaelab.training import find_device
from vaelab.understand.benchmark import LEVEL, PAIRS, STEPS, Benchmark, K
from vaelab.understand.claims import (
    ROWS,
    ClaimResult,
    Compared,
    Figures,
    best,
    check_claim,
    claims,
)
from vaelab.understand.measure import (
    KL_DRAWS,
    MMD_DRAWS,
    PRIOR_DRAWS,
    SAMPLES,
    Figure,
    Measured,
    Missing,
)
from vaelab.understand.study import BATCH, Study, key, num_epochs
from vaelab.version import __version__

FORMAT = 2


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


def unfinished(runs: Mapping[str, Run], measured: Mapping[str, Measured]) -> dict[str, Any]:
    """The content of unfinished.json: models kept by an interrupted study.

    Args:
        runs: models trained so far, by key.
        measured: figures of those that were measured.
    """
    models = {}
    for name, run in runs.items():
        figures = measured[name].figures if name in measured else None
        models[name] = {
            "run": f"runs/{name}",
            "ending": run.training["ending"],
            "best_epoch": run.training["best_epoch"],
            "valid_loss": run.history[run.training["best_epoch"] - 1]["valid_loss"],
            "figures": None
            if figures is None
            else {row.figure: figure(figures[row.figure]) for row in ROWS},
        }
    return {"format": FORMAT, "vaelab": __version__, "ending": "interrupted", "models": models}


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
        "classes": [] if ground.train.y is None else list(spec.classes),
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
        "repeats": ground.repeats,
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
    verdict = judged.verdict
    return {
        "id": judged.claim.id,
        "section": judged.claim.section,
        "latent": judged.latent,
        "holds": None if verdict is None else verdict == "holds",
        "verdict": verdict,
        "comparisons": [_comparison(one, judged.latent) for one in judged.compared],
    }


def _comparison(one: Compared, latent: int) -> dict[str, Any]:
    comparison = one.comparison

    def side(model: str, found: Figure) -> dict[str, Any]:
        return {"model": key(model, latent), "figure": comparison.figure} | figure(found)

    against = None
    if comparison.right is not None and one.right is not None:
        against = side(comparison.right, one.right)
    return {
        "verdict": one.verdict,
        "left": side(comparison.left, one.left),
        "right": against,
        "relation": "above" if comparison.above else "below",
        "factor": comparison.factor,
        "bound": comparison.factor if comparison.right is None else None,
        "ratio": one.ratio,
        "z": None if one.z is None else _finite(one.z),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
