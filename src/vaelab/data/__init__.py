"""Data: from files, arrays and known names to batches on a device."""

from .admission import admit
from .batches import Batch, Batches
from .columns import with_columns
from .condition import Known, drawn, example, of_each, typical, various, vectors
from .fields import Column
from .inputs import read_inputs, read_split
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
    "admit",
    "drawn",
    "example",
    "load",
    "of_each",
    "placing",
    "read_inputs",
    "read_split",
    "typical",
    "various",
    "vectors",
    "with_columns",
]
