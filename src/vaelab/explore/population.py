"""Models over the weight of the KL term: D + β R for several β ≥ 0, and R alone for β = ∞.

Finite β are a sweep, trained together; `sweep.json` in the folder lists them. The run of β = ∞ lies
beside them. Codes of neighbours are compared up to a rotation of the plane, which no objective
determines: every map is turned to fit the one before it (orthogonal Procrustes, Schönemann 1966).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from vaelab.data import Data, Split
from vaelab.explore.describe import plane_map
from vaelab.explore.program import Pool
from vaelab.recipes import kl_only, vae
from vaelab.recipes.design import Design
from vaelab.runs.load import load
from vaelab.runs.run import Run
from vaelab.runs.train import check_run_dir, train
from vaelab.sweep.report import SWEEP
from vaelab.sweep.sweep import evaluate_test_split, sweep
from vaelab.training import Plan
from vaelab.utils import atomic_files

INFINITE = "beta-inf"
FIGURES = {"distortion": "distortion", "rate": "rate", "neg_elbo": "loss"}


def read_betas(text: str) -> tuple[float, ...]:
    """Parse weights with commas between them.

    >>> read_betas("0,0.5,inf")
    (0.0, 0.5, inf)

    Raises:
        ValueError: unless they are at least 2 ascending numbers of 0 or more.
    """
    try:
        betas = tuple(float(part) for part in text.split(","))
    except ValueError:
        betas = ()
    rising = all(a < b for a, b in pairwise(betas))
    if len(betas) < 2 or not rising or not betas[0] >= 0:
        raise ValueError(
            f"--beta is {text!r}; expected ascending numbers of 0 or more, as in 0,0.1,1,10,inf"
        )
    return betas


def train_betas(
    betas: Sequence[float],
    data: Data,
    out: Path,
    *,
    latent: int,
    design: Design,
    plan: Plan,
    overwrite: bool,
) -> None:
    """Train a model for each β and save them in a folder.

    Raises:
        ValueError: if the folder is in use, or fewer than 2 weights are finite.
    """
    finite = [beta for beta in betas if math.isfinite(beta)]
    if len(finite) < 2:
        raise ValueError(f"only {len(finite)} of the weights is finite; expected 2 or more")
    check_run_dir(out / INFINITE, overwrite)
    vary: dict[str, Sequence[float]] = {"beta": finite, "latent": [latent]}
    sweep(vae, data, vary, out=out, design=design, plan=plan, overwrite=overwrite)
    if len(finite) < len(betas):
        recipe = kl_only(data.spec, latent, design=design)
        train(recipe, data, plan, out=out / INFINITE, overwrite=overwrite)


def is_population(folder: Path) -> bool:
    """Return True if a folder holds a sweep."""
    return (folder / SWEEP).is_file()


def load_betas(folder: Path) -> tuple[list[float], list[Run]]:
    """The weights of a folder and their runs, one run each, ascending.

    Raises:
        ValueError: if it is a sweep over something else.
    """
    listed = atomic_files.read_json(folder / SWEEP)
    found: dict[float, str] = {}
    for about in listed["runs"]:
        beta = about["values"].get("beta")
        if beta is None or set(about["values"]) != {"beta"}:
            names = ", ".join(about["values"]) or "seeds alone"
            raise ValueError(f"{folder} is a sweep over {names}; expected one over beta")
        if "failure" not in about:
            found.setdefault(float(beta), about["name"])
    if (folder / INFINITE).is_dir():
        found[math.inf] = INFINITE
    betas = sorted(found)
    return betas, [load(folder / found[beta]) for beta in betas]


def name(beta: float) -> str:
    """A weight as it is written.

    >>> name(0.1), name(math.inf)
    ('0.1', '∞')
    """
    return "∞" if math.isinf(beta) else f"{beta:g}"


def describe_sweep(
    betas: Sequence[float], runs: Sequence[Run], splits: tuple[Split, Split, Split]
) -> dict[str, Any]:
    """Weights and figures of the test split, in nats per example."""
    data = Data(runs[0].spec, *splits)
    measured = [evaluate_test_split(run, data) for run in runs]
    return {
        "betas": [name(beta) for beta in betas],
        "figures": [{word: row[key] for key, word in FIGURES.items()} for row in measured],
    }


def align(runs: Sequence[Run], described: Sequence[dict[str, Any]], pool: Pool) -> None:
    """Turn the first map of every run to fit that of the run before it."""
    before: torch.Tensor | None = None
    for run, about in zip(runs, described, strict=True):
        first = about["maps"][0]
        if first["kind"] != "plane" or about["codes"] is None:
            return
        codes = pool.tensors[about["codes"]].float().reshape(-1, run.latent)
        if before is not None:
            u, s, v = torch.linalg.svd(before.T @ (codes - codes.mean(0)))
            axes = u @ v if float(s.min()) > 0 else torch.eye(2)
            prior = None if about["prior"] is None else tuple(map(torch.tensor, about["prior"]))
            origin = torch.tensor(first["origin"])
            about["maps"][0] = plane_map("plane", [0, 1], origin, axes[0], axes[1], codes, prior)
        turned = torch.tensor([about["maps"][0]["u"], about["maps"][0]["v"]])
        before = (codes - codes.mean(0)) @ turned.T
