"""Functions of tensors as machine code: recorded as they run, made once, kept between processes."""

from vaelab.programs.program import Program
from vaelab.programs.recording import recording

__all__ = ["Program", "recording"]
