r"""What was published: networks, data, training and figure of every row.

The learning rate falls in stages, each a number of passes at a share of the first rate; 1509.00519:

    3^i passes at 0.001 · 10^(−i/7),   i = 0 … 7,   3,280 in all

Fewer passes go through the same rates: a stage of n passes becomes one of n^a, with an a in [0, 1]
that makes as many as are asked for. Shrunk alike, all but the last two stages would vanish.
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from vaelab.core import VAE, Shallow
from vaelab.objectives import Distortion, ImportanceWeighted, Objective, Rate
from vaelab.parts.likelihoods import BernoulliLikelihood
from vaelab.parts.posteriors import DiagonalNormal
from vaelab.parts.priors import Standard

Stages = tuple[tuple[int, float], ...]
"""Passes, and the share of the first learning rate they are made at."""


@dataclass(frozen=True)
class Row:
    """One published figure and how it was come by.

    Attributes:
        title: of the model, as people say it.
        published: −log p(x) in nats.
        source: where it was published.
        protocol: networks and training in words.
        differences: what is not done here as it was done there.
        data: a known name.
        valid: rows taken from training where the data have no validation part.
        binarize: as in `DataSpec`.
        model: the training rows' mean image ↦ the model.
        objective: makes what is minimised.
        batch: examples in a step.
        lr: the first learning rate of Adam.
        eps: of Adam, for the gradient of a mean over the batch.
        stages: of the learning rate.
        samples: K of the figure.
        keeps_best: whether the weights kept are those of the best validation loss, or the last.
    """

    title: str
    published: float
    source: str
    protocol: str
    differences: str
    data: str
    valid: int
    binarize: str
    model: Callable[[Tensor], VAE]
    objective: Callable[[], Objective]
    batch: int
    lr: float
    eps: float
    stages: Stages
    samples: int
    keeps_best: bool

    @property
    def passes(self) -> int:
        """Over the training data, as published."""
        return sum(count for count, _ in self.stages)

    def shares(self, passes: int) -> list[float]:
        """The share of the first learning rate of every pass, where there are so many."""
        low, high = 0.0, 1.0
        for _ in range(50):
            a = (low + high) / 2
            low, high = (low, a) if sum(n**a for n, _ in self.stages) > passes else (a, high)
        lengths = [n**high for n, _ in self.stages]
        ends = [passes * end / sum(lengths) for end in accumulate(lengths)]
        stage = [bisect(ends, i + 0.5) for i in range(passes)]
        return [self.stages[i][1] for i in stage]


def chain(widths: Sequence[int], between: type[nn.Module]) -> list[nn.Module]:
    """Linear layers of the given widths and what comes between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), between()]
    return layers[:-1]


def composed(
    shape: Sequence[int], hidden: Sequence[int], latent: int, between: type[nn.Module]
) -> VAE:
    """One latent between two perceptrons, the second the mirror of the first."""
    x = math.prod(shape)
    encoder = nn.Sequential(nn.Flatten(), *chain([x, *hidden, 2 * latent], between))
    decoder = nn.Sequential(
        *chain([latent, *reversed(hidden), x], between), nn.Unflatten(1, tuple(shape))
    )
    return VAE(encoder, Shallow(Standard(latent), DiagonalNormal(), decoder, BernoulliLikelihood()))


def glorot(model: VAE) -> None:
    """Glorot's uniform weights and no biases; mean and scale of q are two layers of their own."""
    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    head = next(m for m in reversed(list(model.encoder.modules())) if isinstance(m, nn.Linear))
    for layer in layers:
        outputs = layer.out_features / (2 if layer is head else 1)
        bound = math.sqrt(6 / (layer.in_features + outputs))
        nn.init.uniform_(layer.weight, -bound, bound)
        nn.init.zeros_(layer.bias)


def burda(mean: Tensor) -> VAE:
    """784-200-200-50, tanh; the pixels' biases begin at the training rows' mean (their code)."""
    model = burda_unbiased(mean)
    assert isinstance(model.generator, Shallow)
    last = [m for m in model.generator.decoder.modules() if isinstance(m, nn.Linear)][-1]
    with torch.no_grad():
        last.bias.copy_(torch.logit(mean.flatten().clamp(0.001, 0.999)))
    return model


def burda_unbiased(mean: Tensor) -> VAE:
    """784-200-200-50, tanh."""
    model = composed(mean.shape, (200, 200), 50, nn.Tanh)
    glorot(model)
    return model


def rezende(mean: Tensor) -> VAE:
    """784-400-40, ReLU, and torch's own first weights."""
    return composed(mean.shape, (400,), 40, nn.ReLU)


def elbo() -> Objective:
    """−ELBO."""
    return Distortion() + Rate()


STAIRCASE: Stages = tuple((3**i, 10 ** (-i / 7)) for i in range(8))
"""Of 1509.00519."""


def milestones(passes: int, at: Sequence[int], gamma: float) -> Stages:
    """Stages that end at the given passes, each at γ times the rate of the one before."""
    ends = [*(m for m in at if m < passes), passes]
    counts = [end - start for start, end in pairwise([0, *ends])]
    return tuple((count, gamma**i) for i, count in enumerate(counts))


BURDA = (
    "784-200-200-50-200-200-784, tanh, Glorot's uniform weights; Adam, β 0.9 and 0.999, ε 1e-4, "
    "batch 20, 3^i passes at 0.001 · 10^(−i/7), i = 0 … 7; 59,600 images, binarized anew at "
    "every visit; the last weights"
)
DYNAMIC = (
    "the test set's binarization is another draw; the order of images is drawn anew in every pass "
    "(theirs is fixed); β₁ is 0.9 as in the paper (0.99 in the authors' code, whose second moments "
    "also start at 1); ε is 5e-6, which is 1e-4 for their gradient, a sum over 20 examples"
)
CODE = "pythae's table of reproduced figures, and its script"

ROWS = {
    "vae": Row(
        title="VAE, dynamic MNIST",
        published=86.76,
        source="1509.00519, table 1, one stochastic layer, k = 1",
        protocol=BURDA,
        differences=DYNAMIC,
        data="mnist",
        valid=400,
        binarize="dynamic",
        model=burda,
        objective=elbo,
        batch=20,
        lr=1e-3,
        eps=1e-4 / 20,
        stages=STAIRCASE,
        samples=5000,
        keeps_best=False,
    ),
    "iwae-50": Row(
        title="IWAE-50, dynamic MNIST",
        published=84.78,
        source="1509.00519, table 1, one stochastic layer, k = 50",
        protocol=BURDA + "; 50 samples a step",
        differences=DYNAMIC,
        data="mnist",
        valid=400,
        binarize="dynamic",
        model=burda,
        objective=lambda: ImportanceWeighted(50),
        batch=20,
        lr=1e-3,
        eps=1e-4 / 20,
        stages=STAIRCASE,
        samples=5000,
        keeps_best=False,
    ),
    "vae-static": Row(
        title="VAE, static MNIST",
        published=89.78,
        source=f"{CODE} `vae.py`; there beside 89.9 of 1505.05770",
        protocol="784-400-40-400-784, ReLU, torch's first weights; Adam, batch 100, 500 passes, "
        "rate 1e-4 times 10^(−1/5) after 200 and 350; 50,000 images binarized once; the best "
        "weights by validation loss",
        differences="the encoder says log σ (theirs log σ²)",
        data="binarized_mnist",
        valid=10_000,
        binarize="no",
        model=rezende,
        objective=elbo,
        batch=100,
        lr=1e-4,
        eps=1e-8,
        stages=milestones(500, (200, 350), 10 ** (-1 / 5)),
        samples=200,
        keeps_best=True,
    ),
    "iwae-50-static": Row(
        title="IWAE-50, static MNIST",
        published=86.82,
        source=f"{CODE} `iwae.py`; there beside 87.1 of 1509.00519",
        protocol="784-200-200-50-200-200-784, tanh, Glorot's uniform weights; Adam, ε 1e-4, batch "
        "20, 3,280 passes, rate 0.001 times 10^(−1/7) after 2, 5, 14, 28, 41, 122, 365 and 1,094; "
        "50 samples a step; 50,000 images binarized once; the best weights by validation loss",
        differences="the encoder says log σ (theirs log σ²)",
        data="binarized_mnist",
        valid=10_000,
        binarize="no",
        model=burda_unbiased,
        objective=lambda: ImportanceWeighted(50),
        batch=20,
        lr=1e-3,
        eps=1e-4,
        stages=milestones(3280, (2, 5, 14, 28, 41, 122, 365, 1094), 10 ** (-1 / 7)),
        samples=5000,
        keeps_best=True,
    ),
}
