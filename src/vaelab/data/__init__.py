"""Data: from files, arrays and known names to batches on a device."""

from vaelab.data.loading.augment import Augment, check_augment
from vaelab.data.loading.batches import Batch, Batches
from vaelab.data.loading.mapped_rows import Raw, Rows
from vaelab.data.loading.streaming import placing
from vaelab.data.tabular.typed_columns import with_columns

from .admission import Admitted, admit
from .command_inputs import read_inputs, read_split
from .condition import (
    Known,
    broadcast_condition,
    cli_example,
    example_condition,
    probe_conditions,
    sample_labels,
    vectors,
)
from .load import Source, load
from .schema_fields import Column
from .spec import DataSpec
from .splits import Data, Factors, Split

__all__ = [
    "Admitted",
    "Augment",
    "Batch",
    "Batches",
    "Column",
    "Data",
    "DataSpec",
    "Factors",
    "Known",
    "Raw",
    "Rows",
    "Source",
    "Split",
    "admit",
    "broadcast_condition",
    "check_augment",
    "cli_example",
    "example_condition",
    "load",
    "placing",
    "probe_conditions",
    "read_inputs",
    "read_split",
    "sample_labels",
    "vectors",
    "with_columns",
]
