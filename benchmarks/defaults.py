"""Compare default settings of a training by paired seeds, over data sets and lengths.

    python benchmarks/defaults.py [--sets digits …] [--steps 500 …] [--only he …] [--report]

Every job trains a VAE with one candidate setting; the same seed gives all candidates the same
data, order and noise. Results are kept in bench/defaults.json, so that the study can be interrupted
and resumed, and docs/defaults.md is written from them. VAELAB_DATA holds MNIST, Frey faces and
Omniglot.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np
import torch
from speed.places import BENCH, ROOT
from torch import nn

from vaelab import recipes
from vaelab.core import VAE
from vaelab.data import Batches, Data, load
from vaelab.nets import MLPDecoder, MLPEncoder
from vaelab.nets.init import INPUT
from vaelab.recipes.design import Design
from vaelab.training import Plan, fit
from vaelab.training.start import start

FOUND, PAGE = BENCH / "defaults.json", ROOT / "docs" / "defaults.md"
NOTES = Path(__file__).with_name("defaults_notes.md")
FOLDER = Path(os.environ.get("VAELAB_DATA", "data"))
STEPS = (500, 4_000, 40_000)
REFERENCE = "default"

Rate = Callable[[int, int], float]


def colour() -> np.ndarray:
    """4,000 patches, 32 × 32, of scikit-learn's two sample pictures at half size."""
    from sklearn.datasets import load_sample_images

    rng, patches = np.random.default_rng(0), []
    halves = [p[:426:2, :640:2] / 2 + p[1:427:2, 1:641:2] / 2 for p in load_sample_images().images]
    for i in range(4_000):
        picture = halves[i % 2]
        y, x = (rng.integers(0, side - 32) for side in picture.shape[:2])
        patches.append(picture[y : y + 32, x : x + 32].astype(np.uint8))
    return np.stack(patches)


def table() -> np.ndarray:
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer().data.astype(np.float32)


def mnist() -> Data:
    """10,000 images to train on, 2,000 to validate on."""
    data = load("mnist")
    train, valid = (
        replace(split, x=split.x[:n], y=split.y[:n])
        for split, n in ((data.train, 10_000), (data.valid, 2_000))
    )
    return replace(data, train=train, valid=valid)


SETS: dict[str, Callable[[], Data]] = {
    "digits": lambda: load("digits"),
    "mnist": mnist,
    "frey": lambda: load(np.load(FOLDER / "freyfaces" / "freyfaces.npy")),
    "omniglot": lambda: load(
        str(FOLDER / "omniglot_small" / "images_background_small1.zip"), image_size=28
    ),
    "colour": lambda: load(colour()),
    "table": lambda: load(table()),
}


def by_torch(model: VAE, train: Batches) -> None:
    """Initial weights of torch's layers, and no start at the marginal."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.reset_parameters()


def weights_only(model: VAE, train: Batches) -> None:
    """Initial weights of `nets.init`, and no start at the marginal."""


def full_input(model: VAE, train: Batches) -> None:
    """The default start, with a gain of 1 in the first layers of perceptrons too."""
    start(model, train)
    for net in model.modules():
        if isinstance(net, MLPEncoder | MLPDecoder):
            first = next(layer for layer in net.modules() if isinstance(layer, nn.Linear))
            first.weight.data.div_(INPUT)


def cosine(warmup: float) -> Rate:
    """Linear rise over a share of the steps, then a cosine to 0."""

    def rate(step: int, steps: int) -> float:
        rise = max(1, round(warmup * steps))
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / (steps - rise)))

    return rate


@dataclass(frozen=True)
class Candidate:
    """One setting of a training; fields that are not set are the defaults."""

    start: Callable[[VAE, Batches], None] = start
    rate: Rate | None = None
    plan: dict[str, Any] = field(default_factory=dict)
    adam: dict[str, float] = field(default_factory=dict)


CANDIDATES: dict[str, Candidate] = {
    "torch": Candidate(by_torch, cosine(0.1)),
    "he": Candidate(weights_only, cosine(0.1)),
    "he-bias": Candidate(rate=cosine(0.1)),
    REFERENCE: Candidate(),
    "input-1": Candidate(full_input),
    "cosine-5%": Candidate(rate=cosine(0.05)),
    "cooldown-30%": Candidate(plan={"cooldown_share": 0.3}),
    "cooldown-70%": Candidate(plan={"cooldown_share": 0.7}),
    "ema": Candidate(plan={"ema": 0.99}),
    "beta2-0.99": Candidate(adam={"BETA2": 0.99}),
    "eps-1e-4": Candidate(adam={"EPS": 1e-4}),
}


def job(data: Data, steps: int, candidate: Candidate, seed: int) -> dict[str, float]:
    """Best validation loss of one training, in nats per example."""
    recipe = recipes.vae(data.spec, design=Design(seed=seed))
    epochs = max(1, round(steps / math.ceil(len(data.train.x) / 128)))
    plan = Plan(epochs=epochs, seed=seed, precision="fp32", **candidate.plan)
    torch.manual_seed(seed)
    begun = time.perf_counter()
    with ExitStack() as stack:
        stack.enter_context(patch("vaelab.training.fit.start", candidate.start))
        if (rate := candidate.rate) is not None:
            use = lambda step, steps, *shares: rate(step, steps)  # noqa: E731
            stack.enter_context(patch("vaelab.training.fit.learning_rate", use))
        for name, value in candidate.adam.items():
            stack.enter_context(patch(f"vaelab.training.adamw.{name}", value))
        history = fit(recipe.model, recipe.objective, data, recipe.data, plan).history
    best = min(history, key=lambda row: row["valid_loss"])
    return {
        "loss": best["valid_loss"],
        "units": best["active_units"],
        "seconds": time.perf_counter() - begun,
    }


def page(found: dict[str, dict[str, float]]) -> str:
    """The page: why each default is what it is, and the tables of the study."""
    lines = [NOTES.read_text().rstrip()]
    for steps in STEPS:
        rows = []
        for name in CANDIDATES:
            cells = [_cell(found, which, steps, name) for which in SETS]
            if any(cells):
                rows.append(f"| {name} | " + " | ".join(cell or "" for cell in cells) + " |")
        if rows:
            lines += [
                f"\n## {steps:,} steps\n",
                f"| setting | {' | '.join(SETS)} |",
                f"|---|{'---|' * len(SETS)}",
                *rows,
            ]
    return "\n".join(lines) + "\n"


def _cell(found: dict[str, dict[str, float]], which: str, steps: int, name: str) -> str | None:
    """Loss of the default, or a candidate's paired difference from it, ± its standard error."""
    seeds = [seed for seed in range(100) if _key(which, steps, name, seed) in found]
    losses = [found[_key(which, steps, name, seed)]["loss"] for seed in seeds]
    if name != REFERENCE:
        pairs = [(s, found.get(_key(which, steps, REFERENCE, s))) for s in seeds]
        losses = [
            loss - other["loss"]
            for loss, (_, other) in zip(losses, pairs, strict=True)
            if other is not None
        ]
    if not losses:
        return None
    mean = statistics.fmean(losses)
    text = f"{mean:.2f}" if name == REFERENCE else f"{mean:+.2f}"
    if len(losses) > 1:
        text += f" ± {statistics.stdev(losses) / math.sqrt(len(losses)):.2f}"
    return text


def _key(which: str, steps: int, name: str, seed: int) -> str:
    return f"{which}/{steps}/{name}/{seed}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--steps", nargs="+", type=int, choices=STEPS, default=list(STEPS))
    parser.add_argument("--only", nargs="+", choices=CANDIDATES, default=list(CANDIDATES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--report", action="store_true", help="only write the page anew")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = json.loads(FOUND.read_text()) if FOUND.exists() else {}
    for steps in options.steps if not options.report else ():
        for which in options.sets:
            data = SETS[which]()
            for seed in range(options.seeds):
                for name in options.only:
                    key = _key(which, steps, name, seed)
                    if key in found:
                        continue
                    found[key] = job(data, steps, CANDIDATES[name], seed)
                    print(
                        f"{key}  {found[key]['loss']:.2f}  {found[key]['seconds']:.0f} s",
                        flush=True,
                    )
                    FOUND.parent.mkdir(exist_ok=True)
                    FOUND.write_text(json.dumps(found, indent=1))
    PAGE.write_text(page(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
