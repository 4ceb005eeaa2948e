"""`vaelab doctor RUN | DATA | FILE.py:function`: diagnose a run, data set or loss."""

from __future__ import annotations

import json as writer
import sys
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from vaelab.commands.arguments import Device
from vaelab.data.tabular.header import as_kinds
from vaelab.doctor.findings import Report, Severity
from vaelab.reports.findings_console import show
from vaelab.reports.findings_text import Language, in_language
from vaelab.verbs.doctor import doctor as examine

FOUND = 1


def doctor(
    subject: Positional[Annotated[str, arg(metavar="RUN|DATA|FILE.py:function")]],
    severity: Severity = "warning",
    prior: str | None = None,
    data: str | None = None,
    data_dir: Path | None = None,
    columns: str | None = None,
    label: str | None = None,
    kind: Literal["auto", "table", "images", "series"] = "auto",
    limit: int = 2000,
    device: Device = "auto",
    arguments: str | None = None,
    shape: str | None = None,
    seed: int = 0,
    lang: Language = "en",
    json: bool = False,
) -> None:
    """Examine a run, a data set, or any loss function, and propose remedies.

    Exit status 0 if nothing of the stated severity was found, 1 otherwise. A loss is loaded by
    running its file.

    Args:
        subject: folder of a run; known name, file or folder of data; or a loss in a file, as in
            losses.py:vae_loss.
        severity: least severity that makes the exit status 1.
        prior: examine a run under this prior of its own, which `vaelab fit-prior` fitted.
        data: a run's data, if it was an array in memory or has moved.
        data_dir: folder of known data sets.
        columns: kinds of columns of a table with names that are not to be inferred, as for
            training: age=real,id=out.
        label: label column of such a table.
        kind: layout of arrays, if not to be inferred.
        limit: rows of each split that a run is walked on, at most.
        arguments: roles of a loss's arguments, in their order, if their names do not show them: x,
            reconstruction, mu, logvar (or var, std, logstd), a number for any other, NAME=number
            for one by name.
        shape: shape of one example for a loss, as in 1,28,28; tried out by default.
        seed: seed of the choice of rows and of all draws.
        lang: language of the report, English or Chinese.
        json: print one JSON object instead.
    """
    report = examine(
        subject,
        data=data,
        prior=prior,
        limit=limit,
        device=device,
        columns=None if columns is None else as_kinds(columns),
        label=label,
        kind=kind,
        arguments=arguments,
        shape=sizes(shape),
        data_dir=data_dir,
        seed=seed,
    )
    _print(report, json, lang)
    sys.stdout.flush()
    if report.reaches(severity):
        raise SystemExit(FOUND)


def sizes(shape: str | None) -> tuple[int, ...] | None:
    """`1,28,28` as numbers.

    >>> sizes("1,28,28")
    (1, 28, 28)
    """
    if shape is None:
        return None
    parts = shape.split(",")
    if not all(part.strip().isdigit() and int(part) for part in parts):
        raise ValueError(f"shape is {shape!r}; expected positive numbers, as in 1,28,28")
    return tuple(int(part) for part in parts)


def _print(report: Report, json: bool, lang: Language) -> None:
    if json:
        about = in_language(report, lang).to_json()
        print(writer.dumps(about, ensure_ascii=False, allow_nan=False))
    else:
        show(report, lang=lang)
