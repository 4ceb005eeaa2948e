"""A run, examined: its model is walked on training and test rows, and its history is read."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from vaelab.apps.doctor.causes import ordered
from vaelab.apps.doctor.findings import Report
from vaelab.apps.doctor.run_checks import CHECKS
from vaelab.apps.doctor.run_seen import Seen, look
from vaelab.data import DataSpec, Raw, Rows, Split
from vaelab.data.inputs import reload
from vaelab.run import RECIPE, UNFINISHED, load
from vaelab.training import find_device


def examine_run(
    path: Path,
    data: str | None = None,
    data_dir: Path | None = None,
    limit: int = 2000,
    seed: int = 0,
    device: str = "cpu",
) -> Report:
    """Examines a run, or what is left of one that did not end.

    Args:
        path: its folder.
        data: its data, where they have moved.
        data_dir: where known data sets live.
        limit: rows of each split that are looked at, at most.
        seed: of the choice of rows and of all draws.
        device: where the model is walked.

    Raises:
        FileNotFoundError: where there is no run, or no data.
        ValueError: where either is damaged or has changed.
    """
    there = (path / RECIPE).is_file() or not (path / UNFINISHED / RECIPE).is_file()
    run = load(path if there else path / UNFINISHED)
    if run.data.known:
        raise ValueError(
            f"{path} is told labels, and the doctor examines runs without a condition; "
            "`vaelab evaluate` judges both"
        )
    train, _, test = splits(run.data, data, data_dir)
    place = find_device(device)
    model = run.model.to(place)
    try:
        with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
            torch.manual_seed(seed)
            seen = look(run, some(train, limit, seed), some(test, limit, seed), seed, place)
    finally:
        model.to("cpu")
    findings = ordered([finding for check in CHECKS.values() for finding in check(seen)])
    return Report(str(path), "run", _about(seen), list(CHECKS), findings, _figures(seen))


def splits(spec: DataSpec, named: str | None, data_dir: Path | None) -> tuple[Split, Split, Split]:
    """The run's own rows.

    Raises:
        ValueError: where they cannot be found again or have changed.
        FileNotFoundError: where they have moved.
    """
    if named is None and spec.source == "array":
        raise ValueError(
            "the run was trained on an array in memory; save that array with numpy.save and name "
            "the file with --data"
        )
    source = spec.source if named is None else named
    try:
        return reload(dataclasses.replace(spec, source=source), data_dir=data_dir)
    except FileNotFoundError as error:
        hint = "" if named else ". Where the run's data has moved, name it with --data"
        raise FileNotFoundError(f"{error}{hint}") from None


def some(split: Split, limit: int, seed: int) -> Raw:
    """At most `limit` rows, in no order: neighbours in a file may be of one class."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:limit]
    return split.x.take(order) if isinstance(split.x, Rows) else split.x[order]


def _about(seen: Seen) -> list[str]:
    run = seen.run
    train, _, test = run.data.sizes
    lines = [
        f"{run.recipe.name} on {run.data.source}: {train:,} training and {test:,} test rows, "
        f"{len(run.history)} epochs; likelihood {run.recipe.reason}"
    ]
    told = [f"distortion {seen.test['distortion'].value:.2f}"]
    if "rate" in seen.test:
        told = [f"−ELBO {seen.test['neg_elbo'].value:.2f}", f"rate {seen.test['rate'].value:.2f}"]
    told.append(f"swapped z costs {seen.attention.value:.2f} nats")
    told.append(f"{int(seen.active.sum())} of {run.latent} units active")
    if seen.information is not None:
        told.append(f"I(x; z) {seen.information.value:.2f} nats")
    if seen.beta is not None:
        told.append(f"effective β {seen.beta}")
    return [*lines, " · ".join(told)]


def _figures(seen: Seen) -> dict[str, Any]:
    named = {
        f"train_{seen.bound}": seen.train[seen.bound],
        f"test_{seen.bound}": seen.test[seen.bound],
        "rate": seen.test.get("rate"),
        "attention": seen.attention,
        "effective_beta": seen.beta,
        "misfit_per_dimension": seen.misfit,
        "mutual_information": seen.information,
        "holes": seen.prior.holes,
        "unreached": seen.prior.unreached,
        "copies": seen.prior.copies,
    }
    found: dict[str, Any] = {
        name: None if e is None else {"value": e.value, "se": e.se} for name, e in named.items()
    }
    return found | {
        "active_units": int(seen.active.sum()),
        "explained_variance": seen.explained.model,
        "explained_variance_linear": seen.explained.linear,
    }
