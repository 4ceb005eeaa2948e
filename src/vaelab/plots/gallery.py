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

from vaelab import plots
from vaelab.core import permutation
from vaelab.data import Data, example_condition
from vaelab.distributions import Normal
from vaelab.plots import Picture
from vaelab.plots.renderers import find_renderer
from vaelab.plots.scaling import to_display
from vaelab.runs.run import Run
from vaelab.training.record import NAMES, USED, layers

MOST_CODES = 4000
MOST_DIMENSIONS = 16
MOST_LAYERS = 10
"""Layers whose rates are drawn, those that carry most: one line a colour."""
REACH = 3.0  # standard deviations that a traversal goes to either side
SIDE = 20
"""Images across and up a manifold."""

Shown = tuple[Picture, str] | None


def save_gallery(run: Run, data: Data, folder: Path) -> list[tuple[Path, str]]:
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
        made.append((plots.save(picture, path), caption))
    return made


def samples(run: Run, data: Data) -> Shown:
    """New examples."""
    how = find_renderer(run.data)
    n = how.new
    which = places(data, n)
    known = told(run, data, which[torch.arange(n) % len(which)])
    picture, legend = how.samples(known.sample(n), data.train.x[:MOST_CODES])
    point = "" if run.has_rate else "; an autoencoder was not trained to answer them"
    return picture, f"{n:,} new examples: draws from the prior, decoded{point}{legend}"


def reconstructions(run: Run, data: Data) -> Shown:
    """Originals over reconstructions."""
    how = find_renderer(run.data)
    run, raw = chosen(run, data, how.kept)
    return how.comparison(raw, run.reconstruct(raw))


def variations(run: Run, data: Data) -> Shown:
    """Draws from posteriors."""
    if not run.has_rate:
        return None
    how = find_renderer(run.data)
    n, across = how.varied
    run, raw = chosen(run, data, n)
    picture, caption = how.variations(raw, run.vary(raw, across))
    return picture, f"{caption}: decoded posterior draws"


def interpolation(run: Run, data: Data) -> Shown:
    """Straight walks between pairs."""
    order = places(data, 2 * find_renderer(run.data).interpolated)
    half = len(order) // 2
    if half == 0:
        return None
    x, pairs = data.test.x, order[: 2 * half].view(2, half).T
    made = torch.stack([told(run, data, pair).interpolate(*x[pair]) for pair in pairs])
    return find_renderer(run.data).interpolations(
        made
    ), "walks in latent space between held-out pairs"


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
    picture = plots.training_curves(curves, units=units)
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
    picture = plots.latent_map(posterior.mean.numpy(), sigma, seen, run.data.classes)
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
    picture = plots.manifold(to_display(run.decode(z), run.data), SIDE)
    return picture, f"{SIDE} × {SIDE} decoded codes over {where}{of_class}"


def traversal(run: Run, data: Data) -> Shown:
    """One dimension a row."""
    if flat(run) and run.data.is_image:
        return None
    run, of_class = first(run)
    picture, caption = traverse(run, MOST_DIMENSIONS, find_renderer(run.data).steps)
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
    picture, n, place = find_renderer(run.data).traversal(made, names, active, deviations)
    by = "spread" if rates is None else f"rate (nats, {place})"
    idle = "" if all(active[:n]) else ", idle ones faded"
    return picture, f"{n} of {run.latent} latent dimensions by {by}{idle}"


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
    return run if known is None else replace(run, condition=run.data.tell(known[which])[0])


def first(run: Run) -> tuple[Run, str]:
    """The run told one thing of all examples where it is conditional, and how to say so."""
    condition, words = example_condition(run.data)
    return (replace(run, condition=condition[0]), f", all {words}") if condition else (run, "")


def places(data: Data, n: int) -> Tensor:
    """Where held-out rows are, in an order fixed by seed 0; classes take turns if there are any."""
    x, y = data.test.x, data.test.y
    order = permutation(len(x), 0).tolist()
    if y is not None:
        turns: dict[int, int] = {}
        keys = {}
        for i in order:
            label = int(y[i])
            keys[i] = turns[label] = turns.get(label, 0) + 1
        order.sort(key=keys.__getitem__)
    return torch.tensor(order[:n])
