"""Data frames of samples, codes and reconstructions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vaelab.data.tabular.date_text import COMPACT
from vaelab.data.tabular.header import Heading

if TYPE_CHECKING:
    from pandas import DataFrame

    from vaelab.runs.run import Run


def frame(run: Run, raw: Tensor) -> DataFrame:
    """Convert rows that a run takes or gives, such as samples, to a pandas data frame.

    Columns have the names, types and decimals of the data; counts are whole, categories are their
    names, and days are dates again. The class that the run is conditioned on comes last.

    Args:
        run: run whose data the rows resemble.
        raw: rows on the raw scale, (N, D); or several per row, as variations of N rows, (N, n, D),
            whose two indices then form the index.

    Raises:
        ValueError: if they are not rows of the run's table, or pandas is not installed.
    """
    if run.spec.is_image or raw.ndim < 2 or raw.shape[-1] != run.spec.dims:
        raise ValueError(
            f"a data frame holds rows of a table, (N, D) or (N, n, D) with D = {run.spec.dims} "
            f"here, not examples of shape {run.spec.shape} in a tensor {tuple(raw.shape)}"
        )
    try:
        import pandas
    except ImportError:
        raise ValueError(
            "a data frame takes pandas, which is not installed: pip install pandas, or "
            "write a .csv with `vaelab sample`"
        ) from None
    columns = _numbers(run, raw, _classes(run, len(raw))).T.tolist()
    named = [(h, typed(h, column)) for h, column in zip(_header(run), columns, strict=True)]
    places = [range(size) for size in raw.shape[:-1]]
    index = pandas.MultiIndex.from_product(places) if len(places) > 1 else None
    return pandas.DataFrame({h.name: pandas.Series(c, index) for h, c in named}, index)


def typed(heading: Heading, values: list[float]) -> Any:
    """Raw values as a column of the type that the data's column has."""
    import pandas

    cells, dtype = heading.typed(values), heading.dtype
    if heading.dates is not None and heading.dates.format != COMPACT:
        moments = pandas.Series(pandas.to_datetime(cells))
        if "UTC" in dtype:
            moments = moments.dt.tz_localize("UTC")
        plain = dtype.startswith("datetime64[") and ", " not in dtype
        return moments.astype(dtype).array if plain else moments.array
    if dtype.startswith("timedelta64["):  # in days
        return pandas.Series(pandas.to_timedelta(cells, "D")).astype(dtype).array
    if dtype.startswith("category"):
        names = heading.typed(range(len(heading.values)))
        return pandas.Categorical(cells, names, ordered=dtype.endswith("ordered"))
    try:
        return pandas.array(cells, dtype) if dtype else cells
    except (TypeError, ValueError):  # a type of another version, or a name that is none of it
        return cells


def _header(run: Run) -> list[Heading]:
    spec = run.spec
    label = [Heading(spec.label or "class", spec.classes)] if _has_classes(run) else []
    return [*spec.headings, *label]


def _has_classes(run: Run) -> bool:
    return run.condition is not None and run.spec.condition == "labels"


def _classes(run: Run, n: int) -> Tensor:
    """Class that the run was conditioned on for each of n examples, (n, 1); (n, 0) without any."""
    return (
        run._condition_for(n)[0].argmax(1, keepdim=True).cpu()
        if _has_classes(run)
        else torch.empty(n, 0)
    )


def _numbers(run: Run, part: Tensor, classes: Tensor) -> Tensor:
    """Flatten (B, …, D) to rows, each with the class of its first index."""
    flat = part.cpu().reshape(-1, run.spec.dims).float()
    of = classes.repeat_interleave(len(flat) // max(1, len(part)), 0)
    return torch.cat([flat, of.float()], 1)
