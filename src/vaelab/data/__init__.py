"""Data: from files, arrays and known names to batches on a device."""

from .batches import Batch, Batches
from .columns import with_columns
from .condition import (
    Known,
    broadcast_condition,
    cli_example,
    example_condition,
    probe_conditions,
    sample_labels,
    vectors,
)
from .fields import Column
from .inputs import raw_rows, read_inputs
from .rows import Raw, Rows
from .sources import load
from .spec import DataSpec
from .splits import Data, Factors, Split
from .stream import placing

__all__ = [
    "Batch",
    "Batches",
    "Column",
    "Data",
    "DataSpec",
    "Factors",
    "Known",
    "Raw",
    "Rows",
    "Split",
    "broadcast_condition",
    "cli_example",
    "example_condition",
    "load",
    "placing",
    "probe_conditions",
    "raw_rows",
    "read_inputs",
    "sample_labels",
    "vectors",
    "with_columns",
]
