r"""Does the argument hold on this data? Claims as comparisons of measured figures.

    left < factor · right   or   left > factor · right,      z = |left − factor · right| / se

A claim *holds* if the difference is in its favour by at least two standard errors, *fails*
if it is against it by as much, and is *undecided* in between. The standard errors are those of
the measurement, not of the training: other seeds may differ by more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from vaelab.metrics import Estimate
from vaelab.understand.measure import Figure, Missing
from vaelab.understand.study import MODELS, key

Figures = Mapping[str, Mapping[str, Figure]]
"""Figures of every run: key → name → figure."""

Verdict = Literal["holds", "undecided", "fails"]

CERTAIN = 2.0
"""Standard errors that make a difference."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        figure: its name.
        unit: "nats", "share", or "none" for ratios and lengths.
        better: which way is better; None if it depends.
        collapse_wins: whether a model that says nothing of x has the best value by saying nothing,
            so that it is left out when the best is marked.
    """

    figure: str
    unit: Literal["nats", "share", "none"]
    better: Literal["low", "high"] | None
    collapse_wins: bool = False


ROWS = (
    Row("distortion", "nats", "low"),
    Row("rate", "nats", None),
    Row("neg_elbo", "nats", "low"),
    Row("posterior_scale", "none", None),
    Row("knn_accuracy", "share", "high"),
    Row("overlap", "none", None),
    Row("spread", "none", None),
    Row("hole_prior", "share", "low", collapse_wins=True),
    Row("hole_ellipse", "share", "low", collapse_wins=True),
    Row("unreached", "share", "low", collapse_wins=True),
    Row("round_trip", "none", "low"),
    Row("round_trip_gaps", "share", "low", collapse_wins=True),
    Row("aggregate_kl", "nats", "low", collapse_wins=True),
    Row("mmd", "none", "low", collapse_wins=True),
    Row("roughness", "none", "low", collapse_wins=True),
    Row("off_support", "share", "low"),
    Row("precision", "share", "high", collapse_wins=True),
    Row("recall", "share", "high"),
    Row("density", "none", "high"),
    Row("coverage", "share", "high"),
    Row("precision_coverage", "share", "high"),
    Row("confidence", "share", "high"),
    Row("balance", "share", "high"),
)


def best(row: Row, figures: Figures, latent: int) -> list[str]:
    """The models with the best value of a row, and those that measurement cannot tell from it."""
    if row.better is None:
        return []
    sign = 1 if row.better == "low" else -1
    found = {
        model: figure
        for model in MODELS
        if not (row.collapse_wins and model == "kl-only")
        and isinstance(figure := figures[key(model, latent)][row.figure], Estimate)
    }
    if not found:
        return []
    top = min(found.values(), key=lambda figure: sign * figure.value)
    return [model for model, figure in found.items() if abs(_z(figure, top)) < CERTAIN]


@dataclass(frozen=True)
class Claim:
    """left < factor · right, or > if `above`.

    Attributes:
        id: its name.
        section: section of the page.
        figure: the compared figure.
        left: the model the claim is about.
        right: the model it is compared with; None compares with `factor` itself.
        factor: on the right-hand side.
        above: whether left is claimed to be the larger.
    """

    id: str
    section: int
    figure: str
    left: str
    right: str | None
    factor: float = 1.0
    above: bool = False


@dataclass(frozen=True)
class ClaimResult:
    """A claim and its measurement.

    Attributes:
        claim: the claim.
        latent: at which size.
        left: the figure on the left.
        right: the figure on the right, None if the claim sets a bound.
        z: how many standard errors the difference is in favour of the claim; None if a figure
            is missing.
    """

    claim: Claim
    latent: int
    left: Figure
    right: Figure | None
    z: float | None

    @property
    def verdict(self) -> Verdict | None:
        """Verdict of the measurements; None if a figure is missing."""
        if self.z is None:
            return None
        return "holds" if self.z >= CERTAIN else "fails" if self.z <= -CERTAIN else "undecided"

    @property
    def ratio(self) -> float | None:
        """left / right, if both exist and right is not 0."""
        if not isinstance(self.left, Estimate) or not isinstance(self.right, Estimate):
            return None
        return self.left.value / self.right.value if self.right.value else None


def claims(chance: float | None) -> tuple[Claim, ...]:
    """The argument, claim by claim, in the order of the page.

    Args:
        chance: the share of the commonest class; None without labels.
    """
    near_chance = 1.0 if chance is None else min(1.0, 1.5 * chance)
    return (
        Claim("holes_prior", 1, "hole_prior", "vae", "ae"),
        Claim("holes_ellipse", 1, "hole_ellipse", "vae", "ae"),
        Claim("unreached", 1, "unreached", "vae", "ae"),
        Claim("spread", 2, "spread", "vae", None, factor=1.0),
        Claim("kl_only_rate", 3, "rate", "kl-only", None, factor=0.1),
        Claim("kl_only_knn", 3, "knn_accuracy", "kl-only", None, factor=near_chance),
        Claim("distinguish", 3, "knn_accuracy", "vae", "kl-only", above=True),
        Claim(
            "reconstruction_scale", 3, "posterior_scale", "reconstruction-only", "vae", factor=0.1
        ),
        Claim("reconstruction_overlap", 3, "overlap", "reconstruction-only", "vae"),
        Claim("reconstructs", 3, "distortion", "ae", "vae"),
        Claim("path_smoother", 4, "roughness", "vae", "ae"),
        Claim("path_support", 4, "off_support", "vae", "ae"),
        Claim("round_trip", 4, "round_trip_gaps", "vae", "ae"),
        Claim("prior_match", 4, "mmd", "vae", "ae"),
        Claim("prior_kl", 4, "aggregate_kl", "vae", "reconstruction-only"),
        Claim("samples_better", 5, "precision_coverage", "vae", "ae", above=True),
        Claim("balance", 5, "balance", "vae", "ae", above=True),
        Claim("confidence", 5, "confidence", "vae", "ae", above=True),
    )


def check_claim(claim: Claim, figures: Figures, latent: int) -> ClaimResult:
    """Compare a claim with the measurements at one latent size."""
    left = figures[key(claim.left, latent)][claim.figure]
    right = None if claim.right is None else figures[key(claim.right, latent)][claim.figure]
    if isinstance(left, Missing) or isinstance(right, Missing):
        return ClaimResult(claim, latent, left, right, None)
    limit = Estimate(1.0, 0.0, 1) if right is None else right
    scaled = Estimate(claim.factor * limit.value, claim.factor * limit.se, limit.n)
    z = _z(left, scaled) if claim.above else _z(scaled, left)
    return ClaimResult(claim, latent, left, right, z)


def _z(a: Estimate, b: Estimate) -> float:
    """(a − b) in standard errors; infinite if both are exact and differ."""
    difference, se = a.value - b.value, math.hypot(a.se, b.se)
    if difference == 0:
        return 0.0
    return difference / se if se > 0 else math.copysign(math.inf, difference)
