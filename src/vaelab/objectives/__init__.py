"""Training objectives: terms that add and scale, and bounds on the evidence."""

from vaelab.core.schedule import Constant, Cycles, Rise, Schedule
from vaelab.objectives.aggregate import SplitRate
from vaelab.objectives.bounds import (
    CombinedBound,
    DoublyReparameterised,
    ImportanceWeighted,
    MultiplyImportanceWeighted,
    PartiallyImportanceWeighted,
    log_mean_exp,
)
from vaelab.objectives.constraint import Constraint
from vaelab.objectives.covariance import Diagonal, OffDiagonal
from vaelab.objectives.discrepancy import MMD
from vaelab.objectives.perceptual import FeatureDistortion, StructuralDistortion
from vaelab.objectives.rates import Capacity, FreeBits
from vaelab.objectives.regularise import CodeNorm, DecoderPenalty, NormPenalisedPoint
from vaelab.objectives.steered import ReweightedPosterior
from vaelab.objectives.terms import (
    Distortion,
    FunctionObjective,
    Loss,
    Objective,
    Rate,
    Scaled,
    Sum,
)
from vaelab.utils.hints import missing_from

__all__ = [
    "MMD",
    "Capacity",
    "CodeNorm",
    "CombinedBound",
    "Constant",
    "Constraint",
    "Cycles",
    "DecoderPenalty",
    "Diagonal",
    "Distortion",
    "DoublyReparameterised",
    "FeatureDistortion",
    "FreeBits",
    "FunctionObjective",
    "ImportanceWeighted",
    "Loss",
    "MultiplyImportanceWeighted",
    "NormPenalisedPoint",
    "Objective",
    "OffDiagonal",
    "PartiallyImportanceWeighted",
    "Rate",
    "ReweightedPosterior",
    "Rise",
    "Scaled",
    "Schedule",
    "SplitRate",
    "StructuralDistortion",
    "Sum",
    "log_mean_exp",
]

__getattr__ = missing_from(__name__, __all__)
