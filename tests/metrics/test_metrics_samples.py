"""Precision, recall, density, coverage and the classifier, on planted and on real images."""

import math
import os

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_digits

from vaelab.metrics import (
    Classifier,
    Estimate,
    FeatureSpace,
    NetworkFeatures,
    PixelFeatures,
    class_balance,
    nearest_training_distance,
    precision_recall_density_coverage,
    samples,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(n, d=2, seed=0):
    return torch.randn(n, d, generator=generator(seed))


def naive(real, fake, k):
    """The definitions, item by item, with every distance written out."""
    dist = lambda a, b: (a - b).pow(2).sum().sqrt().item()  # noqa: E731
    fellows = lambda s, i: sorted(dist(s[i], s[j]) for j in range(len(s)) if j != i)  # noqa: E731
    r = [fellows(real, i)[k - 1] for i in range(len(real))]
    f = [fellows(fake, j)[k - 1] for j in range(len(fake))]
    inside = np.array([[dist(x, y) < r[i] for y in fake] for i, x in enumerate(real)])
    inside_fake = np.array([[dist(y, x) < f[j] for x in real] for j, y in enumerate(fake)])
    return (
        inside.any(axis=0).mean(),
        inside_fake.any(axis=0).mean(),
        inside.sum() / (k * len(fake)),
        inside.any(axis=1).mean(),
    )


@pytest.mark.parametrize(("n", "m", "k"), [(40, 60, 5), (50, 30, 3), (30, 30, 1)])
def test_all_four_are_those_of_the_naive_definition(n, m, k, monkeypatch):
    monkeypatch.setattr(samples, "CHUNK_ELEMENTS", 7 * n)
    real, fake = normal(n, 3, 1).double(), (0.7 * normal(m, 3, 2) + 0.4).double()
    got = precision_recall_density_coverage(real, fake, k)
    values = (got.precision.value, got.recall.value, got.density.value, got.coverage.value)
    assert values == pytest.approx(naive(real, fake, k), abs=1e-12)
    assert (got.precision.n, got.recall.n, got.density.n, got.coverage.n) == (m, n, m, n)


def test_identical_samples_are_perfect():
    x = normal(300, 8)
    for shift in (0.0, 100.0):
        got = precision_recall_density_coverage(x + shift, x + shift)
        values = (got.precision.value, got.recall.value, got.density.value, got.coverage.value)
        assert values == (1.0, 1.0, 1.0, 1.0)


def test_disjoint_samples_are_nothing():
    got = precision_recall_density_coverage(normal(300, 2, 1), normal(300, 2, 2) + 100)
    assert got.precision.value == got.recall.value == got.density.value == got.coverage.value == 0.0
    assert got.precision.se > 0


def test_of_samples_that_are_all_alike_one_ball_decides():
    """A point that the wide ball of one outlier holds: of two halves one has it, the other not."""
    real = torch.cat([normal(199, 2, 1), torch.tensor([[20.0, 0.0]])])
    fake = torch.tensor([30.0, 0.0]) + 1e-6 * normal(200, 2, 2)
    got = precision_recall_density_coverage(real, fake).precision
    assert got.value == 1.0
    assert got.se == 0.5  # no share varies by more
    assert got.is_any_share
    good = precision_recall_density_coverage(real, normal(200, 2, 3)).precision
    assert not good.is_any_share


def test_equal_distributions_have_the_expected_density_and_coverage():
    """Naeem et al.: E density = 1, E coverage = 1 − Π (N − i)/(2N − i) over i = 1…k."""
    n, k = 600, 5
    found = [
        precision_recall_density_coverage(normal(n, 4, 2 * s), normal(n, 4, 2 * s + 1), k)
        for s in range(12)
    ]
    expected = 1 - math.prod((n - i) / (2 * n - i) for i in range(1, k + 1))
    assert np.mean([p.density.value for p in found]) == pytest.approx(1.0, abs=0.03)
    assert np.mean([p.coverage.value for p in found]) == pytest.approx(expected, abs=0.008)
    for figure in ("density", "coverage"):
        spread = np.std([getattr(p, figure).value for p in found])
        claimed = np.mean([getattr(p, figure).se for p in found])
        assert spread / 1.6 < claimed < spread * 2.5


def test_standard_errors_are_those_of_halves_by_hand(monkeypatch):
    """se² = t² mean over 12 cuts of (first − second)² / 2, from a half's size to the whole."""
    monkeypatch.setattr(samples, "CUTS", 3)
    real, fake, k = normal(24, 3, 1).double(), (0.7 * normal(36, 3, 2) + 0.4).double(), 2
    draws, squares = generator(5), []
    for _ in range(3):
        o, u = torch.randperm(24, generator=draws), torch.randperm(36, generator=draws)
        first = np.array(naive(real[o[:12]], fake[u[:18]], k))
        second = np.array(naive(real[o[12:]], fake[u[18:]], k))
        squares.append((first - second) ** 2)
    expected = stats.t.ppf(0.975, 12) / 1.96 * np.sqrt(np.mean(squares, axis=0) / 2 * 12 / 24)
    got = precision_recall_density_coverage(real, fake, k, seed=5)
    assert got.density.se == pytest.approx(expected[2], rel=2e-3)
    for figure, from_halves in ((got.precision, 0), (got.recall, 1), (got.coverage, 3)):
        hits = torch.arange(figure.n) < round(figure.value * figure.n)
        least = Estimate.share(hits).se
        assert figure.se == pytest.approx(max(expected[from_halves], least), rel=2e-3)


def test_a_share_of_samples_has_at_least_the_error_of_its_count(monkeypatch):
    monkeypatch.setattr(samples, "_spread", lambda real, fake, k, seed: torch.zeros(4).double())
    real = normal(50)
    fake = torch.cat([real[:29], 100 + normal(71, seed=1)])  # 0.29 * 100 is less than 29
    precision = precision_recall_density_coverage(real, fake, k=1).precision
    assert precision == Estimate.share(torch.arange(100) < 29)


def test_one_mode_of_two_has_precision_but_half_the_coverage():
    real = torch.cat([normal(500, 2, 1), normal(500, 2, 2) + 50])
    got = precision_recall_density_coverage(real, normal(1000, 2, 3))
    assert got.precision.value > 0.9
    assert got.coverage.value == pytest.approx(0.5, abs=0.02)
    assert got.recall.value == pytest.approx(0.5, abs=0.03)


def test_copies_have_no_distance_to_the_training_data():
    train = normal(500, 10, 1)
    assert nearest_training_distance(train[:100], train).value == 0.0
    fresh = nearest_training_distance(normal(100, 10, 2), train)
    assert fresh.value > 1.0
    assert fresh.n == 100


# --- classifier --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return torch.tensor(x / 16.0, dtype=torch.float32), torch.tensor(y)


def test_the_classifier_learns_digits(digits):
    x, y = digits
    judge = Classifier.fit(x[:1300].reshape(-1, 1, 8, 8), y[:1300], seed=0, epochs=40)
    held_out = judge.accuracy(x[1300:], y[1300:])
    assert held_out.value > 0.9
    assert judge(x).shape == (len(x), 64)
    torch.testing.assert_close(judge.probabilities(x).sum(dim=1), torch.ones(len(x)))
    torch.testing.assert_close(judge(x[3:4]), judge(x)[3:4], rtol=1e-4, atol=1e-5)


def test_a_classifier_repeats_for_a_seed_and_leaves_the_global_state(digits):
    x, y = digits
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    a = Classifier.fit(x[:300], y[:300], seed=1, epochs=1)
    assert torch.equal(before, torch.random.get_rng_state())
    b = Classifier.fit(x[:300], y[:300], seed=1, epochs=1)
    other = Classifier.fit(x[:300], y[:300], seed=2, epochs=1)
    assert torch.equal(a(x), b(x))
    assert not torch.equal(a(x), other(x))


def test_both_feature_spaces_share_one_interface(digits):
    x, y = digits
    spaces: list[FeatureSpace] = [
        PixelFeatures.fit(x[:500]),
        Classifier.fit(x[:500], y[:500], seed=0, epochs=1),
    ]
    for space in spaces:
        assert space(x[:7]).shape[0] == 7
        assert str(space(x[:7]).shape[1]) in space.name


def test_a_classifier_is_restored_from_its_tensors(digits):
    x, y = digits
    judge = Classifier.fit(x[:300], y[:300], seed=1, epochs=2)
    again = Classifier.restore({k: t.clone() for k, t in judge.tensors().items()})
    assert torch.equal(again(x), judge(x))
    assert torch.equal(again.probabilities(x), judge.probabilities(x))
    assert again.name == judge.name
    with pytest.raises(ValueError, match="not a classifier's"):
        Classifier.restore({"mean": torch.zeros(3)})
    with pytest.raises(ValueError, match="not a classifier's"):
        Classifier.restore(judge.tensors() | {"body.0.weight": torch.zeros(1)})


def test_the_features_of_any_function():
    space = NetworkFeatures(lambda x: x.mean(-1, keepdim=True), "means")
    x = torch.rand(3000, 2, 5)
    torch.testing.assert_close(space(x), x.mean(-1))
    for function, message in (
        (lambda x: 3, "gave int"),
        (lambda x: x.long(), "gave torch.int64"),
        (lambda x: x[1:], "expected"),
        (lambda x: x.sum(), "expected"),
        (lambda x: x / 0, "not finite"),
    ):
        with pytest.raises(ValueError, match=message):
            NetworkFeatures(function, "bad")(x)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (torch.zeros(6).long(), "at least two classes"),
        (torch.arange(5), "one for each of 6"),
        (torch.arange(6) - 1, "from 0"),
        (torch.rand(6), "whole numbers"),
    ],
)
def test_labels_that_cannot_be_learnt_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        Classifier.fit(torch.rand(6, 3), y, seed=0)


def test_class_balance_of_known_predictions():
    probabilities = torch.tensor([[0.9, 0.1, 0.0, 0.0], [0.2, 0.8, 0.0, 0.0]]).repeat(50, 1)
    got = class_balance(probabilities)
    assert got.histogram == (0.5, 0.5, 0.0, 0.0)
    assert got.balance.value == pytest.approx(0.5)
    assert got.confidence.value == pytest.approx(0.85)
    assert class_balance(torch.eye(4).repeat(25, 1)).balance.value == pytest.approx(1.0)
    assert class_balance(torch.eye(4)[:1].repeat(25, 1)).balance.value == 0.0


@pytest.mark.parametrize("weights", [[0.1, 0.2, 0.7], [1 / 3, 1 / 3, 1 / 3]])
def test_the_standard_error_of_the_balance_is_its_spread(weights):
    p = torch.tensor(weights)
    found = [
        class_balance(torch.eye(3)[torch.multinomial(p, 500, True, generator=generator(s))]).balance
        for s in range(200)
    ]
    spread = np.std([e.value for e in found])
    assert 0.8 * spread < np.mean([e.se for e in found]) < 1.4 * spread


@pytest.mark.slow  # as `test_the_classifier_learns_digits`
def test_the_classifier_on_mnist_in_seconds():
    root = os.environ.get("VAELAB_DATA")
    if root is None:
        pytest.skip("VAELAB_DATA is not set: no MNIST to learn")
    data = pytest.importorskip("vaelab.data").load("mnist")
    x, y = data.spec.prepare(data.train.x[:10_000]), data.train.y[:10_000]
    judge = Classifier.fit(x, y, seed=0, epochs=5)
    accuracy = judge.accuracy(data.spec.prepare(data.test.x), data.test.y)
    assert accuracy.value > 0.92
    assert accuracy == Estimate(accuracy.value, accuracy.se, 10_000)
