"""`vaelab sweep`: one recipe at many settings and seeds, with its rate–distortion curve."""

from vaelab.sweep.grid import Member
from vaelab.sweep.report import Setting, Sweep
from vaelab.sweep.sweep import sweep
from vaelab.utils.callable_package import make_callable

__all__ = ["Member", "Setting", "Sweep", "sweep"]

make_callable(__name__, "vaelab.verbs.sweep:sweep")
