"""What is measured on an accelerator: `run.py --device cuda`, where absolute figures count too.

The same jobs as on a processor, told the device; and how many models train in the time of one.
"""

from __future__ import annotations

from typing import Any

from speed.measures import Contestant, Measure, Settings, Target


def accelerated(device: str, quick: bool) -> dict[str, Measure]:
    """Every measure by the name `--only` takes.

    Args:
        device: as torch names it.
        quick: whether it is only to be seen to work.
    """
    rows, epochs, few = (1_280, 2, 256) if quick else (60_000, 6, 12_800)
    members = 4 if quick else 64
    peer = {"batch": 128, "lr": 1e-3, "device": device}
    plan = {"batch_size": 128, "lr": 1e-3, "compile": "on", "device": device}

    def ours(job: str, epochs: int = epochs, **settings: Any) -> Contestant:
        given = {"job": job, "rows": rows, "binarize": "no", "valid": min(rows, 1_000)}
        given["plan"] = plan | {"epochs": epochs} | settings.pop("plan", {})
        return Contestant("vaelab", "speed.ours", given | settings)

    def pythae(**settings: Any) -> Contestant:
        given: Settings = {"job": "train", "net": "mlp", "rows": rows, "epochs": 2}
        return Contestant("pythae", "speed.pythae_jobs", given | peer | settings)

    alone = {"job": "train", "batch": 128, "device": device, "precision": "bf16"}
    alone |= {"blocks": 2 if quick else 9, "steps": 1 if quick else 100}
    mlp = Measure(
        "Training on an accelerator, perceptron 784-512-16-512-784",
        "ms an epoch",
        "epoch_ms",
        {
            "vaelab": ours("train", net="mlp"),
            "pythae": pythae(),
        },
        (
            Target("an epoch", "epoch_ms", "vaelab", "", 60, at_most=True),
            Target("training, against pythae", "images_per_s", "vaelab", "pythae", 40),
        ),
        f"{rows:,} MNIST images in grey, batch 128, as on a processor.",
    )
    sprint = Measure(
        "Training on an accelerator to a test −ELBO",
        "s",
        "training_s",
        {"vaelab": ours("sprint", 10, target=100.0, latent=32, plan={"lr": 2e-3})},
        (Target("training to 100 nats", "training_s", "vaelab", "", 2, at_most=True),),
        "Dynamically binarized MNIST, latent 32, ten epochs at the most; the seconds that epochs "
        "take without what the first spends on compiling.",
    )
    population = Measure(
        "A population on an accelerator",
        "ms an epoch",
        "epoch_ms",
        {
            "population": ours("population", net="mlp", members=members),
            "one": ours("population", net="mlp", members=1),
        },
        (Target(f"{members} models", "epoch_ms", "population", "one", 3, at_most=True),),
        f"{members} models of the perceptron above, trained at once.",
    )
    conv = Measure(
        "Convolutional networks on an accelerator",
        "images/s",
        "images_per_s",
        {
            "vaelab": ours("train", 3, net="conv", rows=few),
            "pythae": pythae(net="conv", rows=few),
            "convolutions alone": Contestant("vaelab", "speed.convolutions", alone),
        },
        (Target("share of the convolutions", "images_per_s", "vaelab", "convolutions alone", 0.5),),
        f"{few:,} images an epoch, pythae's networks for MNIST, batch 128, bf16. “Convolutions "
        "alone” are those of a step, forward and backward.",
    )
    return {"mlp": mlp, "sprint": sprint, "population": population, "conv": conv}
