"""Training: one loop for every recipe."""

from vaelab.training.checkpoint import Snapshot
from vaelab.training.course import Course, Keeper, State
from vaelab.training.fit import fit
from vaelab.training.plan import Length, Plan, find_device
from vaelab.training.population import fit_population
from vaelab.training.record import Fit, Listener, Row
from vaelab.training.step import NotFinite
from vaelab.utils.hints import missing_from

__all__ = [
    "Course",
    "Fit",
    "Keeper",
    "Length",
    "Listener",
    "NotFinite",
    "Plan",
    "Row",
    "Snapshot",
    "State",
    "find_device",
    "fit",
    "fit_population",
]

__getattr__ = missing_from(__name__, __all__)
