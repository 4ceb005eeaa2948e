"""Densities of observed cells: those of each column alone, and no gradient from missing ones."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from vaelab.distributions import (
    CategoricalIndex,
    Joint,
    LogNormal,
    NegativeBinomial,
    Normal,
    Observed,
    column_log_prob,
)

NAN = torch.nan


def joint() -> Joint:
    """Normal, log-normal and count columns, out of order, and a category of three."""
    t = torch.tensor
    return Joint(
        (
            Normal(t([[0.5, -1.0], [0.1, 2.0]]), t([[0.2, -0.3], [0.0, 0.4]])),
            LogNormal(t([[1.0], [0.3]]), t([[-0.5], [0.2]])),
            CategoricalIndex(t([[[0.1, 1.0, -0.4]], [[2.0, 0.0, 0.3]]])),
            NegativeBinomial(t([[1.2], [0.4]]), t([[0.3], [0.9]])),
        ),
        ((3, 0), (1,), (4,), (2,)),
    )


def test_density_of_observed_cells_is_the_sum_over_their_columns() -> None:
    x = torch.tensor([[0.3, NAN, 2.0, NAN, 1.0], [NAN, 1.7, NAN, -0.2, NAN]])
    found = Observed(joint()).log_prob(x)
    r, m = torch.tensor(0.3).exp(), torch.tensor(1.2).exp()
    first = (
        stats.norm.logpdf(0.3, -1.0, torch.tensor(-0.3).exp())
        + stats.nbinom.logpmf(2, r, r / (r + m))
        + torch.tensor([0.1, 1.0, -0.4]).log_softmax(0)[1]
    )
    second = stats.lognorm.logpdf(1.7, torch.tensor(0.2).exp(), scale=torch.tensor(0.3).exp())
    second += stats.norm.logpdf(-0.2, 0.1, 1.0)
    torch.testing.assert_close(found, torch.tensor([float(first), float(second)]))
    assert (column_log_prob(joint(), x)[x.isnan()] == 0).all()


def test_complete_rows_have_the_density_of_the_base() -> None:
    x = torch.tensor([[0.3, 0.2, 2.0, 1.1, 1.0], [4.0, 1.7, 0.0, -0.2, 2.0]])
    torch.testing.assert_close(Observed(joint()).log_prob(x), joint().log_prob(x))
    one = Observed(Normal(torch.zeros(1, 2), torch.zeros(1, 2)))  # a batch of 1 broadcasts
    assert one.log_prob(torch.tensor([[0.0, NAN]] * 3)).tolist() == pytest.approx([-0.918939] * 3)


def test_missing_cells_have_no_gradient() -> None:
    mu = torch.tensor([[0.5, 1e30]], requires_grad=True)
    Observed(Normal(mu, torch.zeros(1, 2))).log_prob(torch.tensor([[2.0, NAN]])).sum().backward()
    assert mu.grad is not None
    assert mu.grad.tolist() == [[1.5, 0.0]]
