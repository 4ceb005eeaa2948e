"""pythae's side of every measure: its own networks, trainer and estimator, in its environment.

Nothing of pythae is changed; what it prints goes to the log and what it saves to a folder that is
thrown away. Its checkpoints come after the epochs that are timed.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from typing import Any

import torch
import torch.nn.functional as F
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.models.nn.benchmarks.mnist import Decoder_Conv_AE_MNIST, Encoder_Conv_VAE_MNIST
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, nn

from speed import mnist, score
from speed.worker import Race, Record, Settings, answer, steady


class DeepEncoder(BaseEncoder):
    """784-512-512 with GELU and two heads: vaelab's default perceptron in pythae's clothes."""

    def __init__(self, latent: int) -> None:
        BaseEncoder.__init__(self)
        self.net = nn.Sequential(nn.Linear(784, 512), nn.GELU(), nn.Linear(512, 512), nn.GELU())
        self.embedding, self.log_var = nn.Linear(512, latent), nn.Linear(512, latent)

    def forward(self, x: Tensor) -> ModelOutput:
        h = self.net(x.flatten(1))
        return ModelOutput(embedding=self.embedding(h), log_covariance=self.log_var(h))


class DeepDecoder(BaseDecoder):
    """latent-512-512-784 with GELU."""

    def __init__(self, latent: int) -> None:
        BaseDecoder.__init__(self)
        self.net = nn.Sequential(
            nn.Linear(latent, 512), nn.GELU(), nn.Linear(512, 512), nn.GELU(), nn.Linear(512, 784)
        )

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=torch.sigmoid(self.net(z)).reshape(-1, 1, 28, 28))


def make_model(net: str, latent: int) -> VAE:
    """Its VAE: `mlp` (its default networks), `conv` (its own for MNIST) or `deep` (as vaelab's)."""
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=latent, reconstruction_loss="bce")
    if net == "conv":
        return VAE(config, Encoder_Conv_VAE_MNIST(config), Decoder_Conv_AE_MNIST(config))
    if net == "deep":
        return VAE(config, DeepEncoder(latent), DeepDecoder(latent))
    return VAE(config)


def grey(rows: int | None) -> Tensor:
    """(N, 1, 28, 28) in [0, 1]."""
    return torch.tensor(mnist.images("train", rows)).unsqueeze(1).float() / 255


def run_trainer(model: VAE, data: BaseDataset, settings: Settings, watch: TrainingCallback) -> None:
    """Its default trainer, without an evaluation set: the quickest it can be."""
    with tempfile.TemporaryDirectory() as folder:
        config = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=settings["epochs"],
            learning_rate=settings["lr"],
            per_device_train_batch_size=settings["batch"],
            no_cuda=settings.get("device", "cpu") == "cpu",
        )
        BaseTrainer(model, data, training_config=config, callbacks=[watch]).train()


class Stopwatch(TrainingCallback):
    """Seconds of every epoch."""

    def __init__(self) -> None:
        self.epochs: list[float] = []
        self.started = 0.0

    def on_epoch_begin(self, training_config: BaseTrainerConfig, **_: Any) -> None:
        self.started = time.perf_counter()

    def on_epoch_end(self, training_config: BaseTrainerConfig, **_: Any) -> None:
        self.epochs.append(time.perf_counter() - self.started)


def train(settings: Settings) -> Record:
    """Images a second in a steady epoch."""
    x = grey(settings["rows"])
    data = BaseDataset(x, torch.zeros(len(x)))
    watch = Stopwatch()
    run_trainer(make_model(settings["net"], 16), data, settings, watch)
    return steady(watch.epochs, len(data))


class Over(Exception):
    """The race is over."""


class Judge(TrainingCallback):
    """Binarizes the whole set anew before each epoch, and scores the weights after it.

    One draw for the set costs less than one an image in `__getitem__`, which favours pythae.
    """

    def __init__(self, model: VAE, data: BaseDataset, x: Tensor, race: Race) -> None:
        self.model, self.data, self.x, self.race = model, data, x, race

    def on_epoch_begin(self, training_config: BaseTrainerConfig, **_: Any) -> None:
        torch.bernoulli(self.x, out=self.data.data)

    def on_epoch_end(self, training_config: BaseTrainerConfig, **_: Any) -> None:
        if self.race.over({k: t.detach() for k, t in self.model.state_dict().items()}):
            raise Over


def race(settings: Settings) -> Record:
    """From nothing to a test −ELBO, its weights scored every epoch."""
    x = grey(settings["rows"])
    data = BaseDataset(x.clone(), torch.zeros(len(x)))
    test = torch.from_numpy(mnist.binarized_test())
    activation = F.gelu if settings["net"] == "deep" else F.relu

    def evaluate(weights: dict[str, Tensor]) -> float:
        return score.neg_elbo(score.of_pythae(weights, activation), test)

    contest = Race(settings["started"], evaluate, settings["target"], settings["budget"])
    model = make_model(settings["net"], settings["latent"])
    with contextlib.suppress(Over):
        run_trainer(model, data, settings | {"epochs": 10_000}, Judge(model, data, x, contest))
    return {"track": contest.track, "scoring_s": contest.scoring}


@torch.no_grad()
def bound(settings: Settings) -> Record:
    """Images times samples a second of `get_nll`; its batch size of 100 and one of K are tried.

    It tracks gradients when called plainly; here they are off, which favours it.
    """
    torch.manual_seed(0)
    model = make_model("mlp", 16).eval()
    rows, samples = settings["rows"], settings["samples"]
    x = torch.from_numpy(mnist.binarized_test()[:rows]).reshape(-1, 1, 28, 28)
    model.get_nll(x[:2], n_samples=samples, batch_size=100)
    seconds = {}
    for batch in (100, samples):
        started = time.perf_counter()
        model.get_nll(x, n_samples=samples, batch_size=batch)
        seconds[batch] = time.perf_counter() - started
    best = min(seconds, key=lambda b: seconds[b])
    return {"pairs_per_s": rows * samples / seconds[best], "seconds": seconds, "batch": best}


if __name__ == "__main__":
    answer({"train": train, "race": race, "bound": bound})
