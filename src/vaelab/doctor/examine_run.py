"""A run, examined: its model is walked on training and test rows, and its history is read."""

from __future__ import annotations

from dataclasses import replace
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
from vaelab.utils.messages import Message, joined


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
    (train, _, test), notes = named_data(run.spec, data, data_dir, path)
    report = examine_rows(run, train, test, str(path), limit, seed, device, prior)
    return replace(report, about=[*report.about, *notes])


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
    lines: list[str] = [
        Message(
            "about.run",
            "{recipe} on {source}: {train:,} training and {test:,} test rows, {epochs} epochs; "
            "likelihood {reason}",
            recipe=run.recipe.name,
            source=run.spec.source,
            train=train,
            test=test,
            epochs=len(run.history),
            reason=run.recipe.reason,
        )
    ]
    if prior is not None:
        lines.append(
            Message(
                "about.prior", "under the prior {prior}, which was fitted to its codes", prior=prior
            )
        )
    distortion = seen.test["distortion"].value
    measured = [Message("about.distortion", "distortion {nats:.2f}", nats=distortion)]
    if "rate" in seen.test:
        elbo, rate = seen.test["neg_elbo"].value, seen.test["rate"].value
        measured = [
            Message("about.elbo", "−ELBO {elbo:.2f} · rate {rate:.2f}", elbo=elbo, rate=rate)
        ]
    swapped = seen.attention.value
    measured.append(Message("about.swapped", "swapped z costs {nats:.2f} nats", nats=swapped))
    if len(seen.active):
        active, units = int(seen.active.sum()), len(seen.active)
        text = "{active} of {units} units active"
        measured.append(Message("about.active", text, active=active, units=units))
    if seen.information is not None:
        nats = seen.information.value
        measured.append(Message("about.information", "I(x; z) {nats:.2f} nats", nats=nats))
    if seen.beta is not None:
        measured.append(Message("about.beta", "effective β {beta}", beta=seen.beta))
    if seen.lost is not None:
        measured.append(_cost(seen.lost.nats.value))
    return [*lines, joined(" · ", measured)]


def _cost(nats: float) -> Message:
    """The cost of a test code under a fitted prior."""
    if nats > 0:
        text = "a test code costs {nats:.2f} nats more than under the model's own prior"
        return Message("about.costs-more", text, nats=nats)
    text = "a test code costs {nats:.2f} nats less than under the model's own prior"
    return Message("about.costs-less", text, nats=-nats)


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
