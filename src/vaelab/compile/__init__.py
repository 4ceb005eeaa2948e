"""Functions of tensors as machine code: recorded as they run, made once, kept between processes."""

from vaelab.compile.program import Program
from vaelab.compile.recording import recording

__all__ = ["Program", "recording"]
