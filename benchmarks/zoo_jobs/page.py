"""docs/zoo.md: what every recipe is, from the code, and what it reached, from a run."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from vaelab.core import VAE
from vaelab.data import DataSpec
from vaelab.recipes.design import Design
from vaelab.recipes.registry import Recipe, find

MNIST = DataSpec(
    "mnist",
    (1, 28, 28),
    "uint8",
    256,
    0,
    255,
    (0.0,),
    (255.0,),
    contrast=0.84,
    sizes=(55_000, 5_000, 10_000),
)

NOTES = Path(__file__).with_name("notes.md")

HEAD = """# The zoo

Every family is one short typed function in [`recipes/`](../src/vaelab/recipes), composed of a
prior, a posterior, a likelihood, two networks and an objective. The first table is made from the
code; D is the distortion −E log p(x|z), R the rate KL(q(z|x) ‖ p(z)), both in nats per image.
"""

MEASURED = """## What they reach on MNIST

Written by `python benchmarks/zoo.py`: {epochs} epochs each, seed {seed}, batch 128, a learning rate
that falls from 0.002 as a cosine, a perceptron of two hidden layers of 512 and 16 latents unless a
recipe is made otherwise, dynamic binarization (but for `vae_gan`, which sees grey digits and whose
nats are left out); each at the defaults of its arguments. A small budget: the figures say how the
families compare here, not how far each can be taken.

−ELBO, rate and distortion: the test set, binarized once. NLL: K = 1000, its first 500 images. TC:
KL(q(z) ‖ Π q(z_j)) of 5,000. In use: latents with Var E[z_j|x] > 0.01; of quantised codes the
perplexity of a codebook (of several its geometric mean) of its K codes. Precision, recall, density
and coverage: of 2,500 samples (likelihood means) in the features of a classifier of MNIST, k = 5;
under the model's own prior | under one fitted afterwards (a mixture of 50 normals, or for discrete
codes an autoregressive network). Rows of pythae 0.1.2 have the same networks, budget and scorer,
the same learning rate (moved by the epoch), its defaults for all else; N(0, I) | its own mixture of
50.
"""


def page(found: Mapping[str, Any], theirs: Mapping[str, str], names: Sequence[str]) -> str:
    """The page of what was found, by contestant."""
    parts = [HEAD, "## What they are\n", families(names)]
    if rows := found.get("rows"):
        settings = found["settings"]
        parts += [MEASURED.format(**settings), measured(rows, theirs, names)]
        parts += [verdicts(rows)]
    return "\n".join(parts).rstrip() + "\n"


def families(names: Sequence[str]) -> str:
    """The first table, from the code alone."""
    lines = ["| recipe | family | objective | prior | posterior | good for |", "|" + "---|" * 6]
    for name in names:
        recipe = find(name)(MNIST, design=Design())
        summary, good = about(name)
        prior, posterior = parts_of(recipe.model)
        cells = (f"`{name}`", summary, formula(recipe), prior, posterior, good)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def about(name: str) -> tuple[str, str]:
    """A recipe's first line, and what it is good for."""
    words = " ".join((inspect.getdoc(find(name)) or "").split("Args:")[0].split())
    summary, _, rest = words.partition(" Good for ")
    return summary.rstrip("."), rest.split(". ")[0].rstrip(".")


def formula(recipe: Recipe) -> str:
    """Its objective in a line."""
    return recipe.objective.formula


def parts_of(model: VAE) -> tuple[str, str]:
    """The names of prior and posterior; of a hierarchy those of its levels."""
    generator = model.generator
    if hasattr(generator, "blocks"):
        kinds = [spaced(block) for block in generator.blocks]  # type: ignore[union-attr]
        levels = f"{len(kinds)} × {kinds[0]}" if len(kinds) > 1 else kinds[0]
        return levels, levels
    return spaced(generator.prior), spaced(generator.posterior)  # type: ignore[arg-type]


def spaced(module: nn.Module) -> str:
    """A class's name in words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(module).__name__).lower()


def measured(rows: Mapping[str, Any], theirs: Mapping[str, str], names: Sequence[str]) -> str:
    """The second table: each recipe, and under it its counterpart."""
    head = (
        "",
        "−ELBO",
        "NLL",
        "R",
        "D",
        "TC",
        "in use",
        "precision",
        "recall",
        "density",
        "coverage",
    )
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name in names:
        if name in rows:
            lines.append(row(f"`{name}`", rows[name]))
        for other in (key for key in rows if key.startswith(f"{name}@")):
            lines.append(row(f"`{name}`, β = {other.partition('@')[2]}", rows[other]))
        counterpart = f"pythae:{theirs.get(name)}"
        if counterpart in rows:
            lines.append(row(f"*pythae {theirs[name]}*", rows[counterpart]))
    return "\n".join(lines) + "\n"


def row(title: str, found: Mapping[str, Any]) -> str:
    """One contestant's figures."""
    if "failed" in found:
        return f"| {title} | failed: {found['failed']} |" + " |" * 9
    nats = [
        number(found.get(k)) for k in ("neg_elbo", "nll", "rate", "distortion", "total_correlation")
    ]
    samples = found["samples"]
    shares = [
        " \\| ".join(
            f"{samples[prior][figure]:.2f}" if prior in samples else "–"
            for prior in ("own", "fitted")
        )
        for figure in ("precision", "recall", "density", "coverage")
    ]
    return "| " + " | ".join([title, *nats, in_use(found), *shares]) + " |"


def in_use(found: Mapping[str, Any]) -> str:
    """Active units of all, or a codebook's perplexity of its codes; pythae's are not counted."""
    if "perplexity" in found:
        return f"{found['perplexity']:.0f} of {found['codes']} codes"
    return f"{found['active']}/{found['latent']}" if "active" in found else "–"


def number(value: float | None) -> str:
    """Nats to a hundredth."""
    return "–" if value is None else f"{value:.2f}"


def verdicts(rows: Mapping[str, Any]) -> str:
    """What was expected of the table, and whether it came out so."""
    lines = ["## What was expected\n"]

    def figure(name: str, key: str) -> float | None:
        value = rows.get(name, {}).get(key)
        return None if value is None else float(value)

    def claim(text: str, left: float | None, right: float | None) -> None:
        if left is not None and right is not None:
            verdict = "yes" if left <= right else "**no**"
            lines.append(f"- {text}: {abs(left):.2f} against {abs(right):.2f}: {verdict}")

    def coverage(name: str, prior: str) -> float | None:
        samples = rows.get(name, {}).get("samples", {})
        return -samples[prior]["coverage"] if prior in samples else None

    claim("NLL of `iwae` at most that of `vae`", figure("iwae", "nll"), figure("vae", "nll"))
    for name in ("vamp", "flow_prior", "mixture_prior"):
        claim(f"NLL of `{name}` at most that of `vae`", figure(name, "nll"), figure("vae", "nll"))
    for name in ("ae", "rae", "wae_mmd", "wae_gan"):
        claim(
            f"a fitted mixture covers more of the digits after `{name}` (coverage)",
            coverage(name, "fitted"),
            coverage(name, "own"),
        )
    curve = [
        (figure(name, "distortion"), figure(name, "total_correlation"))
        for name in ("vae", "beta_vae@2", "beta_vae")
    ]
    known = sorted((d, tc) for d, tc in curve if d is not None and tc is not None)
    for name in ("beta_tc", "factor_vae"):
        distortion = figure(name, "distortion")
        if distortion is not None and known:
            claim(
                f"total correlation of `{name}` at most that of a β-VAE of its distortion (between "
                "β = 1, 2 and 4)",
                figure(name, "total_correlation"),
                float(np.interp(distortion, *zip(*known, strict=True))),
            )
    notes = NOTES.read_text() if NOTES.exists() else ""
    return "\n".join(lines) + f"\n\n{notes}"
