"""What a model is trained for: terms that add and scale, and bounds on the evidence."""

from vaelab.objectives.bounds import ImportanceWeighted, log_mean_exp
from vaelab.objectives.schedule import Constant, Cycles, Rise, Schedule
from vaelab.objectives.terms import Distortion, Loss, Objective, Rate, Scaled, Sum

__all__ = [
    "Constant",
    "Cycles",
    "Distortion",
    "ImportanceWeighted",
    "Loss",
    "Objective",
    "Rate",
    "Rise",
    "Scaled",
    "Schedule",
    "Sum",
    "log_mean_exp",
]
