"""`doctor`: faults of a run, of data, or of a loss function, each with a number and a remedy."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from vaelab.data import Data, load
from vaelab.data.known.registry import KNOWN
from vaelab.doctor.examine_data import examine_data, examine_loaded
from vaelab.doctor.examine_loss import examine_loss
from vaelab.doctor.examine_run import examine_rows, examine_run
from vaelab.doctor.findings import Report
from vaelab.runs.files import RECIPE, UNFINISHED
from vaelab.runs.own_data import data_for
from vaelab.runs.run import Run
from vaelab.utils.hints import hinting
from vaelab.utils.options import argument


@hinting
def doctor(
    subject: Any,
    *,
    data: Any = None,
    prior: str | None = None,
    limit: int = 2000,
    device: str = "auto",
    columns: Mapping[str, str] | None = None,
    label: str | None = None,
    kind: str = "auto",
    arguments: str | None = None,
    shape: tuple[int, ...] | None = None,
    data_dir: Path | None = None,
    seed: int = 0,
) -> Report:
    """Examine a run, data, or a loss function.

    >>> import vaelab
    >>> def loss(x, reconstruction, mu, logvar):
    ...     d = ((x - reconstruction) ** 2).sum(1)
    ...     return (d - 0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)).mean()
    >>> vaelab.doctor(loss).kind
    'loss'

    Args:
        subject: run or its folder; data in any form that `load_data` takes; or a loss function of
            x, reconstruction, mu and logvar, or `FILE.py:function`.
        data: data of a run if they were in memory or have moved.
        prior: name of a prior of the run, to examine it under.
        limit: number of rows of each split that a run is examined on, at most.
        device: device of the examination.
        columns: kinds of columns of a table, by name.
        label: column of labels of a table.
        kind: layout of arrays, as for `load_data`.
        arguments: arguments of a loss in their order, if their names do not tell.
        shape: shape of one example for a loss.
        data_dir: folder of known data sets.
        seed: seed of the choice of rows and of all draws.

    Raises:
        ValueError: for an option that does not fit the subject, or a subject that is damaged.
        FileNotFoundError: if there is nothing of that name.
    """
    if limit < 2:
        raise ValueError(f"limit is {limit}; it must be 2 or more")
    table = {"columns": columns, "label": label, "kind": None if kind == "auto" else kind}
    named = isinstance(subject, str | Path)
    of_loss = is_loss(str(subject)) if named else _is_function(subject)
    of_run = isinstance(subject, Run) or (named and not of_loss and is_run(str(subject)))
    if prior is not None and not of_run:
        raise ValueError(
            f"a prior is a run's, and {subject} is no run; leave {argument('prior')} out"
        )
    if of_loss:
        _only_of_data("a loss", table)
        return examine_loss(str(subject) if named else subject, arguments, shape)
    if isinstance(subject, Run):
        _only_of_data("a run, which has its own", table)
        (train, _, test), _ = data_for(subject, data, data_dir)
        name = subject.recipe.name if subject.path is None else str(subject.path)
        return examine_rows(subject, train, test, name, limit, seed, device, prior)
    if of_run:
        _only_of_data("a run, which has its own", table)
        return examine_run(Path(subject), data, data_dir, limit, seed, device, prior)
    if named:
        return examine_data(str(subject), data_dir, seed, columns, label, kind)
    read = subject
    if not isinstance(read, Data):
        read = load(read, seed=seed, columns=columns, label=label, kind=kind, skip_unreadable=True)
    return examine_loaded(read, read.spec.source, seed)


def _is_function(subject: Any) -> bool:
    known = isinstance(subject, Run | Data) or hasattr(subject, "__getitem__")
    return isinstance(subject, Callable | nn.Module) and not known  # type: ignore[arg-type]


def is_loss(subject: str) -> bool:
    """True for a function in a Python file.

    Raises:
        ValueError: for a Python file without a function.
    """
    if subject.endswith((".py", ".py:")):
        raise ValueError(
            f"name the loss in {subject.rstrip(':')}, as in {subject.rstrip(':')}:loss"
        )
    return re.search(r"\.py:[\w.]+$", subject) is not None


def is_run(subject: str) -> bool:
    """True for the folder of a run, or of the rest of an unfinished one."""
    path = Path(subject)
    return subject not in KNOWN and any(
        (folder / RECIPE).is_file() for folder in (path, path / UNFINISHED)
    )


def _only_of_data(subject: str, options: Mapping[str, Any]) -> None:
    given = [argument(name) for name, value in options.items() if value is not None]
    if given:
        raise ValueError(f"{' and '.join(given)} say how data are read, and this is {subject}")
