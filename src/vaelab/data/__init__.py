"""Data: from files, arrays and known names to batches on a device."""

from .batches import Batch, Batches
from .columns import with_columns
from .condition import Classes, of_each, vectors
from .inputs import read_inputs
from .rows import Raw, Rows
from .sources import load
from .spec import Column, DataSpec
from .splits import Data, Factors, Split
from .stream import placing

__all__ = [
    "Batch",
    "Batches",
    "Classes",
    "Column",
    "Data",
    "DataSpec",
    "Factors",
    "Raw",
    "Rows",
    "Split",
    "load",
    "of_each",
    "placing",
    "read_inputs",
    "vectors",
    "with_columns",
]
