"""Settings of an evaluation, and the figures that depend on each of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from vaelab.evaluation.definitions import DEFINITIONS
from vaelab.metrics.annealing import Annealing
from vaelab.utils.validation import Count, check_fields

Part = Literal["likelihood", "latent", "samples"]
PARTS: tuple[Part, ...] = ("likelihood", "latent", "samples")


@dataclass(frozen=True)
class Settings:
    """Settings of an evaluation.

    Attributes:
        samples: K, draws of z for each x behind the likelihood.
        seed: seed of every draw, and of the binarization of grey data.
        parts: groups of figures to compute.
        features: feature space of the comparison of samples: auto, classifier, pixels, inception or
            FILE.py:function.
        draw: compare draws from the likelihood instead of its means, as for tables in any case.
        annealing: settings of AIS; None leaves it out.
        annealed: number of examples to anneal, and to simulate for the sandwich.
        factors: set codes against the factors of variation, or the labels.
    """

    samples: Count = 1000
    seed: int = 0
    parts: tuple[Part, ...] = PARTS
    features: str = "auto"
    draw: bool = False
    annealing: Annealing | None = None
    annealed: Annotated[int, Meta(ge=2)] = 100
    factors: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.parts and not self.factors:
            raise ValueError(f"parts is empty; name one or more of {', '.join(PARTS)}")

    @property
    def facts(self) -> dict[str, Any]:
        """Settings that figures depend on, for evaluation.json."""
        how = self.annealing
        return {
            "samples": self.samples,
            "seed": self.seed,
            "annealing": None
            if how is None
            else {
                "examples": self.annealed,
                "steps": how.steps,
                "chains": how.chains,
                "leapfrogs": how.leapfrogs,
                "start": "q(z|x)",
            },
        }


def _group(name: str) -> tuple[str, ...]:
    return tuple(figure for figure, about in DEFINITIONS.items() if about.group == name)


_BALLS = ("precision", "recall", "density", "coverage")
_SPLIT = ("split_rate", "information", "total_correlation", "dimension_wise", "mismatch")

MEASURED_WITH: dict[str, tuple[str, ...]] = {
    "samples": ("nll", "bits", "ess", "slack", "nll_excess"),
    "annealing": ("nll_ais", "nll_excess", "bdmc_gap"),
    "train": (*_SPLIT, "nearest_sample", "nearest_held"),
    # Of the rows that are drawn, of the classifier and of the principal components.
    "seed": _group("samples"),
    "features": tuple(f for f in _group("samples") if f not in ("confidence", "balance")),
    "output": _group("samples"),
    "sample_count": _group("samples"),
    "neighbours": _BALLS,
} | {
    f"disentanglement.{name}": _group("factors")
    for name in ("factors", "table", "points", "seeds", "bins", "regressor", "votes")
}
"""Settings, by their place in evaluation.json, and the figures that need them to be the same.

The rows are not among them: `compare` refuses evaluations of different rows.
"""


@dataclass(frozen=True)
class Unlike:
    """A setting that two evaluations do not share.

    Attributes:
        setting: name of the setting.
        values: value in each evaluation.
        figures: figures of both that cannot be compared.
    """

    setting: str
    values: tuple[Any, Any]
    figures: tuple[str, ...]


def unlike(one: Mapping[str, Any], two: Mapping[str, Any]) -> list[Unlike]:
    """Settings in which two evaluations, as in evaluation.json, differ."""
    both = one["figures"].keys() & two["figures"].keys()
    found = []
    for place, figures in MEASURED_WITH.items():
        values = _at(one, place), _at(two, place)
        met = tuple(name for name in figures if name in both)
        if met and values[0] != values[1]:
            found.append(Unlike(place.rpartition(".")[2], values, met))
    return found


def _at(record: Mapping[str, Any], place: str) -> Any:
    found: Any = record
    for name in place.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
