"""What is asked of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vaelab.metrics.annealing import Annealing

Part = Literal["likelihood", "latent", "samples"]
PARTS: tuple[Part, ...] = ("likelihood", "latent", "samples")


@dataclass(frozen=True)
class Settings:
    """What is measured, and how.

    Attributes:
        samples: K, draws of z for each x behind the likelihood.
        seed: of every draw, and of the binarization of grey data.
        parts: which of the figures.
        features: where samples are compared: auto, classifier, pixels, inception or
            FILE.py:function.
        draw: compare draws from the likelihood instead of its means, as for tables in any case.
        annealing: how AIS is done; None leaves it out.
        annealed: examples that are annealed, and simulated for the sandwich.
        factors: set codes against the factors of variation, or the labels.
    """

    samples: int = 1000
    seed: int = 0
    parts: tuple[Part, ...] = PARTS
    features: str = "auto"
    draw: bool = False
    annealing: Annealing | None = None
    annealed: int = 100
    factors: bool = False

    def __post_init__(self) -> None:
        for name, least in (("samples", 1), ("annealed", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be {least} or more")
