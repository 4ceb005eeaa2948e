"""Trace, compile ahead of time and cache functions of tensors across processes."""

from vaelab.compile.program import Program
from vaelab.compile.python_state import foreign_part
from vaelab.compile.recording import recording

__all__ = ["Program", "foreign_part", "recording"]
