"""Prior estimators: fit a prior to codes, and rebuild it from a name and JSON settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar, cast

import torch
from torch import Tensor

from vaelab.core import Conditional, Site
from vaelab.distributions import Distribution
from vaelab.utils.progress import ProgressCallback, no_progress
from vaelab.utils.text import did_you_mean
from vaelab.utils.validation import validate


class PriorEstimator(ABC):
    """Estimator of a prior; final subclasses are frozen dataclasses of settings, saved as JSON.

    Attributes:
        name: name on the command line and in files.
        of_codes: True for latents of codes or classes, False for real numbers.
    """

    name: ClassVar[str]
    of_codes: ClassVar[bool] = False

    @abstractmethod
    def build(self, site: Site) -> Conditional:
        """Build the untrained prior, into which the tensors of a fitted one are loaded.

        Args:
            site: the model's first latent in a generated example: z (1, …), and its own prior.
        """

    @abstractmethod
    def fit(
        self, site: Site, codes: Tensor, held_out: Tensor, progress: ProgressCallback = no_progress
    ) -> tuple[PriorEstimator, Conditional]:
        """Fit a prior to codes, with draws from torch's global generator.

        Returns the estimator with all open settings chosen, which rebuilds the prior, and the
        prior.

        Args:
            site: as in `build`.
            codes: codes of training data, (N, …).
            held_out: codes of validation data, (M, …), for early stopping and selection only.
            progress: progress callback.
        """


AT_ONCE = 256
"""Codes per evaluation of the density."""

PRIOR_ESTIMATORS: dict[str, type[PriorEstimator]] = {}

K = TypeVar("K", bound=type[PriorEstimator])


def kind(cls: K) -> K:
    """Register an estimator under its name."""
    PRIOR_ESTIMATORS[cls.name] = cls
    return cls


def find_prior_estimator(name: str) -> type[PriorEstimator]:
    """Estimator of a name; dashes and underscores are equivalent.

    >>> find_prior_estimator("second_stage").__name__
    'SecondStage'

    Raises:
        ValueError: for an unknown name, with the nearest ones.
    """
    known = name.replace("_", "-")
    if known not in PRIOR_ESTIMATORS:
        hint = did_you_mean(known, PRIOR_ESTIMATORS)
        raise ValueError(
            f"no kind of prior is called {name!r}.{hint} There is {', '.join(PRIOR_ESTIMATORS)}."
        )
    return PRIOR_ESTIMATORS[known]


def rebuild(name: str, settings: Mapping[str, Any]) -> PriorEstimator:
    """Build an estimator from its name and JSON settings, checked against its fields.

    Raises:
        ValueError: for an unknown name or setting, or one of a wrong type.
    """
    return cast(PriorEstimator, validate(settings, find_prior_estimator(name), f"the prior {name}"))


def standardizer(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log standard deviation of codes (N, …) by dimension, each (1, …)."""
    shift = codes.mean(0, keepdim=True)
    # A constant dimension keeps a spread above 0, so that its density is finite.
    return shift, codes.std(0, unbiased=False, keepdim=True).clamp(min=1e-6).log()


@torch.no_grad()
def nats(prior: Distribution, codes: Tensor) -> float:
    """Mean of −log p(z) over codes (N, …), for a prior of batch 1."""
    parts = [-prior.expand(len(z)).log_prob(z).double() for z in codes.split(AT_ONCE)]
    return float(torch.cat(parts).mean())
