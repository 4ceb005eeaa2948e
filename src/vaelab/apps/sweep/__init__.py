"""`vaelab sweep`: one recipe at many settings and seeds, and the curve they draw."""

from vaelab.apps.sweep.grid import Member
from vaelab.apps.sweep.report import Setting, Sweep
from vaelab.apps.sweep.whole import sweep

__all__ = ["Member", "Setting", "Sweep", "sweep"]
