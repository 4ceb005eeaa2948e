"""Data: from files, arrays and known names to batches on a device."""

from .batches import Batches
from .inputs import read_inputs
from .rows import Raw, Rows
from .sources import load
from .spec import DataSpec
from .splits import Data, Split
from .stream import placing

__all__ = [
    "Batches",
    "Data",
    "DataSpec",
    "Raw",
    "Rows",
    "Split",
    "load",
    "placing",
    "read_inputs",
]
