"""One model of pythae on MNIST, with vaelab's default perceptron and the same budget.

Every model is made with its configuration's defaults but for the latent dimensions. The whole set
is binarized anew before each epoch. Nothing of pythae is changed; what it saves is thrown away.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from pythae import models, samplers
from pythae.data.datasets import BaseDataset, DatasetOutput
from pythae.trainers import (
    AdversarialTrainer,
    AdversarialTrainerConfig,
    BaseTrainer,
    BaseTrainerConfig,
)
from pythae.trainers.training_callbacks import TrainingCallback
from speed import mnist, score
from speed.pythae_jobs import DeepDecoder, DeepEncoder, grey
from speed.worker import Record, Settings, answer
from torch import Tensor

RATE = 2e-3
"""vaelab's default learning rate."""

OPPOSED = ("FactorVAE", "Adversarial_AE")
"""Models that pythae trains by a trainer of two optimizers."""

NORMAL = ("VAE", "BetaVAE", "IWAE", "MIWAE", "PIWAE", "CIWAE", "BetaTCVAE", "INFOVAE_MMD")
"""Those of a normal posterior under N(0, I), whose −ELBO the common scorer computes."""


class Binarize(TrainingCallback):
    """The set in black and white, drawn anew before each epoch."""

    def __init__(self, data: BaseDataset, x: Tensor) -> None:
        self.data, self.x = data, x

    def on_epoch_begin(self, training_config: BaseTrainerConfig, **_: object) -> None:
        torch.bernoulli(self.x, out=self.data.data)


def train(settings: Settings) -> Record:
    """Trains one model; its samples go to files in the folder it is given."""
    torch.manual_seed(settings["seed"])
    x, name = grey(55_000), settings["model"]
    make, configure = (
        getattr(models, name),
        getattr(models, f"{name}_Config", None) or getattr(models, f"{name}Config"),
    )
    options = {"reconstruction_loss": "bce"} if "reconstruction_loss" in fields(configure) else {}
    config = configure(input_dim=(1, 28, 28), latent_dim=16, **options)
    model = make(config, DeepEncoder(16), DeepDecoder(16))
    data = BaseDataset(x.clone(), torch.zeros(len(x)))
    started = time.perf_counter()
    fit(model, data, x, settings)
    record: Record = {"seconds": time.perf_counter() - started}
    model.eval()
    test = torch.from_numpy(mnist.binarized_test())
    state = {k: t.detach() for k, t in model.state_dict().items()}
    if name in NORMAL or name == "FactorVAE":
        record["neg_elbo"] = score.neg_elbo(score.of_pythae(state, F.gelu), test)
    record["distortion"] = distortion(model, test)
    return record | {"samples": samples(model, x, Path(settings["folder"]), settings["count"])}


def fields(configure: type) -> set[str]:
    """The names of a configuration's settings."""
    return set(getattr(configure, "__dataclass_fields__", {}))


def fit(model: models.BaseAE, data: BaseDataset, x: Tensor, settings: Settings) -> None:
    """Its own trainer, with vaelab's batch size, learning rate and schedule, moved by epochs."""
    falling = {
        "scheduler_cls": "CosineAnnealingLR",
        "scheduler_params": {"T_max": settings["epochs"]},
    }
    common = {
        "num_epochs": settings["epochs"],
        "per_device_train_batch_size": 128,
        "no_cuda": True,
        "seed": settings["seed"],
    }
    with tempfile.TemporaryDirectory() as folder:
        watch = [Binarize(data, x)]
        if settings["model"] in OPPOSED:
            adversarial = AdversarialTrainerConfig(
                output_dir=folder,
                autoencoder_learning_rate=RATE,
                discriminator_learning_rate=RATE,
                **{f"autoencoder_{name}": value for name, value in falling.items()},
                **{f"discriminator_{name}": value for name, value in falling.items()},
                **common,
            )
            AdversarialTrainer(model, data, training_config=adversarial, callbacks=watch).train()
        else:
            plain = BaseTrainerConfig(output_dir=folder, learning_rate=RATE, **falling, **common)
            BaseTrainer(model, data, training_config=plain, callbacks=watch).train()


@torch.no_grad()
def distortion(model: models.BaseAE, test: Tensor) -> float:
    """−log p(x|z) of a Bernoulli in nats, as its forward pass reconstructs."""
    total = 0.0
    for rows in test.split(1000):
        x = rows.reshape(-1, 1, 28, 28)
        if isinstance(model, models.FactorVAE):  # its forward pass halves the batch
            code = model.encoder(x)
            z = code.embedding + (code.log_covariance / 2).exp() * torch.randn_like(code.embedding)
            seen = model.decoder(z).reconstruction
        else:
            seen = model(DatasetOutput(data=x)).recon_x
        p = seen.reshape(len(rows), -1).clamp(1e-6, 1 - 1e-6)
        total += float(F.binary_cross_entropy(p, rows, reduction="sum"))
    return total / len(test)


def samples(model: models.BaseAE, x: Tensor, folder: Path, count: int) -> dict[str, str]:
    """Files of samples in [0, 1], from N(0, I) and from a mixture fitted to the codes."""
    binary = torch.bernoulli(x)
    kinds = {
        "own": samplers.NormalSampler(model),
        "fitted": samplers.GaussianMixtureSampler(
            model, samplers.GaussianMixtureSamplerConfig(n_components=50)
        ),
    }
    if isinstance(model, models.VAMP):
        kinds["own"] = samplers.VAMPSampler(model)
    files = {}
    for name, sampler in kinds.items():
        with contextlib.suppress(Exception):  # whatever a sampler of theirs cannot do
            sampler.fit(binary) if name == "fitted" else sampler.fit()
            drawn = sampler.sample(count, batch_size=500, return_gen=True)
            path = folder / f"{name}.npy"
            np.save(path, drawn.cpu().clamp(0, 1).numpy())
            files[name] = str(path)
    return files


if __name__ == "__main__":
    answer({"train": train})
