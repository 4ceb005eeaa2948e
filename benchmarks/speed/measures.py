"""What is measured: the contestants of each measure, and what their ratios are to reach."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

Settings = dict[str, Any]


@dataclass(frozen=True)
class Contestant:
    """One process to start: `module` in the environment of `side`, with a job's settings.

    Attributes:
        keeps: whether it leaves a compiled program for the next time. It is then run once without
            being counted, so that what is measured is any time but the first.
        first: whether it is each time the first, which finds nothing kept.
    """

    side: str
    module: str
    settings: Settings
    keeps: bool = False
    first: bool = False


@dataclass(frozen=True)
class Target:
    """A ratio to reach, pair by pair.

    Attributes:
        title: the measure in words.
        figure: of both records.
        ours: a contestant.
        theirs: the one it is compared with; none where the figure itself is to reach the bound.
        bound: at least this, or, where `at_most`, at most this.
        inverse: whether theirs is divided by ours, as for seconds.
    """

    title: str
    figure: str
    ours: str
    theirs: str
    bound: float
    at_most: bool = False
    inverse: bool = False


@dataclass(frozen=True)
class Measure:
    """Contestants that are run in turn, and the targets read off their records."""

    title: str
    unit: str
    figure: str
    contestants: dict[str, Contestant]
    targets: tuple[Target, ...] = ()
    about: str = ""
    repeats: int | None = field(default=None)


def measures(quick: bool, raced: dict[str, Settings]) -> dict[str, Measure]:
    """Every measure by the name `--only` takes.

    Args:
        quick: whether it is only to be seen to work.
        raced: the settings each side races with, found by the search.
    """
    rows, epochs = (3_200, 2) if quick else (55_000, 3)
    few = 256 if quick else 2_560
    shared = {"job": "train", "net": "mlp", "rows": rows}
    peer = {"batch": 128, "lr": 1e-3}

    def ours(net: str, rows: int, epochs: int, binarize: str, **plan: Any) -> Contestant:
        plan = {"epochs": epochs, "batch_size": 128, "lr": 1e-3} | plan
        job = {"job": "train", "net": net, "rows": rows, "valid": min(rows, 5_000)}
        job |= {"binarize": binarize, "plan": plan}
        return Contestant("vaelab", "speed.ours", job, keeps=plan["compile"] == "on")

    def pythae(**settings: Any) -> Contestant:
        return Contestant("pythae", "speed.pythae_jobs", settings)

    def bounded(**how: bool) -> Contestant:
        job = {"job": "bound", "rows": 8 if quick else 500, "samples": 1000, "how": how}
        return Contestant("vaelab", "speed.ours", job, keeps=how.get("compile", False))

    def products(precision: str) -> Contestant:
        blocks, steps = (3, 20) if quick else (9, 400)
        job = {"job": "train", "precision": precision, "batch": 128}
        return Contestant("vaelab", "speed.products", job | {"blocks": blocks, "steps": steps})

    longer = epochs + 2
    mlp = Measure(
        "Training, perceptron 784-512-16-512-784",
        "images/s",
        "images_per_s",
        {
            "vaelab": ours("mlp", rows, longer, "no", compile="on"),
            "pythae": pythae(**shared, **peer, epochs=epochs),
            "vaelab, fp32": ours("mlp", rows, longer, "no", compile="on", precision="fp32"),
            "DataLoader loop": Contestant("vaelab", "speed.loader", shared | peer),
            "vaelab, not compiled": ours("mlp", rows, longer, "no", compile="off"),
            "vaelab, the first time": replace(
                ours("mlp", rows, longer, "no", compile="on"), keeps=False, first=True
            ),
            "products alone": products("auto"),
            "vaelab, binarized": ours("mlp", rows, longer, "dynamic", compile="on"),
            "products alone, fp32": products("fp32"),
        },
        (
            Target("training, against pythae", "images_per_s", "vaelab", "pythae", 4),
            Target("training, against the loop", "images_per_s", "vaelab", "DataLoader loop", 3),
            Target("share of the products", "images_per_s", "vaelab", "products alone", 0.6),
            Target(
                "share of the products, fp32",
                "images_per_s",
                "vaelab, fp32",
                "products alone, fp32",
                0.6,
            ),
            Target("peak memory", "peak_mib", "vaelab", "pythae", 0.6, at_most=True),
        ),
        f"{rows:,} MNIST images in grey, Bernoulli/BCE, batch 128, Adam(W) with 0.001, a steady "
        "epoch after a first that warms up. Compiled programs are those kept from an earlier run, "
        "but for “the first time”. “Products alone” are the matrix products of a step, forward and "
        "backward, preallocated, in vaelab's automatic precision.",
    )
    conv = Measure(
        "Training, pythae's convolutional networks for MNIST",
        "images/s",
        "images_per_s",
        {
            "vaelab": ours("conv_as_products", few, 3, "no", compile="off"),
            "pythae": pythae(job="train", net="conv", rows=few, epochs=2, **peer),
            "vaelab, layer by layer": ours("conv", few, 3, "no", compile="on"),
            "vaelab, fp32": ours("conv_as_products", few, 3, "no", compile="off", precision="fp32"),
        },
        (Target("convolutional VAE, against pythae", "images_per_s", "vaelab", "pythae", 2),),
        f"{few:,} images an epoch, latent 16, batch 128, the same functions on both sides. "
        "vaelab's write the convolution that covers its whole map, and the one that undoes it, as "
        "the matrix products they are; “layer by layer” they are convolutions, as pythae's, in a "
        "compiled step. (Compiled, the sum over overlapping patches takes ten times the memory.)",
    )
    race = Measure(
        "Whole process to a test −ELBO",
        "s",
        "seconds",
        racers(raced) if raced else {},
        (
            Target(
                "time to the target, against pythae", "seconds", "vaelab", "pythae", 4, inverse=True
            ),
        ),
        "Dynamically binarized MNIST, latent 32, from the start of the process to the end of the "
        "first epoch whose weights reach the target on the test set, binarized once; the same "
        "scorer for both, the seconds it takes left out. Both may choose between one hidden layer "
        "and two. vaelab's compiled program is one kept from an earlier run, but for “the first "
        "time”; “as it comes” is the recipe as it is, its own plan but for epochs and rate.",
    )
    bound = Measure(
        "Importance-weighted bound, K = 1000",
        "images × samples/s",
        "pairs_per_s",
        {
            "vaelab": bounded(bf16=True, compile=True),
            "vaelab, fp32": bounded(compile=True),
            "vaelab, fp32, not compiled": bounded(),
            "pythae": pythae(job="bound", rows=4 if quick else 100, samples=1000),
        },
        (Target("importance-weighted bound", "pairs_per_s", "vaelab", "pythae", 5),),
        "The perceptron above at random weights; the networks in bf16 or fp32, likelihoods and "
        "weights always in fp32. pythae's `get_nll` "
        "with its batch of 100 or one of 1000, the better; only its time is used (it returns "
        "+log p, and its n_samples is not the number drawn unless its batch divides it).",
    )
    return {"mlp": mlp, "conv": conv, "race": race, "bound": bound}


def racers(raced: dict[str, Settings]) -> dict[str, Contestant]:
    """The two sides of the race, and vaelab in ways that it did not choose."""
    job = {"job": "race", "latent": 32}
    ours, theirs = (job | raced[side] for side in ("vaelab", "pythae"))
    plain = ours | {"net": "deep", "plan": DEFAULT}
    return {
        "vaelab": Contestant("vaelab", "speed.ours", ours, keeps=True),
        "pythae": Contestant("pythae", "speed.pythae_jobs", theirs),
        "vaelab, the first time": Contestant("vaelab", "speed.ours", ours, first=True),
        "vaelab, as it comes": Contestant("vaelab", "speed.ours", plain, keeps=True),
    }


DEFAULT = {"epochs": 8, "batch_size": 128, "lr": 3e-3, "compile": "on"}
"""The plan of the recipe's own networks: epochs enough to be below the target from any start."""


def search_settings(quick: bool) -> dict[str, list[Settings]]:
    """The settings tried before the race, by side."""
    nets = [("deep", b, lr) for b in (128, 256, 512) for lr in (1e-3, 2e-3, 4e-3)]
    nets += [("mlp", 128, 1e-3), ("mlp", 256, 2e-3)]
    plans = [("mlp", e, lr) for e in (4, 5, 6, 8) for lr in (3e-3, 4e-3)]
    plans += [("deep", 6, 3e-3), ("deep", 7, 3e-3), ("deep", 8, 2e-3)]
    theirs = [{"net": n, "batch": b, "lr": lr, "rows": 55_000} for n, b, lr in nets]
    ours = [
        {"net": n, "plan": {"epochs": e, "batch_size": 128, "lr": lr, "compile": "on"}}
        for n, e, lr in plans
    ]
    return {"vaelab": ours[:1] if quick else ours, "pythae": theirs[:1] if quick else theirs}
