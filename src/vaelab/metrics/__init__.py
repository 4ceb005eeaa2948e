"""Figures that can be trusted: each an `Estimate` with its standard error, on plain tensors.

Nothing here knows of models; give codes, draws, images and features. Lengths are in the units of
what was given, information in nats. `k_nearest` and `Support` are the tools the figures share.
"""

from vaelab.metrics.classifier import ClassBalance, Classifier, class_balance
from vaelab.metrics.continuity import (
    Support,
    code_scale,
    different_class_pairs,
    hole_fraction,
    off_support_share,
    overlap,
    own_ellipse,
    roughness,
    round_trip_error,
    round_trip_gaps,
    unreached_fraction,
    walk,
)
from vaelab.metrics.discrepancy import frechet_distance, kernel_distance, mmd
from vaelab.metrics.estimate import Estimate, Threshold
from vaelab.metrics.features import FeatureSpace, PixelFeatures
from vaelab.metrics.latent import (
    active_units,
    aggregate_kl,
    knn_accuracy,
    posterior_scale,
    rate_per_dimension,
)
from vaelab.metrics.neighbours import k_nearest, kth_distance, nearest
from vaelab.metrics.samples import (
    PRDC,
    nearest_training_distance,
    precision_recall_density_coverage,
)

__all__ = [
    "PRDC",
    "ClassBalance",
    "Classifier",
    "Estimate",
    "FeatureSpace",
    "PixelFeatures",
    "Support",
    "Threshold",
    "active_units",
    "aggregate_kl",
    "class_balance",
    "code_scale",
    "different_class_pairs",
    "frechet_distance",
    "hole_fraction",
    "k_nearest",
    "kernel_distance",
    "knn_accuracy",
    "kth_distance",
    "mmd",
    "nearest",
    "nearest_training_distance",
    "off_support_share",
    "overlap",
    "own_ellipse",
    "posterior_scale",
    "precision_recall_density_coverage",
    "rate_per_dimension",
    "roughness",
    "round_trip_error",
    "round_trip_gaps",
    "unreached_fraction",
    "walk",
]
