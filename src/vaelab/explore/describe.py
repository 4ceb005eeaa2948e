"""Description of runs for a page: maps, codes of test rows, examples, latent dimensions.

A map is the plane {o + x u + y v} of a latent space, u and v orthonormal: the two dimensions that
carry most, or the first two principal components of the codes. Its frame, a square, covers 99% of
the codes and the prior's two standard deviations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaelab.core import fork_rng, join
from vaelab.data import DataSpec, Split
from vaelab.distributions import Normal
from vaelab.explore.model import deviations
from vaelab.explore.program import Pool
from vaelab.plots.style import class_styles, printable
from vaelab.runs.run import Run

MOST_CODES, CODE_NUMBERS = 3_000, 400_000
"""Most codes of a run on a page, and most numbers of them."""

ELLIPSES = 256
"""Codes whose posterior is drawn as an ellipse."""

EXAMPLES, EXAMPLE_NUMBERS = 48, 150_000
"""Most examples on a page, and most numbers of them."""

FEW = 1_000
"""Test rows below which a map shows all rows of the data."""

ROWS = 512
MARGIN, RINGS = 1.12, 2.0


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows on a page, the same for all its runs.

    Attributes:
        split: their origin, "test" or "all".
        total: rows of that split.
        x: raw rows (N, …).
        labels: class numbers (N,), or None.
        known: conditions of the rows as `Split.known` gives them, or None.
    """

    split: str
    total: int
    x: Tensor
    labels: Tensor | None
    known: Tensor | None


def choose_rows(splits: Sequence[Split], spec: DataSpec, latent: int, most: int) -> Rows:
    """The first rows of the test split, or of all splits, test rows first, if it is small.

    Args:
        splits: training, validation and test rows.
        spec: data of the run.
        latent: largest number of latent dimensions of a run.
        most: most rows.
    """
    most = min(most, max(EXAMPLES, CODE_NUMBERS // max(1, latent)))
    name, chosen = ("test", splits[2:]) if len(splits[2].x) >= FEW else ("all", splits[::-1])
    parts: list[Split] = []
    for split in chosen:
        left = most - sum(len(part.x) for part in parts)
        if len(split.x) and left > 0:
            parts.append(split.take(torch.arange(min(left, len(split.x)))))
    labels = [part.y for part in parts if part.y is not None]
    known = [c for c in (part.known(spec) for part in parts) if c is not None]
    return Rows(
        name,
        sum(len(split.x) for split in chosen),
        torch.cat([part.x[:] for part in parts]),
        torch.cat(labels) if len(labels) == len(parts) else None,
        torch.cat(known) if len(known) == len(parts) else None,
    )


@torch.no_grad()
def encode_rows(run: Run, rows: Rows) -> tuple[Tensor, Tensor | None]:
    """Posterior means (N, L) of rows, and deviations (N, L) if all posteriors are normal."""
    codes, spreads = [], []
    condition = run.spec.tell(rows.known)
    with fork_rng(0):
        for i in range(0, len(rows.x), ROWS):
            x = run.spec.prepare(rows.x[i : i + ROWS])
            trace = run.model(
                x, temperature=0.0, condition=tuple(c[i : i + ROWS] for c in condition)
            )
            codes.append(join(trace.latents))
            spreads.append(deviations(trace))
    sigma = [s for s in spreads if s is not None]
    return torch.cat(codes), torch.cat(sigma) if len(sigma) == len(codes) else None


@torch.no_grad()
def normal_prior(run: Run) -> tuple[Tensor, Tensor] | None:
    """Mean and deviation (L,) of the prior if it is one diagonal normal; None for any other."""
    if len(run.shapes) > 1 or not run.has_rate:
        return None
    with fork_rng(0):
        prior = run.model.sample(1, condition=run.example_condition).sites[0].prior
    if not isinstance(prior, Normal):
        return None
    return prior.mu.flatten(), prior.sigma.flatten()


def describe_run(run: Run, name: str, rows: Rows | None, pool: Pool) -> dict[str, Any]:
    """Everything on a page about one run but its programs.

    Args:
        run: trained run.
        name: its title.
        rows: rows of its data, or None if they are not at hand.
        pool: place of its arrays.
    """
    codes, sigma = (None, None) if rows is None else encode_rows(run, rows)
    prior, summary = normal_prior(run), run.codes
    best = run.history[run.training.get("best_epoch", 0) - 1] if run.history else {}
    numbers = {k: best.get(f"valid_{k}") for k in ("rate", "distortion")}
    return {
        "name": name,
        "recipe": run.recipe.name,
        "latent": run.latent,
        "sites": len(run.shapes),
        "condition": run.spec.condition,
        "known": run.spec.known,
        "stochastic": run.has_rate,
        "figures": {k: v for k, v in numbers.items() if v is not None and math.isfinite(v)},
        "mean": summary.mean,
        "spread": summary.spread,
        "rate": summary.rate,
        "order": summary.order,
        "active": summary.active,
        "prior": None if prior is None else [t.tolist() for t in prior],
        "maps": maps(run, codes, prior),
        "codes": None if codes is None else pool.add(codes),
        "sigma": None if sigma is None else pool.add(sigma[:ELLIPSES]),
    }


def maps(
    run: Run, codes: Tensor | None, prior: tuple[Tensor, Tensor] | None
) -> list[dict[str, Any]]:
    """The maps of a latent space: of the most active dimensions, and of principal components."""
    mean = torch.tensor(run.codes.mean)
    if run.latent == 1:
        axis = torch.ones(1)
        return [plane_map("line", [0], mean, axis, torch.zeros(1), codes, prior)]
    pair = sorted(run.codes.order[:2])
    u, v = torch.eye(run.latent)[pair]
    found = [plane_map("plane" if run.latent == 2 else "active", pair, mean, u, v, codes, prior)]
    if run.latent > 2 and codes is not None and len(codes) > 2:
        centre = codes.mean(0)
        _, s, axes = torch.linalg.svd(codes - centre, full_matrices=False)
        share = float((s[:2] ** 2).sum() / (s**2).sum().clamp(min=1e-30))
        pca = plane_map("pca", [], centre, axes[0], axes[1], codes, prior)
        found.append(pca | {"share": share})
    return found


def plane_map(
    kind: str,
    dims: list[int],
    origin: Tensor,
    u: Tensor,
    v: Tensor,
    codes: Tensor | None,
    prior: tuple[Tensor, ...] | None,
) -> dict[str, Any]:
    """One map, JSON values.

    Args:
        kind: "line", "plane", "active" or "pca".
        dims: dimensions that it shows, if it shows some.
        origin: a code in the plane, (L,).
        u: direction of its x, (L,).
        v: direction of its y, (L,).
        codes: codes (N, L) to be covered.
        prior: mean and deviation (L,) of the prior, to be covered.
    """
    plane = torch.stack([u, v])
    origin = torch.zeros_like(origin) if kind in ("plane", "line") else origin
    ends = []
    if codes is not None and len(codes):
        at = (codes - origin) @ plane.T
        ends += [at.quantile(q, 0) for q in (0.005, 0.995)]
    else:
        ends += [torch.full((2,), -3.0), torch.full((2,), 3.0)]
    if prior is not None:
        middle = plane @ (prior[0] - origin)
        spread = RINGS * ((plane**2) @ prior[1] ** 2).sqrt()
        ends += [middle - spread, middle + spread]
    low, high = torch.stack(ends).amin(0), torch.stack(ends).amax(0)
    half = max(float((high - low).max()) / 2 * MARGIN, 1e-3)
    return {
        "kind": kind,
        "dims": dims,
        "origin": origin.tolist(),
        "u": u.tolist(),
        "v": v.tolist(),
        "centre": ((low + high) / 2).tolist(),
        "half": half,
    }


def describe_data(spec: DataSpec, rows: Rows | None, pool: Pool) -> dict[str, Any]:
    """Everything on a page about the data of its runs."""
    kind = "image" if spec.is_image else "series" if spec.is_series else "table"
    low, high = float(spec.low), float(spec.high)
    if spec.levels is not None:
        low, high = 0.0, float(spec.levels - 1)
    elif spec.domain == "unit":
        low, high = spec.offset[0], spec.offset[0] + spec.scale[0]
    described: dict[str, Any] = {
        "source": Path(spec.source).name,  # not the folders of a page's author
        "kind": kind,
        "shape": list(spec.shape),
        "low": low,
        "high": high,
        "classes": list(printable(spec.classes)) if spec.classes else [],
        "colors": [style.color for style in class_styles(max(1, len(spec.classes)))],
        "columns": [],
    }
    if kind == "table":
        described["columns"] = [
            {"name": h.name, "values": list(h.values), "decimals": h.decimals}
            for h in spec.headings
        ]
    if rows is not None:
        n = min(len(rows.x), EXAMPLES, max(8, EXAMPLE_NUMBERS // spec.dims))
        described |= {
            "split": rows.split,
            "total": rows.total,
            "count": len(rows.x),
            "labels": None if rows.labels is None else rows.labels.tolist(),
            "examples": {"count": n, "x": pool.add(rows.x[:n].float())},
        }
        if rows.known is not None and rows.known.ndim > 1:
            described["vectors"] = spec.tell(rows.known)[0][:n].tolist()
    return described
