"""Planted latent spaces whose holes, walks and overlaps are known."""

import math

import pytest
import torch
from sklearn.decomposition import PCA

from vaelab.metrics import (
    PixelFeatures,
    Support,
    code_scale,
    different_class_pairs,
    hole_fraction,
    interpolation_path,
    off_support_share,
    overlap,
    own_ellipse,
    roughness,
    round_trip_error,
    round_trip_gaps,
    unreached_fraction,
)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(n, d=2, seed=0):
    return torch.randn(n, d, generator=generator(seed))


def islands(n, seed=0):
    """Two unit squares, [0, 1]² and [9, 10] × [0, 1]."""
    z = torch.rand(n, 2, generator=generator(seed))
    z[: n // 2, 0] += 9
    return z


# --- holes -----------------------------------------------------------------------------------


def test_a_perfect_prior_has_five_percent_of_holes_and_of_unreached():
    support = Support.calibrate(normal(10_000, 8, 1), normal(4000, 8, 2))
    holes = hole_fraction(normal(4000, 8, 3), support)
    unreached = unreached_fraction(normal(4000, 8, 4), normal(10_000, 8, 5), normal(4000, 8, 6))
    for e in (holes, unreached):
        assert e.value == pytest.approx(0.05, abs=3 * e.se)
        assert e.se < 0.006


def test_holes_between_two_islands_are_as_wide_as_the_gap():
    """Z uniform on [0, 10] × [0, 1]: 80% is sea; of the islands, 5% is outside by calibration."""
    support = Support.calibrate(islands(10_000, 1), islands(4000, 2))
    z = torch.rand(4000, 2, generator=generator(3)) * torch.tensor([10.0, 1.0])
    e = hole_fraction(z, support)
    assert e.value == pytest.approx(0.8 + 0.2 * 0.05, abs=3 * e.se + 0.005)
    assert e.value == pytest.approx(float(support.outside(z).double().mean()))


def test_holes_under_a_normal_prior_between_two_gaussians():
    """Codes N(±10, 1); the 5% level set is ±1.96 σ, and N(0, 10²) is mostly outside it."""
    codes = normal(10_000, 1, 1) + torch.tensor([-10.0, 10.0]).repeat(5000)[:, None]
    held = normal(4000, 1, 2) + torch.tensor([-10.0, 10.0]).repeat(2000)[:, None]
    e = hole_fraction(10 * normal(4000, 1, 3), Support.calibrate(codes, held, k=50))
    phi = torch.distributions.Normal(0.0, 10.0)
    inside = 2 * (phi.cdf(torch.tensor(11.96)) - phi.cdf(torch.tensor(8.04)))
    assert e.value == pytest.approx(1 - float(inside), abs=3 * e.se + 0.01)


def test_a_wide_cloud_with_a_dense_centre_has_few_holes_but_is_unreached():
    """Why both sides are needed."""
    wide, held = 20 * normal(10_000, 2, 1), 20 * normal(3000, 2, 2)
    holes = hole_fraction(normal(3000, 2, 3), Support.calibrate(wide, held))
    unreached = unreached_fraction(held, normal(10_000, 2, 4), normal(3000, 2, 5))
    assert holes.value < 0.02
    assert unreached.value > 0.9


def test_the_interval_of_the_hole_fraction_covers_the_truth():
    """Perfect match, everything drawn afresh: the truth is 5%, the interval must say so."""
    covered = 0
    for seed in range(200):
        a, b, c = (
            normal(2000, 2, 3 * seed),
            normal(500, 2, 3 * seed + 1),
            normal(500, 2, 3 * seed + 2),
        )
        e = hole_fraction(c, Support.calibrate(a, b))
        covered += abs(e.value - 0.05) < 1.96 * e.se
    assert 0.90 <= covered / 200 <= 0.995


def test_calibrating_on_the_reference_itself_is_refused():
    codes = normal(500)
    with pytest.raises(ValueError, match="its own neighbour"):
        Support.calibrate(codes, codes.clone())


def test_holes_do_not_depend_on_order_or_scale():
    a, b, c = normal(2000, 3, 1), normal(500, 3, 2), 2 * normal(500, 3, 3)
    e = hole_fraction(c, Support.calibrate(a, b))
    shuffled = Support.calibrate(a.flip(0), b.flip(0))
    scaled = Support.calibrate(a * 64, b * 64)
    assert hole_fraction(c.flip(0), shuffled).value == e.value
    assert hole_fraction(c * 64, scaled).value == e.value


def test_the_own_ellipse_has_the_codes_moments():
    mix = torch.tensor([[2.0, 0.0, 0.0], [1.0, 0.5, 0.0], [0.0, 0.0, 0.0]])
    codes = normal(5000, 3, 1) @ mix.T + torch.tensor([1.0, -2.0, 3.0])
    z = own_ellipse(codes, 100_000, generator())
    torch.testing.assert_close(z.mean(dim=0), codes.mean(dim=0), rtol=0, atol=0.03)
    torch.testing.assert_close(z.T.cov(), codes.T.cov(), rtol=0, atol=0.1)
    assert float(z[:, 2].std()) < 1e-5  # a dead dimension stays dead
    torch.testing.assert_close(z, own_ellipse(codes, 100_000, generator()), rtol=0, atol=0)


# --- round trip ------------------------------------------------------------------------------


def test_round_trip_errors_are_in_units_of_the_codes():
    codes = 3 * normal(20_000, 4)
    scale = code_scale(codes)
    assert scale == pytest.approx(6.0, rel=0.02)  # 3 √4
    moved = codes + torch.tensor([3.0, 0.0, 0.0, 0.0])
    torch.testing.assert_close(
        round_trip_error(codes, moved, scale), torch.full((20_000,), 3 / scale)
    )


def test_round_trip_gaps_of_a_decoder_that_knows_half_the_plane():
    """Codes live where z₀ > 0 and return with noise; elsewhere they come back mirrored."""

    def back(z, seed):
        return torch.stack([z[:, 0].abs(), z[:, 1]], 1) + 0.01 * normal(len(z), 2, seed)

    held = normal(5000, 2, 1)
    held[:, 0] = held[:, 0].abs()
    z = normal(5000, 2, 2)
    z[:, 0] += torch.where(z[:, 0] < 0, -1.0, 0.0)
    e = round_trip_gaps(
        round_trip_error(z, back(z, 3), 1.0), round_trip_error(held, back(held, 4), 1.0)
    )
    assert e.value == pytest.approx(0.5 + 0.5 * 0.05, abs=3 * e.se)


def test_round_trips_need_a_scale():
    with pytest.raises(ValueError, match="all the same"):
        round_trip_error(torch.ones(3, 2), torch.ones(3, 2), code_scale(torch.ones(3, 2)))


# --- walks -----------------------------------------------------------------------------------


def test_a_straight_linear_path_has_roughness_one():
    images = interpolation_path(normal(7, 5, 1), normal(7, 5, 2), steps=32) @ normal(5, 20, 3)
    e = roughness(images)
    assert images.shape == (7, 33, 20)
    assert e.value == pytest.approx(1.0, abs=1e-4)
    exact = interpolation_path(torch.zeros(3, 2), torch.ones(3, 2), steps=32)
    assert roughness(exact).value == 1.0


def test_one_jump_has_the_roughness_of_the_number_of_steps():
    images = torch.zeros(4, 33, 1, 8, 8)
    images[:, 20:] = 1.0
    assert roughness(images).value == pytest.approx(32.0)


def test_a_walk_that_stands_still_is_smooth_whatever_the_rounding():
    images = torch.ones(4, 33, 10) + 1e-8 * normal(4 * 33, 10).reshape(4, 33, 10)
    assert roughness(images).value == 1.0
    assert roughness(torch.zeros(4, 33, 10)).value == 1.0


def test_pairs_have_different_classes_and_every_allowed_pair_comes_up():
    labels = torch.tensor([2, 0, 2, 1, 0, 2])
    pairs = different_class_pairs(labels, 20_000, generator())
    assert bool((labels[pairs[:, 0]] != labels[pairs[:, 1]]).all())
    first = torch.bincount(pairs[:, 0], minlength=6) / 20_000
    torch.testing.assert_close(first, torch.full((6,), 1 / 6), rtol=0, atol=0.015)
    partners_of_the_one = pairs[pairs[:, 0] == 3][:, 1].bincount(minlength=6).double()
    share = partners_of_the_one / partners_of_the_one.sum()
    torch.testing.assert_close(
        share, torch.tensor([0.2, 0.2, 0.2, 0, 0.2, 0.2]).double(), rtol=0, atol=0.04
    )


def test_pairs_of_one_class_are_refused():
    with pytest.raises(ValueError, match="two classes"):
        different_class_pairs(torch.ones(9, dtype=torch.long), 3, generator())


def test_off_support_share_of_walks_across_the_gap():
    """Images are the islands turned into 12 pixels; straight walks cross the sea."""
    turn = torch.linalg.qr(normal(12, 12))[0][:2]
    train, held = islands(8000, 1) @ turn, islands(2000, 2) @ turn
    support = Support.calibrate(train, held, k=1, space=PixelFeatures.fit(train))
    left, right = (
        torch.rand(200, 2, generator=generator(3)),
        torch.rand(200, 2, generator=generator(4)),
    )
    inland = off_support_share(interpolation_path(left, right) @ turn, support)
    across = off_support_share(
        interpolation_path(left, right + torch.tensor([9.0, 0.0])) @ turn, support
    )
    # A walk from x₁ to 9 + x₂ is 9 + x₂ − x₁ long and 8 + (1 − x₁) − (0 − x₂) − 1 of it is sea.
    assert across.value == pytest.approx(8 / 9, abs=0.03)
    assert inland.value < 0.1
    assert across.n == 200


def test_pixel_features_are_those_of_scikit_learn():
    x = 2 + normal(600, 30, 1) @ normal(30, 30, 2) * torch.linspace(3, 0.01, 30)
    ours, theirs = PixelFeatures.fit(x), PCA(0.95, svd_solver="full").fit(x.double().numpy())
    assert ours.axes.shape[1] == theirs.n_components_
    assert ours.kept == pytest.approx(theirs.explained_variance_ratio_.sum(), rel=1e-5)
    a, b = ours(x[:50]), torch.tensor(theirs.transform(x[:50].double().numpy()))
    a = a.double()
    torch.testing.assert_close(torch.cdist(a, a), torch.cdist(b, b), rtol=1e-4, atol=1e-4)
    # The signs of the axes are anybody's choice, the origin is not: it is the mean.
    torch.testing.assert_close(a.abs(), b.abs(), rtol=1e-4, atol=1e-4)


def test_pixel_features_of_more_pixels_than_examples():
    x = normal(20, 3 * 8 * 8, 1).double().reshape(20, 3, 8, 8)
    space = PixelFeatures.fit(x, variance=1.0)
    assert space(x).shape == (20, 19)
    torch.testing.assert_close(
        torch.cdist(space(x), space(x)), torch.cdist(x.flatten(1), x.flatten(1))
    )
    assert space.name == "19 principal components of the pixels (100.0%)"
    table = PixelFeatures.fit(x.flatten(1), variance=1.0)
    assert table.name == "19 principal components of the columns (100.0%)"


def test_pixel_features_of_a_stated_subsample_repeat():
    x = normal(500, 6, 1)
    a, b = PixelFeatures.fit(x, sample=100, seed=3), PixelFeatures.fit(x, sample=100, seed=3)
    torch.testing.assert_close(a.axes, b.axes, rtol=0, atol=0)
    with pytest.raises(ValueError, match="all the same"):
        PixelFeatures.fit(torch.ones(9, 4))


# --- overlap ---------------------------------------------------------------------------------


def test_a_collapsed_posterior_overlaps_itself():
    e = overlap(torch.zeros(100, 3), torch.ones(100, 3))
    assert e.value == 1.0
    near = overlap(1e-3 * normal(100, 3), torch.ones(100, 3))
    assert near.value == pytest.approx(1.0, abs=1e-5)


def test_points_do_not_overlap_unless_they_are_one():
    assert overlap(normal(100, 3), torch.zeros(100, 3)).value == 0.0
    assert overlap(torch.ones(10, 3), torch.zeros(10, 3)).value == 1.0
    half = torch.tensor([0.0, 1.0]).repeat(50, 1)  # one dimension of two is a point
    assert overlap(normal(50, 2), half).value == 0.0


def test_overlap_of_two_normals_by_integration():
    mu, sigma = torch.tensor([[0.0], [1.5]]), torch.tensor([[0.7], [1.3]])
    t = torch.linspace(-15, 15, 30_001, dtype=torch.float64)
    p, q = (
        torch.distributions.Normal(m.double(), s.double()) for m, s in zip(mu, sigma, strict=True)
    )
    exact = torch.trapezoid((0.5 * (p.log_prob(t) + q.log_prob(t))).exp(), t)
    assert overlap(mu, sigma, k=1).value == pytest.approx(float(exact), rel=1e-6)


def test_overlap_multiplies_over_dimensions_and_averages_over_neighbours():
    """A line of four unit-spaced codes, σ = 1: BC(distance d) = exp(−d²/8)."""
    mu = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [3.0, 0.0]])
    e = overlap(mu, torch.ones(4, 2), k=2)
    one, two = math.exp(-1 / 8), math.exp(-4 / 8)
    assert e.value == pytest.approx(((one + two) / 2 + one) / 2)
