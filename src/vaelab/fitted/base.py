"""What it takes to fit a prior to codes, and to build it again from a name and JSON settings."""

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
    """A way to fit a prior; final subclasses are frozen dataclasses of settings, kept as JSON.

    Attributes:
        name: what it is called on the command line and in files.
        of_codes: whether it is for latents of codes or classes, rather than of real numbers.
    """

    name: ClassVar[str]
    of_codes: ClassVar[bool] = False

    @abstractmethod
    def build(self, site: Site) -> Conditional:
        """The prior with nothing learned: what the tensors of a fitted one are loaded into.

        Args:
            site: the model's first latent as it was generated: z (1, …), and its own prior.
        """

    @abstractmethod
    def fit(
        self, site: Site, codes: Tensor, held_out: Tensor, progress: ProgressCallback = no_progress
    ) -> tuple[PriorEstimator, Conditional]:
        """The prior fitted to codes, with draws from torch's own generator.

        Before it comes the kind that builds it again: this one, with what it left open chosen.

        Args:
            site: as in `build`.
            codes: of training data, (N, …).
            held_out: of validation data, (M, …), to stop and to choose by; never to learn from.
            progress: progress callback.
        """


AT_ONCE = 256
"""Codes whose density is asked for at once."""

PRIOR_ESTIMATORS: dict[str, type[PriorEstimator]] = {}

K = TypeVar("K", bound=type[PriorEstimator])


def kind(cls: K) -> K:
    """Makes a kind known by its name."""
    PRIOR_ESTIMATORS[cls.name] = cls
    return cls


def find_prior_estimator(name: str) -> type[PriorEstimator]:
    """The kind of a name; dashes and underscores are alike.

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
    """A kind from its name and JSON settings, checked against its fields.

    Raises:
        ValueError: for an unknown name or setting, or one of a wrong type.
    """
    return cast(PriorEstimator, validate(settings, find_prior_estimator(name), f"the prior {name}"))


def standardizer(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log standard deviation of codes (N, …), by number, each (1, …)."""
    shift = codes.mean(0, keepdim=True)
    # A number that never changes keeps a spread above 0, so that its density is finite.
    return shift, codes.std(0, unbiased=False, keepdim=True).clamp(min=1e-6).log()


@torch.no_grad()
def nats(prior: Distribution, codes: Tensor) -> float:
    """Mean of −log p(z) over codes (N, …), of a prior of batch 1."""
    parts = [-prior.expand(len(z)).log_prob(z).double() for z in codes.split(AT_ONCE)]
    return float(torch.cat(parts).mean())
