"""Read a run from its folder; no code named in a file is executed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import vaelab.recipes  # noqa: F401  (its functions register themselves)
from vaelab.core import VAE
from vaelab.data import DataSpec
from vaelab.objectives import Distortion, Objective
from vaelab.recipes.registry import HANDMADE, Recipe, rebuild
from vaelab.runs.files import (
    CODES,
    METRICS,
    OBJECTIVE,
    RECIPE,
    TIMING,
    WEIGHTS,
    check_files,
    read_recipe,
    read_training,
)
from vaelab.runs.history import History
from vaelab.runs.latent_summary import Codes, read_latent_summary
from vaelab.runs.run import Run
from vaelab.utils import atomic_files, size_budget
from vaelab.utils.hints import hinting
from vaelab.utils.readers import reading

VALUES_A_LATENT, LATENT = 4096, 1024
"""Most values of an example per latent dimension, and the fewest dimensions to count with.

The size of a convolutional model does not bound that of its examples; that of its codes does."""


@hinting
def load(
    path: str | Path,
    *,
    model: VAE | None = None,
    objective: Objective | None = None,
    encoder: Any = None,
    decoder: Any = None,
    likelihood: Any = None,
) -> Run:
    """Read a run from its folder.

    Args:
        path: folder of the run.
        model: for a run of a model of your own, the model, whose weights are then read.
        objective: its objective.
        encoder: encoder of the run's `Design`, if it was given without a name.
        decoder: its decoder.
        likelihood: its likelihood.

    Raises:
        FileNotFoundError: if there is no run.
        ValueError: if a file is damaged or foreign, or names something the library does not have.
    """
    folder = Path(path)
    with reading(folder, "run"):
        own = {"encoder": encoder, "decoder": decoder, "likelihood": likelihood}
        return _read(folder, model, objective, own)


def _read(folder: Path, model: VAE | None, objective: Objective | None, own: dict[str, Any]) -> Run:
    about = read_recipe(folder)
    codes = read_latent_summary(atomic_files.read_json(folder / CODES), folder / CODES)
    with reading(folder / RECIPE, "run's recipe", named=True):
        spec = DataSpec.from_json(about["data"])
        check_size(spec, codes)
        if about["recipe"] == HANDMADE:
            recipe = _own(about, spec, model, objective)
        else:
            arguments = _with_parts(about["arguments"], own)
            with size_budget.within(folder / WEIGHTS, folder / OBJECTIVE):
                recipe = rebuild(about["recipe"], arguments, spec, about.get("code") or ())
    try:
        atomic_files.load_weights(recipe.model, folder / WEIGHTS, "run")
        if recipe.objective.state_dict():
            atomic_files.load_weights(recipe.objective, folder / OBJECTIVE, "run")
    except atomic_files.Foreign as error:
        raise ValueError(f"{error}. {recipe.mismatch_message(about.get('likelihood'))}") from None
    history = atomic_files.read_rows(folder / METRICS)
    timing = atomic_files.read_rows(folder / TIMING)
    if len(timing) == len(history):
        history = [row | timed for row, timed in zip(history, timing, strict=True)]
    with reading(folder / RECIPE, "run's recipe", named=True):
        training = read_training(about["training"], len(history))
    check_files(folder, about.get("sha256"))
    run = Run(recipe, training, History(history), codes, folder)
    if len(codes.mean) != run.latent:
        raise ValueError(
            f"{folder / CODES} describes codes of {len(codes.mean)} numbers, this model's have "
            f"{run.latent}; restore the file or train the run again"
        )
    return run


def _with_parts(arguments: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Arguments of a recipe, with the parts at hand in its design."""
    given = {kind: part for kind, part in own.items() if part is not None}
    return arguments | {"design": arguments["design"] | given} if given else arguments


def check_size(spec: DataSpec, codes: Codes) -> None:
    """Check that examples are no larger than codes of that length can be of.

    Raises:
        ValueError: states both sizes.
    """
    values, latent = math.prod(spec.shape), len(codes.mean)
    if values > VALUES_A_LATENT * max(LATENT, latent):
        raise ValueError(
            f"examples of {values:,} values ({'×'.join(map(str, spec.shape))}) do not go with "
            f"codes of {latent:,} numbers in {CODES}"
        )


def _own(about: dict[str, Any], spec: DataSpec, model: Any, objective: Any) -> Recipe:
    """Recipe of a run of a model of one's own, from the model at hand.

    Raises:
        ValueError: if it is not at hand; names the code that the run needs.
    """
    if model is None:
        code = [str(place) for place in about.get("code") or ()] or ["parts of vaelab"]
        raise ValueError(
            f"the run is of a model built by hand from {', '.join(code)}; build it again and pass "
            "it: vaelab.load(path, model=…, objective=…). A function under @vaelab.recipe makes "
            "runs that load by themselves"
        )
    objective = Distortion() if objective is None else objective
    return Recipe(HANDMADE, {}, model, objective, spec, str(about.get("likelihood", "")))
