"""`vaelab sweep`: one recipe at many settings and seeds, with its rate–distortion curve."""

from vaelab.sweep.grid import Member
from vaelab.sweep.report import Setting, Sweep
from vaelab.sweep.sweep import sweep

__all__ = ["Member", "Setting", "Sweep", "sweep"]
