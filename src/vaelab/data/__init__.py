"""Data: from files, arrays and known names to batches on a device."""

from .batches import Batches
from .inputs import read_inputs
from .sources import load
from .spec import DataSpec
from .splits import Data, Split

__all__ = ["Batches", "Data", "DataSpec", "Split", "load", "read_inputs"]
