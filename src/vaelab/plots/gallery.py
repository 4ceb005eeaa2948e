"""The gallery of a run: samples, reconstructions, variations, interpolations, maps and curves.

Every function takes the run and its data and returns a picture with its caption, or None if the
picture does not fit the run. The examples are held out, and chosen by seed 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vaelab import plots
from vaelab.core import fork_rng, permutation
from vaelab.data import Data, broadcast_condition, example_condition
from vaelab.distributions import Normal
from vaelab.metrics.mean_code import ASTRAY, excess_at_mean
from vaelab.plots import Picture
from vaelab.plots.renderers import find_renderer
from vaelab.plots.scaling import run_title, to_display
from vaelab.training.record import NAMES, USED, layers
from vaelab.utils.progress import counted

if TYPE_CHECKING:
    from vaelab.runs.run import Run

MOST_CODES = 4000
MOST_DIMENSIONS = 16
MOST_LAYERS = 10
"""Layers whose rates are drawn, those of the highest rate: one colour each."""
REACH = 3.0  # standard deviations that a traversal goes to either side
SIDE = 20
"""Images across and up a manifold."""

Shown = tuple[Picture, str] | None


def save_gallery(run: Run, data: Data, folder: Path) -> list[tuple[Path, str]]:
    """Draw every picture that fits the run into a folder, each above a strip with its caption.

    A picture of the same name that no longer fits the run is removed.

    Returns:
        Path and caption of each picture, in the order of `PICTURES`.
    """
    made = []
    for name, draw in PICTURES.items():
        path = folder / name
        drawn = draw(run, data)
        if drawn is None:
            path.unlink(missing_ok=True)
            continue
        picture, caption = drawn
        strip = plots.captioned(picture, caption, run_title(run))
        made.append((plots.save(strip, path), caption))
    return made


def samples(run: Run, data: Data) -> Shown:
    """Samples: decoded draws from the prior."""
    how = find_renderer(run.spec)
    n = how.new
    which = places(data, n)
    known = conditioned(run, data, which[torch.arange(n) % len(which)])
    picture, legend = how.samples(known.sample(n), data.train.x[:MOST_CODES])
    point = "" if run.has_rate else "; an autoencoder is not trained to decode them"
    return picture, f"{counted(n, 'sample')}: decoded draws from the prior{point}{legend}"


def reconstructions(run: Run, data: Data) -> Shown:
    """Held-out examples above their reconstructions."""
    how = find_renderer(run.spec)
    run, raw = held_out(run, data, how.kept)
    picture, caption = how.comparison(raw, run.reconstruct(raw))
    warning = ""
    if run.spec.is_image and astray(run, raw):
        warning = (
            "; posterior means, which they decode, come out far worse than posterior draws "
            "(variations.png): train longer"
        )
    return picture, f"{caption}{warning}"


def astray(run: Run, raw: Tensor) -> bool:
    """True if the means of some images decode far worse than draws of their posteriors."""
    if not run.has_rate or len(raw) < 2:
        return False
    x = run.spec.prepare(raw).to(run.device)
    known = broadcast_condition(run.spec, run.condition, len(x))
    condition = tuple(c.to(run.device) for c in known)
    with fork_rng(0, run.device):
        excess = excess_at_mean(run.model, x, condition, lambda likelihood: likelihood.mean, x)
    return float(excess.mean() - 2 * excess.std() / len(excess) ** 0.5) > ASTRAY


def variations(run: Run, data: Data) -> Shown:
    """Variations: decoded draws from the posteriors of held-out examples."""
    if not run.has_rate:
        return None
    how = find_renderer(run.spec)
    n, across = how.varied
    run, raw = held_out(run, data, n)
    picture, caption = how.variations(raw, run.vary(raw, across))
    return picture, f"{caption}, decoded posterior draws"


def interpolation(run: Run, data: Data) -> Shown:
    """Interpolations: straight lines between the codes of held-out pairs, decoded."""
    order = places(data, 2 * find_renderer(run.spec).interpolated)
    half = len(order) // 2
    if half == 0:
        return None
    x, pairs = data.test.x, order[: 2 * half].view(2, half).T
    made = torch.stack([conditioned(run, data, pair).interpolate(*x[pair]) for pair in pairs])
    return find_renderer(run.spec).interpolations(made)


def training(run: Run, data: Data) -> Shown:
    """Training curves: loss, rate and distortion by epoch."""
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
    """Map of the posterior means in two latent dimensions, by class."""
    if not flat(run):
        return None
    held = [
        split.take(torch.arange(min(MOST_CODES, len(split)))) for split in (data.test, data.valid)
    ]
    raw = torch.cat([split.x[:] for split in held])[:MOST_CODES]
    y = [split.y for split in held if split.y is not None]
    labels = torch.cat(y)[:MOST_CODES] if y else None
    known = zip(*(run.spec.tell(split.known(run.spec)) for split in held), strict=True)
    condition = tuple(torch.cat(parts)[:MOST_CODES] for parts in known)
    with torch.no_grad():
        posterior = run.model(run.spec.prepare(raw), condition=condition).sites[0].posterior
    sigma = posterior.sigma.numpy() if isinstance(posterior, Normal) else None
    seen = None if labels is None else labels.numpy()
    by_class = "" if labels is None else " by class"
    title = f"posterior means{by_class}"
    mu = posterior.mean.numpy()
    picture = plots.latent_map(mu, sigma, seen, run.spec.classes, title=title)
    ellipses = "" if sigma is None else "; ellipses: some posteriors at 1 and 2 σ"
    return picture, f"{len(raw):,} held-out {title}; circles: N(0, I) at 1 and 2 σ{ellipses}"


def manifold(run: Run, data: Data) -> Shown:
    """Manifold: images decoded from a grid of two latent dimensions."""
    if not flat(run) or not run.spec.is_image:
        return None
    line = torch.special.ndtri((torch.arange(SIDE) + 0.5) / SIDE)
    z = torch.cartesian_prod(-line, line).flip(1)  # the top row is the largest second coordinate
    grid = "the prior's quantiles"
    if not run.has_rate:  # nothing holds the codes of an autoencoder to the prior
        z = torch.tensor(run.codes.mean) + z * torch.tensor(run.codes.spread)
        grid = "quantiles of the codes' spread"
    (left, low), (right, high) = z.min(0).values.tolist(), z.max(0).values.tolist()
    run, of_class = first(run)
    picture = plots.manifold(to_display(run.decode(z), run.spec), SIDE)
    ends = f"left to right z0 from {left:.2f} to {right:.2f}, bottom to top z1 from {low:.2f}"
    return picture, f"decoded codes at {grid}: {ends} to {high:.2f}{of_class}".replace(" -", " −")


def traversal(run: Run, data: Data) -> Shown:
    """Traversal: one latent dimension a row, the others at their means."""
    if flat(run) and run.spec.is_image:
        return None
    run, of_class = first(run)
    picture, caption = traverse(run, MOST_DIMENSIONS, find_renderer(run.spec).steps)
    return picture, caption + of_class


def traverse(
    run: Run, most: int, steps: int = 9, start: Tensor | None = None
) -> tuple[Picture, str]:
    """Traverse the dimensions of the highest rate, one a row; inactive ones are faded.

    Args:
        run: a trained run.
        most: dimensions, at most.
        steps: positions on each, from −3 to 3 standard deviations.
        start: the code that is moved, (L,); by default the mean code.
    """
    order = run.codes.order[:most]
    made = run.traverse(order, steps, start=start, reach=REACH)
    rates = run.codes.rate
    names = [f"z{j}" if rates is None else f"z{j}  {rates[j]:.2f}" for j in order]
    active = [run.codes.active[j] for j in order]
    deviations = torch.linspace(-REACH, REACH, steps).tolist()
    picture, n, place = find_renderer(run.spec).traversal(made, names, active, deviations)
    by = "spread" if rates is None else f"rate (nats, {place})"
    idle = "" if all(active[:n]) else "; inactive ones faded"
    reach = f"left to right −{REACH:g} σ to {REACH:g} σ"
    return picture, f"{n} of {run.latent} latent dimensions by {by}, {reach}{idle}"


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
    """True if the latents are one site of two dimensions."""
    return run.shapes == ((2,),)


def held_out(run: Run, data: Data, n: int) -> tuple[Run, Tensor]:
    """Held-out rows, and the run conditioned on them."""
    which = places(data, n)
    return conditioned(run, data, which), data.test.x[which]


def conditioned(run: Run, data: Data, which: Tensor) -> Run:
    """The run, conditioned on some held-out rows if it is conditional."""
    known = data.test.known(run.spec)
    return run if known is None else replace(run, condition=run.spec.tell(known[which])[0])


def first(run: Run) -> tuple[Run, str]:
    """The run, under one condition for all examples if it is conditional, and its description."""
    condition, words = example_condition(run.spec)
    return (replace(run, condition=condition[0]), f", all {words}") if condition else (run, "")


def places(data: Data, n: int) -> Tensor:
    """Indices of n held-out rows, in an order fixed by seed 0 in which classes take turns."""
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
