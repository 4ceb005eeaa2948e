"""A run, examined: its model is walked on training and test rows, and its history is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vaelab.core import fork_rng, permutation
from vaelab.data import Split
from vaelab.doctor.findings import Report
from vaelab.doctor.root_cause import ordered
from vaelab.doctor.run_checks import CHECKS
from vaelab.doctor.run_measurements import RunMeasurements, measure_run
from vaelab.runs.files import METRICS, RECIPE, UNFINISHED
from vaelab.runs.load import load
from vaelab.runs.own_data import named_data
from vaelab.runs.run import Run
from vaelab.training import find_device


def examine_run(
    path: Path,
    data: str | None = None,
    data_dir: Path | None = None,
    limit: int = 2000,
    seed: int = 0,
    device: str = "cpu",
    prior: str | None = None,
) -> Report:
    """Examine a run, complete or interrupted.

    Args:
        path: its folder.
        data: its data, if they have moved.
        data_dir: folder of known data sets.
        limit: rows of each split that are looked at, at most.
        seed: seed of the choice of rows and of all draws.
        device: device of the model.
        prior: fitted prior of the run to examine it under; the model's own by default.

    Raises:
        FileNotFoundError: if there is no run, no data, or no such prior.
        ValueError: if either is damaged or has changed.
    """
    there = (path / RECIPE).is_file() or not (path / UNFINISHED / RECIPE).is_file()
    run = load(path if there else path / UNFINISHED)
    if not run.history or not all("valid_loss" in row for row in run.history):
        raise ValueError(
            f"{path / METRICS} is missing or has no valid_loss of some epoch, by which a training "
            "is judged; restore it"
        )
    (train, _, test), _ = named_data(run.spec, data, data_dir, path)
    return examine_rows(run, train, test, str(path), limit, seed, device, prior)


def examine_rows(
    run: Run,
    train: Split,
    test: Split,
    subject: str,
    limit: int = 2000,
    seed: int = 0,
    device: str = "cpu",
    prior: str | None = None,
) -> Report:
    """Examine a run in memory on rows at hand; arguments are those of `examine_run`."""
    run = run if prior is None else run.with_prior(prior)
    place = find_device(device)
    model = run.model.to(place)
    try:
        with fork_rng(seed, place):
            seen = measure_run(
                run,
                subsample_split(train, limit, seed),
                subsample_split(test, limit, seed),
                seed,
                place,
            )
    finally:
        model.to("cpu")
    findings = ordered([finding for check in CHECKS.values() for finding in check(seen)])
    return Report(subject, "run", _about(seen, prior), list(CHECKS), findings, _figures(seen))


def subsample_split(split: Split, limit: int, seed: int) -> Split:
    """At most `limit` rows, in no order: neighbours in a file may be of one class."""
    order = permutation(len(split), seed)[:limit]
    return split.take(order)


def _about(seen: RunMeasurements, prior: str | None) -> list[str]:
    run = seen.run
    train, _, test = run.spec.sizes
    lines = [
        f"{run.recipe.name} on {run.spec.source}: {train:,} training and {test:,} test rows, "
        f"{len(run.history)} epochs; likelihood {run.recipe.reason}"
    ]
    if prior is not None:
        lines.append(f"under the prior {prior}, which was fitted to its codes")
    told = [f"distortion {seen.test['distortion'].value:.2f}"]
    if "rate" in seen.test:
        told = [f"−ELBO {seen.test['neg_elbo'].value:.2f}", f"rate {seen.test['rate'].value:.2f}"]
    told.append(f"swapped z costs {seen.attention.value:.2f} nats")
    if len(seen.active):
        told.append(f"{int(seen.active.sum())} of {len(seen.active)} units active")
    if seen.information is not None:
        told.append(f"I(x; z) {seen.information.value:.2f} nats")
    if seen.beta is not None:
        told.append(f"effective β {seen.beta}")
    if seen.lost is not None:
        more = seen.lost.nats.value
        told.append(
            f"a test code costs {abs(more):.2f} nats {'more' if more > 0 else 'less'} than under "
            "the model's own prior"
        )
    return [*lines, " · ".join(told)]


def _figures(seen: RunMeasurements) -> dict[str, Any]:
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
    if seen.lost is not None:
        named |= {f"lost_{name}": found for name, found in seen.lost._asdict().items()}
    found: dict[str, Any] = {
        name: None if e is None else {"value": e.value, "se": e.se} for name, e in named.items()
    }
    return found | {
        "active_units": int(seen.active.sum()) if len(seen.active) else None,
        "explained_variance": seen.explained.model,
        "explained_variance_linear": seen.explained.linear,
    }
