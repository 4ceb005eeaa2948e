"""The pictures a run is left with: what it makes, what it keeps, and how it learned.

Every function takes the run and its data and returns a picture with what it shows. The rows shown
are held out, a choice fixed by seed 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from vaelab.apps import pictures
from vaelab.apps.pictures import Picture
from vaelab.apps.progress import NAMES, USED, layers
from vaelab.apps.shown import shown, span
from vaelab.data import Data, typical
from vaelab.run import Run
from vaelab.walk import Normal

MOST_CODES = 4000
MOST_DIMENSIONS = 16
MOST_LAYERS = 10
"""Layers whose rates are drawn, those that carry most: one line a colour."""
REACH = 3.0  # standard deviations that a traversal goes to either side
SIDE = 20
"""Images across and up a manifold."""

Shown = tuple[Picture, str] | None


def album(run: Run, data: Data, folder: Path) -> list[tuple[Path, str]]:
    """Draws every picture that fits the run into its folder; returns paths and captions.

    A picture of this name that does not fit the run any more is removed.
    """
    made = []
    for name, draw in PICTURES.items():
        path = folder / name
        drawn = draw(run, data)
        if drawn is None:
            path.unlink(missing_ok=True)
            continue
        picture, caption = drawn
        made.append((pictures.save(picture, path), caption))
    return made


def samples(run: Run, data: Data) -> Shown:
    """New examples."""
    n = 64 if run.data.is_image else 24
    which = places(data, n)
    known = told(run, data, which[torch.arange(n) % len(which)])
    grid = pictures.grid(shown(known.sample(n), run.data), span=span(run.data))
    point = "" if run.has_rate else "; an autoencoder was not trained to answer them"
    return grid, f"{n} new examples: draws from the prior, decoded{point}"


def reconstructions(run: Run, data: Data) -> Shown:
    """Originals over reconstructions."""
    run, raw = chosen(run, data, 20 if run.data.is_image else 8)
    picture = pictures.comparison(
        shown(raw, run.data), shown(run.reconstruct(raw), run.data), span=span(run.data)
    )
    return picture, f"{len(raw)} held-out examples above their reconstructions"


def variations(run: Run, data: Data) -> Shown:
    """Draws from posteriors."""
    if not run.has_rate:
        return None
    run, raw = chosen(run, data, 6)
    across = 8 if run.data.is_image else 4
    made = shown(run.vary(raw, across), run.data)
    picture = pictures.rows(list(made), shown(raw, run.data), span=span(run.data))
    return picture, "held-out examples at the left, variations of each: decoded posterior draws"


def interpolation(run: Run, data: Data) -> Shown:
    """Straight walks between pairs."""
    order = places(data, 12 if run.data.is_image else 6)
    half = len(order) // 2
    if half == 0:
        return None
    x, pairs = data.test.x, order[: 2 * half].view(2, half).T
    made = torch.stack([told(run, data, pair).interpolate(*x[pair]) for pair in pairs])
    return walks(run, made), "walks in latent space between held-out pairs"


def walks(run: Run, made: Tensor) -> Picture:
    """Walks (N, steps, …): images from left to right, table rows from top to bottom."""
    values = shown(made, run.data)
    lines = values if run.data.is_image else values.swapaxes(0, 1)
    return pictures.rows(list(lines), span=span(run.data))


def training(run: Run, data: Data) -> Shown:
    """Curves over epochs."""
    names = [name for name in NAMES if name in run.history[0]]
    curves: dict[str, dict[str, list[float]]] = {
        who: {name: [row[prefix + name] for row in run.history] for name in names}
        for who, prefix in (("training", ""), ("validation", "valid_"))
    }
    units = dict.fromkeys((*names, "rate by layer"), "nats") | {"active units": ""}
    used = [name for name in USED if name in run.history[0]]
    for name in used:
        curves["validation"][name.replace("_", " ")] = [row[name] for row in run.history]
    last, called = run.history[-1], layers(run.history[-1], "rate")
    carry = sorted(called, key=lambda key: -last[f"valid_{key}"])[:MOST_LAYERS]
    for key in (key for key in called if key in carry):
        curves[called[key]] = {"rate by layer": [row[f"valid_{key}"] for row in run.history]}
    caption = " and ".join(name.replace("_", " ") for name in used)
    picture = pictures.training_curves(curves, units=units)
    return picture, f"nats per example by epoch, and {caption}"


def latent_map(run: Run, data: Data) -> Shown:
    """Two latent dimensions by class."""
    if not flat(run):
        return None
    held = [
        split.take(torch.arange(min(MOST_CODES, len(split)))) for split in (data.test, data.valid)
    ]
    raw = torch.cat([split.x[:] for split in held])[:MOST_CODES]
    y = [split.y for split in held if split.y is not None]
    labels = torch.cat(y)[:MOST_CODES] if y else None
    known = zip(*(run.data.tell(split.known(run.data)) for split in held), strict=True)
    condition = tuple(torch.cat(parts)[:MOST_CODES] for parts in known)
    with torch.no_grad():
        posterior = run.model(run.data.prepare(raw), condition=condition).sites[0].posterior
    sigma = posterior.sigma.numpy() if isinstance(posterior, Normal) else None
    seen = None if labels is None else labels.numpy()
    picture = pictures.latent_map(posterior.mean.numpy(), sigma, seen, run.data.classes)
    ellipses = "" if sigma is None else ", ellipses at 1 and 2 σ"
    by_class = "" if labels is None else " by class"
    return picture, f"{len(raw):,} held-out posterior means{by_class}{ellipses}; circles: the prior"


def manifold(run: Run, data: Data) -> Shown:
    """Decoded images over two latent dimensions."""
    if not flat(run) or not run.data.is_image:
        return None
    line = torch.special.ndtri((torch.arange(SIDE) + 0.5) / SIDE)
    z = torch.cartesian_prod(-line, line).flip(1)  # the top row is the largest second coordinate
    where = "the prior's quantiles"
    if not run.has_rate:  # without a rate codes lie where they like
        z = torch.tensor(run.codes.mean) + z * torch.tensor(run.codes.spread)
        where = "quantiles of the codes' spread"
    run, of_class = first(run)
    picture = pictures.manifold(shown(run.decode(z), run.data), SIDE)
    return picture, f"{SIDE} × {SIDE} decoded codes over {where}{of_class}"


def traversal(run: Run, data: Data) -> Shown:
    """One dimension a row."""
    if flat(run) and run.data.is_image:
        return None
    run, of_class = first(run)
    picture, caption = traverse(run, MOST_DIMENSIONS, 9 if run.data.is_image else 5)
    return picture, caption + of_class


def traverse(
    run: Run, most: int, steps: int = 9, start: Tensor | None = None
) -> tuple[Picture, str]:
    """The dimensions that carry most, one a row; the rate of each beside it, idle ones faded."""
    order = run.codes.order[:most]
    made = run.traverse(order, steps, start=start, reach=REACH)
    rates = run.codes.rate
    names = [f"z{j}" if rates is None else f"z{j}  {rates[j]:.2f}" for j in order]
    active = [run.codes.active[j] for j in order]
    deviations = torch.linspace(-REACH, REACH, steps).tolist()
    picture = pictures.traversal(
        shown(made, run.data), active, names, deviations, span=span(run.data)
    )
    by = "spread" if rates is None else "rate (nats, at the left)"
    idle = "" if all(active) else ", idle ones faded"
    return picture, f"{len(order)} of {run.latent} latent dimensions by {by}{idle}"


PICTURES: dict[str, Callable[[Run, Data], Shown]] = {
    "samples.png": samples,
    "reconstructions.png": reconstructions,
    "variations.png": variations,
    "interpolation.png": interpolation,
    "training.png": training,
    "latent_map.png": latent_map,
    "manifold.png": manifold,
    "traversal.png": traversal,
}


def flat(run: Run) -> bool:
    """Whether all latents are one site of two dimensions."""
    return run.shapes == ((2,),)


def chosen(run: Run, data: Data, n: int) -> tuple[Run, Tensor]:
    """Held-out rows, and the run told what is known of them."""
    which = places(data, n)
    return told(run, data, which), data.test.x[which]


def told(run: Run, data: Data, which: Tensor) -> Run:
    """The run told what is known of some held-out rows, where it is conditional."""
    known = data.test.known(run.data)
    return run if known is None else run.given(known[which])


def first(run: Run) -> tuple[Run, str]:
    """The run told one thing of all examples where it is conditional, and how to say so."""
    condition, words = typical(run.data)
    return (replace(run, condition=condition[0]), f", all {words}") if condition else (run, "")


def places(data: Data, n: int) -> Tensor:
    """Where held-out rows are, in an order fixed by seed 0; classes take turns if there are any."""
    x, y = data.test.x, data.test.y
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0)).tolist()
    if y is not None:
        turns: dict[int, int] = {}
        keys = {}
        for i in order:
            label = int(y[i])
            keys[i] = turns[label] = turns.get(label, 0) + 1
        order.sort(key=keys.__getitem__)
    return torch.tensor(order[:n])
