"""The area under the curve: scikit-learn's, the closed form, and samples alike and unlike."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import roc_auc_score

from vaelab.metrics.two_sample import area_under_curve, classifier_auc


@pytest.mark.parametrize("levels", [3, 10_000])
def test_it_is_that_of_scikit_learn(levels: int) -> None:
    a, b = torch.randint(levels, (150,)).float(), torch.randint(levels, (90,)).float() + levels // 5
    labels = [0] * 150 + [1] * 90
    found = area_under_curve(a, b)
    assert found.value == pytest.approx(roc_auc_score(labels, torch.cat([a, b])), abs=1e-12)
    assert area_under_curve(b, a).value == pytest.approx(1 - found.value, abs=1e-12)
    assert found.n == 90


def test_delongs_standard_error_is_that_of_hanley_and_mcneil_for_exponentials() -> None:
    """Their closed form is exact for exponential scores: Q₁ = A/(2 − A), Q₂ = 2A²/(1 + A)."""
    A, n, m = 0.7, 4000, 3000
    # P(B > A') = rate_a / (rate_a + rate_b)
    a = torch.distributions.Exponential(A).sample((n,))
    b = torch.distributions.Exponential(1 - A).sample((m,))
    q1, q2 = A / (2 - A), 2 * A**2 / (1 + A)
    exact = (A * (1 - A) + (m - 1) * (q1 - A**2) + (n - 1) * (q2 - A**2)) / (n * m)
    found = area_under_curve(a, b)
    assert found.value == pytest.approx(A, abs=4 * found.se)
    assert found.se == pytest.approx(math.sqrt(exact), rel=0.03)


def test_perfect_order_is_not_certain() -> None:
    found = area_under_curve(torch.arange(20.0), torch.arange(20.0) + 100)
    assert found.value == 1.0
    assert 0.02 < found.se < 0.1


def test_samples_alike_and_unlike() -> None:
    a, b = torch.randn(1200, 4), torch.randn(1200, 4)
    alike = classifier_auc(a, b)
    assert alike.value == pytest.approx(0.5, abs=4 * alike.se)
    moved = classifier_auc(
        1000 * a, 1000 * (b + 0.7)
    )  # a distance of 1.4 between the means: Φ(1.4/√2)
    best = 0.5 * (1 + math.erf(0.7))
    assert best - 0.05 < moved.value < best + 3 * moved.se
    # The same mean and covariance: only the shape tells.
    signs = torch.randint(2, (1200, 4)) * 2.0 - 1
    assert classifier_auc(a, 0.95 * signs + 0.3 * torch.randn(1200, 4)).value > 0.8


def test_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 8"):
        classifier_auc(torch.randn(7, 2), torch.randn(9, 2))
    with pytest.raises(ValueError, match="at least 2"):
        area_under_curve(torch.randn(1), torch.randn(9))
