r"""Claims of the argument as comparisons of measured figures, and their verdicts on this data.

    left < factor · right   or   left > factor · right,      z = |left − factor · right| / se

A comparison *holds* if the difference is in its favour by at least two standard errors, *fails* if
it is against it by as much, and is *undecided* in between. A claim has a comparison for every model
that its statement excludes: it holds if all of them hold, and fails if one fails. The standard
errors are those of the measurement, not of the training: other seeds may differ by more.
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

OTHERS = tuple(model for model in MODELS if model != "vae")


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
class Comparison:
    """left < factor · right, or > if `above`.

    Attributes:
        figure: name of the figure that is compared.
        left: the model the claim is about.
        right: the model it is compared with; None compares with `factor` itself.
        factor: factor of the right-hand side.
        above: True if left is claimed to be the larger.
    """

    figure: str
    left: str
    right: str | None
    factor: float = 1.0
    above: bool = False


@dataclass(frozen=True)
class Claim:
    """A statement of the argument.

    Attributes:
        id: its name.
        section: section of the page.
        comparisons: all of them must hold; one for every model the statement excludes.
    """

    id: str
    section: int
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True)
class Compared:
    """A comparison beside the figures.

    Attributes:
        comparison: the comparison.
        left: the figure on the left.
        right: the figure on the right, None if the comparison is with a bound.
        z: standard errors in favour of the claim; None if a figure is missing.
    """

    comparison: Comparison
    left: Figure
    right: Figure | None
    z: float | None

    @property
    def verdict(self) -> Verdict | None:
        """The verdict of two standard errors; None if a figure is missing."""
        if self.z is None:
            return None
        return "holds" if self.z >= CERTAIN else "fails" if self.z <= -CERTAIN else "undecided"

    @property
    def ratio(self) -> float | None:
        """left / right, if both exist and right is not 0."""
        if not isinstance(self.left, Estimate) or not isinstance(self.right, Estimate):
            return None
        return self.left.value / self.right.value if self.right.value else None


@dataclass(frozen=True)
class ClaimResult:
    """A claim and its comparisons at one latent size.

    Attributes:
        claim: the claim.
        latent: the latent size.
        compared: the comparisons, in the claim's order.
    """

    claim: Claim
    latent: int
    compared: tuple[Compared, ...]

    @property
    def verdict(self) -> Verdict | None:
        """Holds if all comparisons do, fails if one does; None if one could not be made."""
        verdicts = {one.verdict for one in self.compared}
        if None in verdicts:
            return None
        if "fails" in verdicts:
            return "fails"
        return "undecided" if "undecided" in verdicts else "holds"


NEAR_CHANCE = 0.2
"""Share of the way from chance to certainty within which an accuracy counts as chance."""


def claims(chance: float | None) -> tuple[Claim, ...]:
    """The argument, claim by claim, in the order of the page.

    Args:
        chance: the share of the commonest class; None without classes.
    """
    apart = Comparison("spread", "vae", "kl-only")
    collapsed: tuple[Claim, ...] = ()
    blurred: tuple[Claim, ...] = ()
    generated: tuple[Claim, ...] = ()
    if chance is not None:
        near = chance + NEAR_CHANCE * (1 - chance)
        apart = Comparison("knn_accuracy", "vae", "kl-only", above=True)
        collapsed = (_claim("kl_only_knn", 3, "knn_accuracy", "kl-only", None, factor=near),)
        without_rate = ("ae", "reconstruction-only")
        blurred = (_claim("blurs_classes", 3, "knn_accuracy", "vae", *without_rate),)
        generated = (
            _claim("balance", 5, "balance", "vae", "ae", above=True),
            _claim("confidence", 5, "confidence", "vae", "ae", above=True),
        )
    together = _claim("prior_match", 4, "mmd", "vae", "ae", "reconstruction-only")
    return (
        _claim("holes_prior", 1, "hole_prior", "vae", "ae"),
        _claim("holes_ellipse", 1, "hole_ellipse", "vae", "ae"),
        _claim("unreached", 1, "unreached", "vae", "ae"),
        _claim("spread", 2, "spread", "vae", None),
        _claim("kl_only_rate", 3, "rate", "kl-only", None, factor=0.1),
        *collapsed,
        _claim(
            "reconstruction_scale", 3, "posterior_scale", "reconstruction-only", "vae", factor=0.1
        ),
        _claim("reconstruction_overlap", 3, "overlap", "reconstruction-only", "vae"),
        Claim("together_and_apart", 3, (*together.comparisons, apart)),
        _claim("reconstructs", 3, "distortion", "ae", "vae"),
        *blurred,
        _claim("path_smoother", 4, "roughness", "vae", "ae"),
        _claim("path_support", 4, "off_support", "vae", "ae"),
        _claim("round_trip", 4, "round_trip_gaps", "vae", "ae"),
        together,
        _claim("prior_kl", 4, "aggregate_kl", "vae", "reconstruction-only"),
        _claim("samples_better", 5, "precision_coverage", "vae", *OTHERS, above=True),
        *generated,
    )


def _claim(
    name: str,
    section: int,
    figure: str,
    left: str,
    *right: str | None,
    factor: float = 1.0,
    above: bool = False,
) -> Claim:
    return Claim(
        name, section, tuple(Comparison(figure, left, one, factor, above) for one in right)
    )


def check_claim(claim: Claim, figures: Figures, latent: int) -> ClaimResult:
    """Compare the figures of one latent size as a claim asks."""
    compared = (compare(one, figures, latent) for one in claim.comparisons)
    return ClaimResult(claim, latent, tuple(compared))


def compare(one: Comparison, figures: Figures, latent: int) -> Compared:
    """Set a comparison beside the figures of one latent size."""
    left = figures[key(one.left, latent)][one.figure]
    right = None if one.right is None else figures[key(one.right, latent)][one.figure]
    if isinstance(left, Missing) or isinstance(right, Missing):
        return Compared(one, left, right, None)
    limit = Estimate(1.0, 0.0, 1) if right is None else right
    scaled = Estimate(one.factor * limit.value, one.factor * limit.se, limit.n)
    z = _z(left, scaled) if one.above else _z(scaled, left)
    return Compared(one, left, right, z)


def _z(a: Estimate, b: Estimate) -> float:
    """(a − b) in standard errors; infinite if both are exact and differ."""
    difference, se = a.value - b.value, math.hypot(a.se, b.se)
    if difference == 0:
        return 0.0
    return difference / se if se > 0 else math.copysign(math.inf, difference)
