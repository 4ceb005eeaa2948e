"""Estimates, thresholds and neighbours: known answers, independent implementations, doubt."""

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from vaelab.metrics import Estimate, Threshold, k_nearest, kth_distance, nearest, neighbours


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_mean_has_the_textbook_standard_error():
    values = torch.tensor([1.0, 2.0, 3.0, 6.0])
    e = Estimate.mean(values)
    assert e.value == 3.0
    assert e.n == 4
    assert e.se == pytest.approx(np.std([1, 2, 3, 6], ddof=1) / 2)


def test_a_mean_of_large_float32_values_keeps_its_digits():
    values = torch.full((100_000,), 16_777_216.0)
    values[::2] += 2
    assert Estimate.mean(values).value == 16_777_217.0


def test_a_share_is_never_certain():
    none = Estimate.share(torch.zeros(100, dtype=torch.bool))
    assert none.value == 0.0
    assert none.se > 0.005


def test_one_item_tells_nothing_of_the_spread():
    assert Estimate.mean(torch.tensor([2.0])) == Estimate(2.0, math.inf, 1)


@pytest.mark.parametrize(
    "values", [torch.empty(0), torch.tensor([1.0, math.nan]), torch.ones(2, 2)]
)
def test_what_has_no_mean_is_refused(values):
    with pytest.raises(ValueError, match="value"):
        Estimate.mean(values)


@pytest.mark.parametrize(
    ("e", "shown"),
    [
        (Estimate(0.1234, 0.0123, 9), "0.123 ± 0.012"),
        (Estimate(98.76, 2.3, 9), "98.8 ± 2.3"),
        (Estimate(math.inf, 0.0, 9), "inf ± 0"),
        (Estimate(math.inf, 1.0, 9), "inf ± 1"),
        (Estimate(2.5, math.inf, 1), "2.5 ± inf"),
        (Estimate(2.5, 0.0, 9), "2.5 ± 0"),
    ],
)
def test_an_estimate_prints_two_digits_of_its_doubt(e, shown):
    assert str(e) == shown


def test_a_threshold_is_the_quantile_and_its_band_brackets_it():
    t = Threshold.calibrate(torch.arange(1001.0), level=0.95)
    assert t.value == pytest.approx(950.0)
    assert t.low == pytest.approx(950 - 1000 * math.sqrt(0.95 * 0.05 / 1001), rel=1e-3)
    assert t.high - t.value == pytest.approx(t.value - t.low)


@pytest.mark.parametrize(("n", "level"), [(10, 0.95), (1000, 1.0), (1000, 0.0)])
def test_a_threshold_that_cannot_be_placed_is_refused(n, level):
    with pytest.raises(ValueError, match=r"held-out|level"):
        Threshold.calibrate(torch.rand(n, generator=generator()), level)


def test_a_share_above_knows_that_its_threshold_was_estimated():
    """Fresh draws and fresh calibration every time: the interval covers the true 5%."""
    covered, naive = 0, 0
    for seed in range(300):
        g = generator(seed)
        e = Threshold.calibrate(torch.rand(400, generator=g)).share_above(
            torch.rand(2000, generator=g)
        )
        binomial = Estimate.share(torch.arange(2000) < e.value * 2000).se
        covered += abs(e.value - 0.05) < 1.96 * e.se
        naive += abs(e.value - 0.05) < 1.96 * binomial
    assert 0.91 < covered / 300 <= 0.99
    assert naive / 300 < 0.8  # so the doubt in the threshold is no ornament


def test_rows_that_depend_on_each_other_count_once():
    """Each of P walks repeats one number: S times the images are no more evidence."""
    d = torch.rand(200, generator=generator())
    t = Threshold(0.5, 0.5, 0.5)
    single, repeated = t.share_above(d), t.share_above(d[:, None].expand(200, 50))
    assert repeated.value == pytest.approx(single.value)
    assert repeated.se == pytest.approx(single.se, rel=0.02)


@pytest.mark.parametrize(("n", "m", "d", "k"), [(50, 300, 2, 5), (33, 70, 16, 1), (7, 8, 3, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_neighbours_are_those_of_scikit_learn(n, m, d, k, dtype, monkeypatch):
    monkeypatch.setattr(neighbours, "CHUNK_ELEMENTS", 10 * m + 1)  # several chunks, the last short
    g = generator(n)
    q = torch.randn(n, d, generator=g, dtype=dtype)
    r = torch.randn(m, d, generator=g, dtype=dtype)
    distances, indices = k_nearest(q, r, k)
    theirs = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(r.double().numpy())
    expected, rows = theirs.kneighbors(q.double().numpy())
    np.testing.assert_allclose(distances, expected, rtol=1e-5)
    np.testing.assert_array_equal(indices, rows)
    assert distances.dtype == dtype


def test_neighbours_excluding_self_across_chunks(monkeypatch):
    monkeypatch.setattr(neighbours, "CHUNK_ELEMENTS", 700)
    z = torch.randn(100, 3, generator=generator())
    distances, indices = k_nearest(z, z, 4, exclude_self=True)
    expected, rows = NearestNeighbors(n_neighbors=4).fit(z.numpy()).kneighbors()
    np.testing.assert_allclose(distances, expected, rtol=1e-4)
    np.testing.assert_array_equal(indices, rows)


def test_the_trap_of_self():
    """Counting itself makes the k-th neighbour the (k - 1)-th; a twin is one, self is not."""
    z = torch.randn(200, 2, generator=generator())
    trapped, right = kth_distance(z, z, 5), kth_distance(z, z, 5, exclude_self=True)
    torch.testing.assert_close(trapped[:, None].expand(-1, 1)[:, 0], kth_distance(z, z, 4, True))
    assert bool((right > trapped).all())
    twins = torch.cat([z, z])
    assert float(kth_distance(twins, twins, 1, exclude_self=True).max()) == 0.0


def test_far_from_the_origin_distances_keep_their_digits():
    g = generator()
    q, r = torch.randn(40, 4, generator=g), torch.randn(500, 4, generator=g)
    shift = 1000.0
    torch.testing.assert_close(
        kth_distance(q + shift, r + shift), kth_distance(q, r), rtol=0, atol=1e-3
    )


def test_neighbours_do_not_depend_on_the_order_of_the_reference():
    g = generator()
    q, r = torch.randn(40, 4, generator=g), torch.randn(500, 4, generator=g)
    order = torch.randperm(500, generator=g)
    distances, indices = nearest(q, r)
    shuffled, rows = nearest(q, r[order])
    torch.testing.assert_close(distances, shuffled, rtol=1e-6, atol=0)
    assert bool((order[rows] == indices).all())


@pytest.mark.parametrize(
    ("q", "r", "k", "exclude_self", "message"),
    [
        (torch.ones(3, 2), torch.ones(4, 3), 1, False, "queries has 2 features"),
        (torch.ones(3, 2), torch.ones(4, 2), 5, False, "k must lie in 1…4"),
        (torch.ones(4, 2), torch.ones(4, 2), 4, True, "k must lie in 1…3"),
        (torch.ones(3, 2), torch.ones(4, 2), 1, True, "the reference itself"),
        (torch.full((3, 2), math.nan), torch.ones(4, 2), 1, False, "6 numbers that are not finite"),
        (torch.ones(0, 2), torch.ones(4, 2), 1, False, "N of at least 1"),
    ],
)
def test_neighbours_refuse_what_they_cannot_do(q, r, k, exclude_self, message):
    with pytest.raises(ValueError, match=message):
        k_nearest(q, r, k, exclude_self)


def test_raw_pixels_are_refused():
    with pytest.raises(TypeError, match="prepare raw data"):
        nearest(torch.zeros(2, 4, dtype=torch.uint8), torch.zeros(2, 4))
