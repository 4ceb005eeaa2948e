"""Trace, compile ahead of time and cache functions of tensors across processes."""

from vaelab.programs.program import Program
from vaelab.programs.python_state import foreign_part
from vaelab.programs.recording import recording

__all__ = ["Program", "foreign_part", "recording"]
