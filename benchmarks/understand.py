"""The argument for VAEs, measured on MNIST with several seeds: does `vaelab understand` hold?

    python benchmarks/understand.py [--data mnist] [--seeds 0 1 2] [--epochs N] [--out bench]

Prints every claim with its value for each seed, the median and the spread, and writes
`understand.json`; exit status 1 where a claim does not hold at some seed. Eight models a seed:
about five minutes each on two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vaelab import __version__
from vaelab.data import load
from vaelab.metrics import Estimate
from vaelab.understand.benchmark import ground
from vaelab.understand.claims import Comparison, compare
from vaelab.understand.document import figure
from vaelab.understand.measure import Figure, measure_model, reach
from vaelab.understand.study import study
from vaelab.utils import atomic_files

CHANCE = 0.15
"""A k-NN accuracy near chance: of ten classes, the commonest has 0.11 of the rows."""

BOTH = (2, 16)
RECONSTRUCTION = "reconstruction-only"
CLAIMS: tuple[tuple[tuple[int, ...], str, Comparison], ...] = (
    ((16,), "holes under the prior", Comparison("hole_prior", "vae", "ae", 1 / 3)),
    ((16,), "holes in the own ellipse", Comparison("hole_ellipse", "vae", "ae", 1 / 3)),
    (
        (16,),
        "precision × coverage",
        Comparison("precision_coverage", "vae", "ae", 3.0, above=True),
    ),
    ((2,), "unreached", Comparison("unreached", "vae", "ae", 0.5)),
    ((2,), "class balance", Comparison("balance", "vae", "ae", above=True)),
    (BOTH, "KL only: rate", Comparison("rate", "kl-only", None, 0.1)),
    (BOTH, "KL only: k-NN", Comparison("knn_accuracy", "kl-only", None, CHANCE)),
    (
        BOTH,
        "reconstruction only: σ",
        Comparison("posterior_scale", "reconstruction-only", "vae", 0.1),
    ),
)


@dataclass(frozen=True)
class Line:
    """One claim at one latent size over seeds.

    Attributes:
        name: of the claim.
        latent: the size.
        limit: what the ratio, or the value, must stay below (or above).
        above: which.
        found: the ratio of the two figures, or the one figure, by seed.
        holds: by seed, as measured values; the doubt of each is in the JSON.
    """

    name: str
    latent: int
    limit: float
    above: bool
    found: list[float]
    holds: list[bool]


def one(source: str, seed: int, epochs: int | None) -> tuple[dict[str, dict[str, Figure]], float]:
    """Every figure of the eight models of one seed, and the seconds it took."""
    started = time.perf_counter()
    data = load(source)
    found = study(data, epochs=epochs, seed=seed)
    common = ground(data, found.run("vae", found.wide).spec, seed)
    reached = {latent: reach(common, latent) for latent in found.sizes}
    figures = {
        name: measure_model(run, common, reached[run.latent]).figures
        for name, run in found.runs.items()
    }
    return figures, time.perf_counter() - started


def line(
    latent: int, name: str, comparison: Comparison, seeds: Sequence[dict[str, dict[str, Figure]]]
) -> Line:
    """A claim over the seeds."""
    found, holds = [], []
    for figures in seeds:
        compared = compare(comparison, figures, latent)
        assert isinstance(compared.left, Estimate)
        value = compared.left.value if comparison.right is None else compared.ratio
        found.append(float("inf") if value is None else value)
        factor = comparison.factor
        holds.append(found[-1] > factor if comparison.above else found[-1] < factor)
    return Line(name, latent, comparison.factor, comparison.above, found, holds)


def table(lines: Sequence[Line]) -> str:
    """The claims as text."""
    rows = [f"{'claim':28} latent   limit   by seed"]
    for each in lines:
        sign = ">" if each.above else "<"
        values = "  ".join(f"{value:8.4f}" for value in each.found)
        middle = statistics.median(each.found)
        width = max(each.found) - min(each.found)
        verdict = "holds" if all(each.holds) else "FAILS"
        rows.append(
            f"{each.name:28} {each.latent:6}  {sign}{each.limit:6.3f}  {values}"
            f"   median {middle:.4f}  spread {width:.4f}  {verdict}"
        )
    return "\n".join(rows)


def main() -> int:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--out", type=Path, default=Path("bench"))
    args = parser.parse_args()
    seeds, seconds = [], []
    for seed in args.seeds:
        figures, took = one(args.data, seed, args.epochs)
        seeds.append(figures)
        seconds.append(round(took, 1))
        print(f"seed {seed}: {took:.0f} s", file=sys.stderr, flush=True)
    lines = [line(latent, name, each, seeds) for sizes, name, each in CLAIMS for latent in sizes]
    print(table(lines))
    report: dict[str, Any] = {
        "vaelab": __version__,
        "torch": str(torch.__version__),
        "data": args.data,
        "seeds": args.seeds,
        "epochs": args.epochs,
        "seconds": seconds,
        "claims": [vars(each) for each in lines],
        "figures": [
            {name: {k: figure(v) for k, v in found.items()} for name, found in figures.items()}
            for figures in seeds
        ],
    }
    json.dumps(report, allow_nan=False)
    args.out.mkdir(parents=True, exist_ok=True)
    atomic_files.write_json(args.out / "understand.json", report)
    return 0 if all(all(each.holds) for each in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
