"""A data set, examined: its file before it is read, its rows, its splits, and what fits it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from vaelab.data import Data, load
from vaelab.data.known.registry import KNOWN
from vaelab.data.load import existing
from vaelab.doctor import file_checks
from vaelab.doctor.data_checks import CHECKS
from vaelab.doctor.data_measurements import measure_data
from vaelab.doctor.findings import Finding, Report
from vaelab.recipes.design import Design, fit_likelihood
from vaelab.runs.own_data import describe

FINITE, WHOLE = "finite numbers, none lost in reading", "pictures readable and alike"


def examine_data(
    source: str,
    data_dir: Path | None = None,
    seed: int = 0,
    columns: Mapping[str, str] | None = None,
    label: str | None = None,
    kind: str = "auto",
) -> Report:
    """Examine a data set.

    Args:
        source: a known name, an array file, or a folder or zip of pictures.
        data_dir: folder of known data sets.
        seed: seed of the splits that are drawn, and of the choice of rows.
        columns: declared kinds of columns of a table with names.
        label: label column of such a table.
        kind: layout of arrays, as for `load`.

    Raises:
        FileNotFoundError: if there is nothing of that name.
        ValueError: if it is no data at all.
    """
    path = None if source in KNOWN else existing(source)
    findings: list[Finding] = []
    checked: list[str] = []
    if path is not None and path.suffix.lower() in (".npy", ".npz"):
        checked.append(FINITE)
        findings += file_checks.array_file(path)
        if any(finding.code == "nan" for finding in findings):
            about = ["the other checks need finite numbers: mend this first"]
            return Report(source, "data", about, checked, findings)
    data = load(
        source,
        data_dir=data_dir,
        seed=seed,
        skip_unreadable=True,
        columns=columns,
        label=label,
        kind=kind,
    )
    if path is not None and (path.is_dir() or path.suffix.lower() == ".zip"):
        checked.append(WHOLE)
        findings += file_checks.pictures(path, sum(data.spec.sizes))
    return examine_loaded(data, source, seed, findings, checked)


def examine_loaded(
    data: Data,
    subject: str,
    seed: int = 0,
    findings: Sequence[Finding] = (),
    checked: Sequence[str] = (),
) -> Report:
    """Examine data that are loaded.

    Args:
        data: loaded data.
        subject: name in the report.
        seed: seed of the choice of rows.
        findings: findings on its file.
        checked: checks of its file.
    """
    seen = measure_data(data, seed)
    findings = [*findings]
    findings += [finding for check in CHECKS.values() for finding in check(seen)]
    about = [describe(data), *data.notes, likelihood(data)]
    spec = dataclasses.asdict(data.spec)
    figures = {name: spec[name] for name in ("shape", "levels", "low", "high", "sizes")}
    return Report(subject, "data", about, [*checked, *CHECKS], findings, figures)


def likelihood(data: Data) -> str:
    """The likelihood that fits the data, and the reason."""
    return f"likelihood that fits: {fit_likelihood(Design(), data.spec).reason}"
