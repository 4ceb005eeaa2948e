"""vaelab's side of every measure, by its public names."""

from __future__ import annotations

import time
from dataclasses import asdict, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

import vaelab
from speed import mnist, score
from speed.worker import Race, Record, Settings, answer, steady
from vaelab.data import Batches, Split
from vaelab.metrics.likelihood import importance_weighted
from vaelab.nets import MLPDecoder, MLPEncoder
from vaelab.parts.likelihoods import BernoulliLikelihood
from vaelab.parts.posteriors import DiagonalNormal
from vaelab.parts.priors import Standard
from vaelab.training import Fit, fit_population


def mlp(latent: int = 16) -> vaelab.VAE:
    """784-512-16-512-784 with ReLU: pythae's default networks."""
    encoder = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 2 * latent)
    )
    decoder = nn.Sequential(
        nn.Linear(latent, 512), nn.ReLU(), nn.Linear(512, 784), nn.Unflatten(1, (1, 28, 28))
    )
    return _vae(encoder, decoder, latent)


def conv(latent: int = 16) -> vaelab.VAE:
    """pythae's convolutional networks for MNIST; the sigmoid is the likelihood's."""
    covering = [nn.Conv2d(512, 1024, 4, 2, padding=1), nn.BatchNorm2d(1024), nn.ReLU()]
    return _conv([*covering, nn.Flatten()], nn.ConvTranspose2d(1024, 512, 3, 2, padding=1), latent)


def conv_as_products(latent: int = 16) -> vaelab.VAE:
    """The same functions, two layers of them written as the matrix products that they are."""
    covering = [nn.Flatten(), nn.Linear(512 * 3 * 3, 1024), nn.BatchNorm1d(1024), nn.ReLU()]
    return _conv(covering, Spread(), latent)


class Spread(nn.Module):
    """The first transposed convolution of `conv`: a product, summed where patches overlap."""

    def __init__(self) -> None:
        super().__init__()
        like = nn.ConvTranspose2d(1024, 512, 3, 2, padding=1)
        self.weight, self.bias = like.weight, like.bias

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        patches = h.flatten(2).mT @ self.weight.flatten(1)
        assert self.bias is not None
        return F.fold(patches.mT, (7, 7), 3, padding=1, stride=2) + self.bias[:, None, None]


def _conv(covering: list[nn.Module], spread: nn.Module, latent: int) -> vaelab.VAE:
    """Those networks around the layer that covers its whole map, 3 × 3, and its counterpart."""
    down = [
        layer
        for n, m in ((1, 128), (128, 256), (256, 512))
        for layer in (nn.Conv2d(n, m, 4, 2, padding=1), nn.BatchNorm2d(m), nn.ReLU())
    ]
    encoder = nn.Sequential(*down, *covering, nn.Linear(1024, 2 * latent))
    decoder = nn.Sequential(
        nn.Linear(latent, 1024 * 4 * 4),
        nn.Unflatten(1, (1024, 4, 4)),
        spread,
        nn.BatchNorm2d(512),
        nn.ReLU(),
        nn.ConvTranspose2d(512, 256, 3, 2, padding=1, output_padding=1),
        nn.BatchNorm2d(256),
        nn.ReLU(),
        nn.ConvTranspose2d(256, 1, 3, 2, padding=1, output_padding=1),
    )
    return _vae(encoder, decoder, latent)


def _vae(encoder: nn.Module, decoder: nn.Module, latent: int) -> vaelab.VAE:
    generator = vaelab.Shallow(Standard(latent), DiagonalNormal(), decoder, BernoulliLikelihood())
    return vaelab.VAE(encoder, generator)


NETS = {"mlp": mlp, "conv": conv, "conv_as_products": conv_as_products}


def make_plan(settings: dict[str, Any]) -> vaelab.Plan | str:
    """The plan of some settings, or why there is none: a setting this version does not have."""
    unknown = sorted(set(settings) - {f.name for f in fields(vaelab.Plan)})
    return f"Plan has no {', '.join(unknown)}" if unknown else vaelab.Plan(**settings)


def cut(data: vaelab.Data, rows: int | None, valid: int) -> vaelab.Data:
    """The first rows of the training and validation parts."""
    return replace(
        data, train=Split(data.train.x[:rows], None), valid=Split(data.valid.x[:valid], None)
    )


def train(settings: Settings) -> Record:
    """Images a second in a steady epoch."""
    plan = make_plan(settings["plan"])
    if isinstance(plan, str):
        return {"skipped": plan}
    data = cut(vaelab.load_data("mnist"), settings["rows"], settings["valid"])
    spec = replace(data.spec, binarize=settings["binarize"])
    torch.manual_seed(0)
    objective = vaelab.Distortion() + vaelab.Rate()
    started = time.perf_counter()
    result = vaelab.fit(NETS[settings["net"]](), objective, data, spec, plan)
    fit_s = time.perf_counter() - started
    epochs = [row["seconds"] for row in result.history]
    return steady(epochs, len(data.train)) | {"fit_s": fit_s, "plan": asdict(plan)}


class Judge:
    """A listener that scores every epoch's weights where they are the best so far."""

    def __init__(self, race: Race) -> None:
        self.race = race

    def on_step(self, step: int, steps: int, row: dict[str, float]) -> None:
        """Steps do not matter here."""

    def on_epoch(self, row: dict[str, float], best: Any) -> None:
        """Ends the fit, as Ctrl-C would, where the race is over."""
        if best is not None and self.race.over(best.weights):
            raise KeyboardInterrupt


def hidden(latent: int, widths: tuple[int, ...]) -> vaelab.VAE:
    """Perceptrons with hidden layers of these widths and GELU, as the recipe's."""
    encoder = MLPEncoder((1, 28, 28), 2 * latent, widths)
    return _vae(encoder, MLPDecoder(latent, (1, 28, 28), hidden=widths), latent)


DEPTHS = {"mlp": (512,), "deep": (512, 512)}


def race(settings: Settings) -> Record:
    """From nothing to a test −ELBO: weights scored every epoch."""
    plan = make_plan(settings["plan"])
    if isinstance(plan, str):
        return {"skipped": plan}
    data = vaelab.load_data("mnist")
    recipe = vaelab.recipes.vae(data.spec, latent=settings["latent"])
    x = torch.from_numpy(mnist.binarized_test())

    def evaluate(weights: dict[str, torch.Tensor]) -> float:
        return score.neg_elbo(score.of_vaelab(weights, F.gelu), x)

    contest = Race(settings["started"], evaluate, settings["target"], settings["budget"])
    model = hidden(settings["latent"], DEPTHS[settings["net"]])
    vaelab.fit(model, recipe.objective, data, recipe.data, plan, Judge(contest))
    return {"track": contest.track, "scoring_s": contest.scoring, "plan": asdict(plan)}


def sprint(settings: Settings) -> Record:
    """Seconds of training alone to a test −ELBO, without what the first epoch compiles."""
    data = vaelab.load_data("mnist")
    recipe = vaelab.recipes.vae(data.spec, latent=settings["latent"])
    x = torch.from_numpy(mnist.binarized_test())
    track: list[float] = []

    class Scores:
        """Scores every epoch's weights; the seconds of an epoch are its own."""

        def on_step(self, step: int, steps: int, row: dict[str, float]) -> None:
            """Steps do not matter here."""

        def on_epoch(self, row: dict[str, float], best: Any) -> None:
            """Ends the fit, as Ctrl-C would, at the target."""
            weights = {name: t.detach().cpu() for name, t in recipe.model.state_dict().items()}
            track.append(score.neg_elbo(score.of_vaelab(weights, F.gelu), x))
            if track[-1] <= settings["target"]:
                raise KeyboardInterrupt

    plan = vaelab.Plan(**settings["plan"])
    result = vaelab.fit(recipe.model, recipe.objective, data, recipe.data, plan, Scores())
    seconds = [row["seconds"] for row in result.history]
    warm_up = steady(seconds, len(data.train))["warm_up_s"] if len(seconds) > 1 else 0.0
    if min(track) > settings["target"]:
        return {"skipped": f"{min(track):.2f} nats at the lowest"}
    return {"training_s": sum(seconds) - warm_up, "neg_elbo": track, "warm_up_s": warm_up}


def population(settings: Settings) -> Record:
    """The seconds of a steady epoch of some models trained at once."""
    data = cut(vaelab.load_data("mnist"), settings["rows"], settings["valid"])
    spec = replace(data.spec, binarize=settings["binarize"])
    count = settings["members"]
    plans = [vaelab.Plan(**settings["plan"] | {"seed": i}) for i in range(count)]
    models = [NETS[settings["net"]]() for _ in plans]
    objectives = [vaelab.Distortion() + vaelab.Rate() for _ in plans]
    fits = fit_population(models, objectives, data, spec, plans)
    first = fits[0]
    assert isinstance(first, Fit), first
    return steady([row["seconds"] for row in first.history], len(data.train) * count)


def bound(settings: Settings) -> Record:
    """Images times samples a second of the importance-weighted bound, at random weights."""
    torch.manual_seed(0)
    model = mlp().eval()
    data = vaelab.load_data("mnist")
    spec = replace(data.spec, binarize="dynamic")

    def run(rows: int) -> float:
        batches = Batches(data.test.x[:rows], spec).fixed(rows, seed=0)
        started = time.perf_counter()
        importance_weighted(model, batches, settings["samples"], **settings["how"])
        return time.perf_counter() - started

    warm_up = run(8)  # of the very shapes of what is measured, so that those are compiled
    seconds = run(settings["rows"])
    rate = settings["rows"] * settings["samples"] / seconds
    return {"pairs_per_s": rate, "seconds": seconds, "warm_up_s": warm_up}


if __name__ == "__main__":
    jobs = (train, race, sprint, population, bound)
    answer({job.__name__: job for job in jobs})
