"""Trace, compile ahead of time and cache functions of tensors across processes."""

from vaelab.compile.denormals import flush_denormals
from vaelab.compile.foreign_code import foreign_part
from vaelab.compile.program import Program
from vaelab.compile.recording import recording

__all__ = ["Program", "flush_denormals", "foreign_part", "recording"]
