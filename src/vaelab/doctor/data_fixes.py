"""Changes of arrays, tables and flags that correct a data set."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from vaelab.doctor.data_measurements import DataMeasurements
from vaelab.doctor.findings import Fix


def named(seen: DataMeasurements, numbers: Sequence[int], most: int = 8) -> str:
    """The first few of these columns, by name or else by number, and how many more there are."""
    more = f" and {len(numbers) - most} more" if len(numbers) > most else ""
    return ", ".join(seen.data.spec.headings[j].name for j in numbers[:most]) + more


def without_columns(seen: DataMeasurements, numbers: Sequence[int]) -> Fix | None:
    """Leaving these columns out, by flag or by array."""
    spec = seen.data.spec
    if spec.header:
        flags = ",".join(f"{spec.headings[j].name}=out" for j in numbers)
        return Fix("read", f"--columns {shlex.quote(flags)}")
    if len(spec.shape) > 1 or own_splits(seen):
        return None
    return Fix("array", f"x = np.delete(x, {list(numbers)}, axis=1)")


def kept_rows(seen: DataMeasurements, condition: str) -> str:
    """Code that keeps some rows of x, and the same of y."""
    labels = "" if seen.data.train.y is None else "; y = y[keep]"
    return f"keep = {condition}; x = x[keep]{labels}"


def own_splits(seen: DataMeasurements) -> bool:
    """Return True if the source brings its own splits."""
    return not any("drawn by seed" in note for note in seen.data.notes)


def on_array(seen: DataMeasurements, code: str) -> Fix | None:
    """Change of a single array (N, D) by code; None for splits or more axes."""
    return None if own_splits(seen) or len(seen.data.spec.shape) > 1 else Fix("array", code)
