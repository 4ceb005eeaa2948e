"""Data: from files, arrays and known names to batches on a device."""

from .batches import Batches
from .columns import with_columns
from .inputs import read_inputs
from .rows import Raw, Rows
from .sources import load
from .spec import Column, DataSpec
from .splits import Data, Factors, Split
from .stream import placing

__all__ = [
    "Batches",
    "Column",
    "Data",
    "DataSpec",
    "Factors",
    "Raw",
    "Rows",
    "Split",
    "load",
    "placing",
    "read_inputs",
    "with_columns",
]
