"""Figures that can be trusted: each an `Estimate` with its standard error, on plain tensors.

Bounds (`weigh`, `anneal`, `sandwich`), the split of the rate and the layers take a model; all the
rest knows of none: give codes, draws, factors, images and features. Lengths are in the units of
what was given, information in nats. `k_nearest` and `Support` are the tools the figures share.
"""

from vaelab.metrics.aggregate import RateSplit, rate_split
from vaelab.metrics.annealing import Annealed, Annealing, Sandwich, anneal, sandwich
from vaelab.metrics.classifier import ClassBalance, Classifier, class_balance
from vaelab.metrics.continuity import (
    Support,
    code_scale,
    different_class_pairs,
    hole_fraction,
    interpolation_path,
    off_support_share,
    overlap,
    own_ellipse,
    roughness,
    round_trip_error,
    round_trip_gaps,
    unreached_fraction,
)
from vaelab.metrics.discrepancy import frechet_distances, kernel_distance, mmd
from vaelab.metrics.disentanglement_figures import Disentanglement, disentanglement
from vaelab.metrics.estimate import Estimate, Threshold
from vaelab.metrics.features import FeatureSpace, NetworkFeatures, PixelFeatures
from vaelab.metrics.latent import (
    active_units,
    aggregate_kl,
    knn_accuracy,
    posterior_scale,
    rate_per_dimension,
)
from vaelab.metrics.layer import Layer, layers
from vaelab.metrics.likelihood import Weighed, weigh
from vaelab.metrics.neighbours import k_nearest, kth_distance, nearest
from vaelab.metrics.samples import (
    PRDC,
    nearest_training_distance,
    precision_recall_density_coverage,
)
from vaelab.metrics.starts import POSTERIOR, PRIOR
from vaelab.metrics.two_sample import area_under_curve, classifier_auc
from vaelab.utils.hints import missing_from

__all__ = [
    "POSTERIOR",
    "PRDC",
    "PRIOR",
    "Annealed",
    "Annealing",
    "ClassBalance",
    "Classifier",
    "Disentanglement",
    "Estimate",
    "FeatureSpace",
    "Layer",
    "NetworkFeatures",
    "PixelFeatures",
    "RateSplit",
    "Sandwich",
    "Support",
    "Threshold",
    "Weighed",
    "active_units",
    "aggregate_kl",
    "anneal",
    "area_under_curve",
    "class_balance",
    "classifier_auc",
    "code_scale",
    "different_class_pairs",
    "disentanglement",
    "frechet_distances",
    "hole_fraction",
    "interpolation_path",
    "k_nearest",
    "kernel_distance",
    "knn_accuracy",
    "kth_distance",
    "layers",
    "mmd",
    "nearest",
    "nearest_training_distance",
    "off_support_share",
    "overlap",
    "own_ellipse",
    "posterior_scale",
    "precision_recall_density_coverage",
    "rate_per_dimension",
    "rate_split",
    "roughness",
    "round_trip_error",
    "round_trip_gaps",
    "sandwich",
    "unreached_fraction",
    "weigh",
]

__getattr__ = missing_from(__name__, __all__)
