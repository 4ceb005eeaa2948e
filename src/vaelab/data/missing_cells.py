"""Missing cells of tables: NaN in raw rows, whatever stood for them in the source."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from vaelab.data.loading.mapped_rows import Raw, pieces
from vaelab.data.spec import DataSpec
from vaelab.data.splits import SourceData
from vaelab.utils.options import option

MODES = ("auto", "expect", "refuse")


class Missing(NamedTuple):
    """Treatment of missing cells.

    Attributes:
        accept: missing cells are modelled as such, not refused.
        expect: the model is to handle them even if the training rows have none.
        codes: values that stand for a missing cell beside those that always do.
    """

    accept: bool = True
    expect: bool = False
    codes: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Missing:
        """Read `"auto"`, `"expect"`, `"refuse"`, or codes such as `"-999"` or `"-9,unknown"`.

        Raises:
            ValueError: for an empty code.
        """
        if text in MODES:
            return cls(text != "refuse", text == "expect")
        codes = tuple(code.strip() for code in text.split(","))
        if not all(codes):
            raise ValueError(
                f"missing is {text!r}; expected {', '.join(MODES)}, or values that stand for a "
                "missing cell, as in -999 or -9,unknown"
            )
        return cls(codes=codes)

    def keeps(self, skip: bool) -> bool:
        """True if rows with missing cells are kept, also when unusable rows are left out."""
        return self.accept and (self.expect or bool(self.codes) or not skip)

    def numbers(self) -> list[float]:
        """The codes that are numbers."""
        return [number for code in self.codes if (number := _number(code)) is not None]


def policy_of(spec: DataSpec) -> str:
    """The `missing` argument of `load` that reads the data of a run again as they were."""
    return ",".join(spec.missing_codes) or ("expect" if spec.missing else "refuse")


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def mark_codes(rows: Tensor, codes: Missing) -> Tensor:
    """Rows of numbers with NaN for each code: float32 if there are codes."""
    for number in codes.numbers():
        rows = torch.where(rows == number, torch.nan, rows.float())
    return rows


def missing_shares(rows: Raw) -> tuple[float, ...]:
    """Shares of missing cells by column of rows (N, D).

    >>> missing_shares(torch.tensor([[1.0, torch.nan], [2.0, 3.0]]))
    (0.0, 0.5)
    """
    counts = torch.stack([piece.isnan().sum(0) for piece in pieces(rows)]).sum(0)
    return tuple((counts.double() / len(rows)).tolist())


def with_gaps(found: SourceData, missing: Missing) -> tuple[SourceData, bool]:
    """Mark the codes of arrays, and return True if rows may have missing cells.

    Raises:
        ValueError: if cells are missing and are to be refused, or the rows are no table.
    """
    if found.x.ndim != 2:
        if missing.expect or missing.codes:
            raise ValueError(
                f"missing cells are of tables (N, D); rows here have the shape "
                f"{tuple(found.x.shape[1:])}"
            )
        return found, False
    if missing.codes and not found.columns:
        if not isinstance(found.x, Tensor):
            raise ValueError(
                "codes of missing cells are replaced in memory, and these rows stay in their file; "
                "save them with NaN instead"
            )
        found = replace(found, x=mark_codes(found.x, missing))
    if missing.expect:
        x = found.x.float() if isinstance(found.x, Tensor) else found.x
        return replace(found, x=x), True
    if not found.x.dtype.is_floating_point:
        return found, False
    gaps = any(bool(piece.isnan().any()) for piece in pieces(found.x))
    if gaps and not missing.accept:
        row, column = _first(found.x)
        raise ValueError(
            f"row {row}, column {column}: the value is missing (NaN). Leave such rows out, fill "
            f"the values in, or model them: {option('missing', 'auto')}"
        )
    return found, gaps


def _first(rows: Raw) -> tuple[int, int]:
    start = 0
    for piece in pieces(rows):
        if (places := piece.isnan().nonzero()).numel():
            row, column = places[0].tolist()
            return start + row, column
        start += len(piece)
    raise AssertionError("no cell is missing")


def described(shares: tuple[float, ...], names: tuple[str, ...]) -> str:
    """A note on the missing cells of training rows."""
    gaps = {name: share for name, share in zip(names, shares, strict=True) if share}
    few = [f"{name} {share:.1%}" for name, share in sorted(gaps.items(), key=lambda g: -g[1])[:5]]
    more = f" and {len(gaps) - 5:,} more" if len(gaps) > 5 else ""
    total = sum(shares) / len(shares)
    return (
        f"missing cells: {total:.1%} of the training rows' cells ({', '.join(few)}{more}); the "
        f"model sees which, and its nats are of the observed ones; {option('missing', 'refuse')} "
        "refuses them"
    )
