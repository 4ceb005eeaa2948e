"""Priors fitted afterwards, to the aggregate posterior of a trained model.

q(z) = 1/N Σ_n q(z | x_n) is seldom the p(z) a model was trained under, and an autoencoder has no
p(z). If the two differ, draws of p(z) fall outside the region that the decoder was trained on;
draws of a prior fitted to q(z) do not.

A *prior estimator* defines the fit of such a prior: a frozen dataclass of settings. A new one is a
class with the decorator `kind`; the command line and the files of a run refer to it by name.
"""

from vaelab.fitted.autoregressive import FittedSequence
from vaelab.fitted.base import PRIOR_ESTIMATORS, PriorEstimator, find_prior_estimator, kind
from vaelab.fitted.flow import FittedFlow
from vaelab.fitted.mixture import FittedMixture
from vaelab.fitted.prior_swap import WithPrior, replaced
from vaelab.fitted.second_stage import SecondStage
from vaelab.fitted.storage import Fitted, find, fit_codes, keep
from vaelab.utils.hints import missing_from

__all__ = [
    "PRIOR_ESTIMATORS",
    "Fitted",
    "FittedFlow",
    "FittedMixture",
    "FittedSequence",
    "PriorEstimator",
    "SecondStage",
    "WithPrior",
    "find",
    "find_prior_estimator",
    "fit_codes",
    "keep",
    "kind",
    "replaced",
]

__getattr__ = missing_from(__name__, __all__)
