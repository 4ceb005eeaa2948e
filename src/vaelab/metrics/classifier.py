r"""A small classifier of the real data: its last hidden layer is a feature space.

    f(x) = gelu(W₂ gelu(W₁ (v(x) − m) / s)) in R⁶⁴,    p(y|x) = softmax(W₃ f(x))

with a view v that shows the columns of a table as numbers to compare, and images as they are.

Its verdict on samples is their mean confidence and the balance of their classes,
H(ȳ) / log C with ȳ the histogram of predicted classes: 1 if all C come equally often. A
classifier is blind to memorising, and confident of much that is no image: read it beside
precision, coverage and the distance to the training data.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaelab.core import fork_rng
from vaelab.metrics.estimate import Estimate
from vaelab.metrics.inputs import as_it_is, rows

FEATURES = 64


@final
class Classifier:
    """A D-256-64-C perceptron trained on labelled data by `fit`; a `FeatureSpace`.

    Example:
        >>> x = torch.tensor([[0.0], [1.0]]).repeat(64, 1)
        >>> judge = Classifier.fit(x, x[:, 0].long(), seed=0, epochs=20)
        >>> judge.accuracy(x, x[:, 0].long()).value
        1.0
    """

    def __init__(
        self,
        body: nn.Sequential,
        head: nn.Linear,
        mean: Tensor,
        scale: Tensor,
        view: Callable[[Tensor], Tensor] = as_it_is,
    ) -> None:
        self._body, self._head = body, head
        self._mean, self._scale = mean, scale
        self._view = view

    @classmethod
    def fit(
        cls,
        x: Tensor,
        y: Tensor,
        seed: int,
        epochs: int = 5,
        batch_size: int = 256,
        view: Callable[[Tensor], Tensor] = as_it_is,
    ) -> "Classifier":
        """Train on examples and labels: AdamW, learning rate 1e-3 falling to 0 along a cosine.

        Deterministic for a seed, a device and a number of threads; the global random state is
        left as it was.

        Args:
            x: training examples in model scale, (N, …).
            y: labels from 0, int64 (N,); at least two classes.
            seed: seed of the initial weights and the order.
            epochs: passes over the data; five take some seconds for 60,000 images of 784 pixels.
            batch_size: examples of one step.
            view: v.

        Raises:
            ValueError: examples and labels do not match, or there is one class only.
        """
        flat = rows(view(x), "training examples")
        labels = y.to(flat.device)
        if y.shape != flat.shape[:1] or y.is_floating_point() or int(y.min()) < 0:
            raise ValueError(
                f"labels must be whole numbers from 0, one for each of {len(flat)} examples; "
                f"got {y.dtype} {tuple(y.shape)}"
            )
        classes = int(y.max()) + 1
        if classes < 2:
            raise ValueError("a classifier needs at least two classes; the labels have one")
        with fork_rng(seed):
            body, head = _networks(flat.shape[1], classes)
        # One scale for all pixels: those that hardly vary must not be blown up.
        mean, scale = flat.mean(dim=0), flat.std().clamp(min=1e-6)
        self = cls(body.to(flat), head.to(flat), mean, scale, view)
        self._train(flat, labels, torch.Generator().manual_seed(seed), epochs, batch_size)
        return self

    @property
    def name(self) -> str:
        """Name to record beside a figure computed in this space."""
        return f"{FEATURES} features of a classifier of {self._head.out_features} classes"

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """The last hidden layer, (N, 64), for examples (N, …) in model scale."""
        flat = rows(self._view(x), "examples", width=len(self._mean))
        return torch.cat([self._hidden(part) for part in torch.split(flat.to(self._mean), 4096)])

    __call__ = features

    @torch.no_grad()
    def logits(self, x: Tensor) -> Tensor:
        """log p(y|x) up to a constant, (N, C), for examples (N, …) in model scale."""
        return self._head(self.features(x))

    def probabilities(self, x: Tensor) -> Tensor:
        """p(y|x), (N, C), for examples (N, …) in model scale."""
        return F.softmax(self.logits(x), dim=1)

    def tensors(self) -> dict[str, Tensor]:
        """All that `restore` needs, by name."""
        parts = {"body": self._body, "head": self._head}
        named = {f"{p}.{k}": t for p, m in parts.items() for k, t in m.state_dict().items()}
        return named | {"mean": self._mean, "scale": self._scale}

    @classmethod
    def restore(
        cls, tensors: Mapping[str, Tensor], view: Callable[[Tensor], Tensor] = as_it_is
    ) -> "Classifier":
        """A classifier from its `tensors`, and the view that it was fitted with.

        Raises:
            ValueError: if they are not a classifier's.
        """
        try:
            mean = tensors["mean"]
            body, head = _networks(len(mean), len(tensors["head.bias"]))
            for name, module in (("body.", body), ("head.", head)):
                own = {k.removeprefix(name): t for k, t in tensors.items() if k.startswith(name)}
                module.load_state_dict(own)
                module.requires_grad_(False)
            return cls(body, head, mean, tensors["scale"], view)
        except (KeyError, RuntimeError, TypeError) as error:
            raise ValueError(f"these tensors are not a classifier's: {error}") from None

    def accuracy(self, x: Tensor, y: Tensor) -> Estimate:
        """Share of examples (N, …) whose most probable class is the label (N,)."""
        predicted = self.probabilities(x).argmax(dim=1)
        return Estimate.share(predicted == y.to(predicted.device))

    def _hidden(self, x: Tensor) -> Tensor:
        return self._body((x - self._mean) / self._scale)

    def _train(
        self, x: Tensor, y: Tensor, generator: torch.Generator, epochs: int, batch_size: int
    ) -> None:
        weights = [*self._body.parameters(), *self._head.parameters()]
        optim = torch.optim.AdamW(weights, lr=1e-3, weight_decay=1e-2)
        steps = epochs * math.ceil(len(x) / batch_size)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optim, steps)
        for _ in range(epochs):
            order = torch.randperm(len(x), generator=generator).to(x.device)
            for batch in torch.split(order, batch_size):
                loss = F.cross_entropy(self._head(self._hidden(x[batch])), y[batch])
                optim.zero_grad()
                torch.autograd.backward(loss)
                optim.step()
                schedule.step()
        for weight in weights:
            weight.requires_grad_(False)


def _networks(width: int, classes: int) -> tuple[nn.Sequential, nn.Linear]:
    body = nn.Sequential(nn.Linear(width, 256), nn.GELU(), nn.Linear(256, FEATURES), nn.GELU())
    return body, nn.Linear(FEATURES, classes)


@dataclass(frozen=True)
class ClassBalance:
    """Class balance and confidence of samples under a classifier.

    Attributes:
        histogram: share of the samples predicted as each class, C numbers.
        balance: entropy of the histogram over log C, in [0, 1].
        confidence: mean probability of the predicted class.
    """

    histogram: tuple[float, ...]
    balance: Estimate
    confidence: Estimate


def class_balance(probabilities: Tensor) -> ClassBalance:
    """Histogram, balance and mean confidence of predictions.

    The balance is the plug-in entropy, low by about (C − 1) / (2 N log C). Its standard error is
    the delta method's, (Σ p log² p − H²) / N less its bias (C − 1) / N², with the second-order
    term (C − 1) / (2 N²) that is left when all classes are equally frequent.

    Args:
        probabilities: p(y|x) of N samples, (N, C), C of at least 2.
    """
    rows(probabilities, "probabilities")
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise ValueError(
            f"expected (N, C) with two classes or more, got {tuple(probabilities.shape)}"
        )
    n, c = probabilities.shape
    top, predicted = probabilities.max(dim=1)
    p = torch.bincount(predicted, minlength=c).double() / n
    log_p = p.clamp(min=1e-300).log()
    entropy = -float((p * log_p).sum())
    first_order = float((p * log_p.square()).sum()) - entropy**2 - (c - 1) / n
    variance = max(0.0, first_order) / n + (c - 1) / (2 * n**2)
    balance = Estimate(entropy / math.log(c), math.sqrt(variance) / math.log(c), n)
    return ClassBalance(tuple(p.tolist()), balance, Estimate.mean(top))
