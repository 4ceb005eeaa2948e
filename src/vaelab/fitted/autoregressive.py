"""A prior over codes fitted position by position, each given those before it (1711.00937)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import Tensor

from vaelab.core import Site
from vaelab.fitted.base import PriorEstimator, kind
from vaelab.parts.autoregressive import Autoregressive, alphabet, fit_autoregressive
from vaelab.utils.progress import ProgressCallback, no_progress
from vaelab.utils.validation import Count, check_fields


@kind
@dataclass(frozen=True)
class FittedSequence(PriorEstimator):
    """A causal transformer over the positions of a code, for latents that are codes or classes.

    Attributes:
        width: of its layers, a multiple of 4.
        layers: of attention, at least 1.
        steps: of gradient descent, at least 1.
    """

    name: ClassVar[str] = "autoregressive"
    of_codes: ClassVar[bool] = True
    width: Count = 128
    layers: Count = 2
    steps: Count = 2000

    def __post_init__(self) -> None:
        check_fields(self)

    def build(self, site: Site) -> Autoregressive:
        return Autoregressive(alphabet(site.prior), site.z.shape[1], self.width, self.layers)

    def fit(
        self, site: Site, codes: Tensor, held_out: Tensor, progress: ProgressCallback = no_progress
    ) -> tuple[FittedSequence, Autoregressive]:
        prior = self.build(site).to(codes.device)
        fit_autoregressive(
            prior, codes, held_out, steps=self.steps, progress=partial(progress, "steps")
        )
        return self, prior
