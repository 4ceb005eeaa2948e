"""The engine of `understand`: planted verdicts, places on planted codes, one tiny study whole."""

import importlib
import json
import math

import pytest
import torch

from vaelab.data import load
from vaelab.metrics import Estimate
from vaelab.runs.load import load as load_run
from vaelab.understand.benchmark import Cloud, encode, ground
from vaelab.understand.claims import (
    ROWS,
    Claim,
    Comparison,
    Row,
    best,
    check_claim,
    claims,
    compare,
)
from vaelab.understand.document import document
from vaelab.understand.figures import draw
from vaelab.understand.galleries import noise_like
from vaelab.understand.landmarks import core, ellipse_points, lattice, strayed
from vaelab.understand.measure import Missing, measure_model, reach
from vaelab.understand.study import MODELS, key, num_epochs, study

# The package shows the function under the name of its module.
measures = importlib.import_module("vaelab.understand.measure")

BELOW = Claim("holes", 1, (Comparison("holes", "vae", "ae"),))
UNIT = {"share", "nats", "none"}


def _figures(**values):
    """One figure, "holes", for some models at latent 2; the others have none."""
    return {
        key(model, 2): {"holes": values.get(model.replace("-", "_"), Missing("point"))}
        for model in MODELS
    }


@pytest.mark.parametrize(
    ("vae", "ae", "verdict"),
    [
        (0.10, 0.20, "holds"),
        (0.20, 0.10, "fails"),
        (0.10, 0.11, "undecided"),
        (0.10, 0.10, "undecided"),
    ],
)
def test_a_claim_is_decided_by_two_standard_errors(vae, ae, verdict):
    found = check_claim(BELOW, _figures(vae=Estimate(vae, 0.01, 99), ae=Estimate(ae, 0.01, 99)), 2)
    assert found.verdict == verdict
    (one,) = found.compared
    assert one.verdict == verdict
    assert one.ratio == pytest.approx(vae / ae)
    assert one.z == pytest.approx((ae - vae) / math.hypot(0.01, 0.01))


def test_the_factor_scales_the_right_hand_side_and_its_error():
    figures = _figures(vae=Estimate(0.4, 0.0, 9), ae=Estimate(1.0, 0.3, 9))
    third = compare(Comparison("holes", "vae", "ae", factor=1 / 3), figures, 2)
    assert third.z == pytest.approx((1 / 3 - 0.4) / 0.1)
    above = compare(Comparison("holes", "ae", "vae", factor=2.0, above=True), figures, 2)
    assert above.z == pytest.approx((1.0 - 0.8) / 0.3)


def test_a_bound_needs_no_other_model():
    rate = Comparison("holes", "kl-only", None, factor=0.1)
    assert compare(rate, _figures(kl_only=Estimate(0.001, 0.001, 9)), 2).verdict == "holds"
    assert compare(rate, _figures(kl_only=Estimate(0.5, 0.001, 9)), 2).verdict == "fails"
    exact = compare(rate, _figures(kl_only=Estimate(0.0, 0.0, 9)), 2)
    assert (exact.verdict, exact.z, exact.ratio) == ("holds", math.inf, None)


def test_a_missing_figure_leaves_a_claim_open():
    found = check_claim(BELOW, _figures(vae=Estimate(0.1, 0.01, 9)), 2)
    assert found.verdict is None
    assert (found.compared[0].z, found.compared[0].ratio) == (None, None)


def _all(names, **values):
    """Figures of the four models at latent 2: `names` by model, each ± 0.01."""
    return {
        key(model, 2): {
            name: Estimate(values[name][i], 0.01, 99) if name in values else Missing("point")
            for name in names
        }
        for i, model in enumerate(MODELS)  # ae, kl-only, reconstruction-only, vae
    }


@pytest.mark.parametrize(
    ("mmd", "knn", "verdict"),
    [
        ((0.5, 0.0, 0.7, 0.1), (0.9, 0.1, 0.9, 0.8), "holds"),
        # The classes told apart better without the rate is no contradiction: not claimed.
        ((0.5, 0.0, 0.7, 0.1), (0.99, 0.1, 0.99, 0.8), "holds"),
        ((0.1, 0.0, 0.7, 0.5), (0.9, 0.1, 0.9, 0.8), "fails"),  # no closer than the autoencoder
        ((0.5, 0.0, 0.1, 0.5), (0.9, 0.1, 0.9, 0.8), "fails"),  # nor than reconstruction only
        ((0.5, 0.0, 0.7, 0.1), (0.9, 0.8, 0.9, 0.1), "fails"),  # told apart worse than KL only
        ((0.5, 0.0, 0.7, 0.1), (0.9, 0.5, 0.9, 0.5), "undecided"),
        ((0.5, 0.0, 0.1, 0.1), (0.9, 0.8, 0.9, 0.1), "fails"),  # one that fails decides
    ],
)
def test_together_and_apart_is_held_against_each_of_the_three_others(mmd, knn, verdict):
    (claim,) = (one for one in claims(0.1) if one.id == "together_and_apart")
    figures = _all(("mmd", "knn_accuracy"), mmd=mmd, knn_accuracy=knn)
    assert check_claim(claim, figures, 2).verdict == verdict
    assert {one.right for one in claim.comparisons} == set(MODELS) - {"vae"}


def test_samples_are_better_only_if_better_than_all_three():
    (claim,) = (one for one in claims(None) if one.id == "samples_better")
    name = "precision_coverage"
    above = {name: (0.2, 0.3, 0.1, 0.6)}
    assert check_claim(claim, _all((name,), **above), 2).verdict == "holds"
    for worse in ((0.8, 0.2, 0.2, 0.6), (0.2, 0.8, 0.2, 0.6), (0.2, 0.2, 0.8, 0.6)):
        assert check_claim(claim, _all((name,), **{name: worse}), 2).verdict == "fails"


def test_without_classes_no_claim_needs_them():
    needs = {"knn_accuracy", "balance", "confidence"}
    assert not needs & {one.figure for claim in claims(None) for one in claim.comparisons}
    assert needs == needs & {one.figure for claim in claims(0.5) for one in claim.comparisons}


def test_the_best_is_marked_with_those_that_tie():
    low = Row("holes", "share", "low")
    figures = _figures(
        ae=Estimate(0.30, 0.01, 9),
        kl_only=Estimate(0.05, 0.01, 9),
        reconstruction_only=Estimate(0.115, 0.01, 9),
        vae=Estimate(0.10, 0.01, 9),
    )
    assert best(low, figures, 2) == ["kl-only"]
    assert best(Row("holes", "share", "low", collapse_wins=True), figures, 2) == [
        "reconstruction-only",
        "vae",
    ]
    assert best(Row("holes", "share", "high"), figures, 2) == ["ae"]
    assert best(Row("holes", "share", None), figures, 2) == []
    assert best(low, _figures(), 2) == []


@pytest.mark.parametrize(("chance", "bound"), [(0.1, 0.28), (0.5, 0.6), (0.9, 0.92)])
def test_chance_sets_the_bound_of_what_knows_nothing(chance, bound):
    by_id = {claim.id: claim for claim in claims(chance)}
    assert by_id["kl_only_knn"].comparisons[0].factor == pytest.approx(bound)
    assert len(by_id) == len(claims(chance))
    used = {one.figure for claim in claims(chance) for one in claim.comparisons}
    assert used <= {row.figure for row in ROWS}


def test_a_product_has_the_error_of_the_product_rule():
    found = measures.product(Estimate(0.5, 0.1, 40), Estimate(0.2, 0.05, 30))
    assert found.value == pytest.approx(0.1)
    assert found.se == pytest.approx(math.hypot(0.1 * 0.2, 0.05 * 0.5))
    assert found.n == 40


def test_precision_times_coverage_is_recomputed_with_its_error(small):
    *_, measured, _, _ = small
    for name in ("vae-3", "ae-2"):
        figures = measured[name].figures
        precision, coverage, both = (
            figures[each] for each in ("precision", "coverage", "precision_coverage")
        )
        assert both.value == pytest.approx(precision.value * coverage.value)
        by_hand = (
            (precision.se * coverage.value) ** 2 + (coverage.se * precision.value) ** 2
        ) ** 0.5
        assert both.se == pytest.approx(by_hand)


def _blobs():
    draws = torch.Generator().manual_seed(0)
    blobs = torch.randn(400, 2, generator=draws) * 0.3
    blobs[:200, 0] -= 4
    blobs[200:, 0] += 4
    return blobs


def test_the_strip_goes_where_the_decoder_strays_not_where_codes_are_few():
    blobs = _blobs()
    # A decoder that is wrong about (1.5, 0.2) alone, and right in the middle of the gap.
    wrong = torch.tensor([1.5, 0.2])
    found = strayed(blobs, lambda z: (-(z - wrong).square().sum(1)).exp(), 0.1)
    middle = (torch.tensor(found.start) + torch.tensor(found.end)) / 2
    assert torch.allclose(middle, wrong, atol=0.2)
    nearest = float((blobs - middle).norm(dim=1).min())
    assert found.distance == pytest.approx(nearest, rel=1e-5)
    length = float((torch.tensor(found.start) - torch.tensor(found.end)).norm())
    assert length == pytest.approx(2 * nearest, rel=1e-5)
    # One that is right wherever codes are strays furthest from them.
    far = strayed(blobs, lambda z: torch.cdist(z, blobs).min(1).values, 0.1)
    assert abs(far.start[0] + far.end[0]) / 2 < 1.0
    assert far.distance > 2.0


def test_points_of_the_ellipse_follow_the_codes_even_on_a_line():
    draws = torch.Generator().manual_seed(1)
    codes = torch.randn(5000, 2, generator=draws) * torch.tensor([3.0, 0.5]) + 7
    points = ellipse_points(codes)
    assert torch.allclose(points[0], codes.mean(0))
    centred = (points - codes.mean(0)) / codes.std(0, correction=0)
    assert float(centred.norm(dim=1).max()) == pytest.approx(2.0, rel=0.05)
    assert float(points[:, 0].std() / points[:, 1].std()) == pytest.approx(6.0, rel=0.1)
    line = torch.stack([torch.linspace(-1, 1, 50), torch.linspace(-2, 2, 50)], 1)
    assert torch.allclose(ellipse_points(line)[:, 1], 2 * ellipse_points(line)[:, 0], atol=1e-3)


def test_the_core_lies_inside_one_class():
    blobs = _blobs()
    labels = (blobs[:, 0] > 0).long()
    inside = core(blobs, labels, length=1.0)
    ends = torch.tensor([inside.start, inside.end])
    assert ((ends[:, 0] > 0) == bool(inside.label)).all()
    assert float((ends[0] - ends[1]).norm()) <= 1.0 + 1e-5
    assert core(blobs, None, length=1.0).label is None


def test_one_class_is_no_class():
    data = load((torch.rand(200, 1, 6, 5).numpy(), torch.zeros(200, dtype=torch.long).numpy()))
    common = ground(data, data.spec)
    assert common.train.y is None
    assert common.held.y is None
    assert common.chance is None
    assert not common.paired_by_class


def test_rows_that_repeat_are_noticed():
    draws = torch.Generator().manual_seed(2)
    x = torch.randn(300, 4, generator=draws)
    assert not ground(load(x.numpy()), load(x.numpy()).spec).repeats
    points = load(x[:2].repeat(150, 1).numpy())
    assert ground(points, points.spec).repeats
    thrice = load(x.repeat(3, 1).numpy())  # held-out rows have their copies in the training split
    assert ground(thrice, thrice.spec).repeats
    some = torch.cat([x[:2].repeat(20, 1), x])  # 40 of 340 rows, 12%: k-NN balls of them are empty
    assert ground(load(some.numpy()), load(some.numpy()).spec).repeats


def test_a_lattice_runs_from_the_smallest_second_coordinate():
    z = lattice((0.0, 2.0, 0.0, 4.0), 2)
    assert z.tolist() == [[0.5, 1.0], [1.5, 1.0], [0.5, 3.0], [1.5, 3.0]]


def test_noise_is_as_large_against_the_codes_as_the_posterior_is_to_its_own():
    mu = torch.tensor([[2.0, 0.0], [-2.0, 0.0]]).repeat(50, 1)
    posterior = Cloud(mu, torch.tensor([0.5, 1.0]).expand_as(mu))
    codes = Cloud(10 * mu + torch.tensor([0.0, 1.0]) * mu.flip(1), torch.zeros_like(mu))
    noise, ratio = noise_like(posterior, codes)
    assert ratio == pytest.approx(0.5 / float(mu[:, 0].std()))  # the unused dimension is left out
    assert torch.allclose(noise, ratio * codes.mu.std(0))


def test_passes_grow_as_data_shrinks():
    assert num_epochs(100) > num_epochs(10_000) >= num_epochs(1_000_000) >= 1


class ProgressRecorder:
    def __init__(self):
        self.seen = []

    def on_progress(self, phase, name, done, total):
        assert 0 <= done <= total
        self.seen.append((phase, name))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A study of digits that learned next to nothing, measured with few draws, and its JSON."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"SAMPLES": 400, "PRIOR_DRAWS": 1000, "KL_DRAWS": 100}.items():
            patch.setattr(measures, name, value)
        for module, name, value in (("study", "WIDTH", 32), ("benchmark", "CLASSIFIER_STEPS", 200)):
            patch.setattr(importlib.import_module(f"vaelab.understand.{module}"), name, value)
        folder, told = tmp_path_factory.mktemp("understand"), ProgressRecorder()
        found = study(load("digits8x8"), wide=3, epochs=2, out=folder / "runs", watcher=told)
        common = ground(found.data, found.run("vae", 3).spec)
        reached = {latent: reach(common, latent) for latent in found.sizes}
        measured = {
            name: measure_model(run, common, reached[run.latent])
            for name, run in found.runs.items()
        }
        album = draw(found, common, folder / "figures", told)
        content = document(found, common, measured, album.facts, {"train": 1.0})
    return folder, found, common, measured, content, told


def test_the_document_is_strict_json_with_every_number_or_its_reason(small):
    _, found, _, _, content, _ = small
    again = json.loads(json.dumps(content, allow_nan=False))
    assert set(again["models"]) == {key(m, n) for n in (2, 3) for m in MODELS} == set(found.runs)
    for model in again["models"].values():
        assert list(model["figures"]) == [row.figure for row in ROWS]
        for figure in model["figures"].values():
            if figure["value"] is None:
                assert figure["why"] in {"point", "unlabelled", "collapsed"}
            else:
                assert math.isfinite(figure["value"])
                assert figure["se"] >= 0
                assert figure["n"] > 0
    assert again["models"]["ae-2"]["figures"]["rate"] == {"value": None, "why": "point"}
    assert {row["unit"] for row in again["rows"]} <= UNIT
    assert all(set(row["best"]) == {"2", "3"} for row in again["rows"])
    assert len(again["claims"]) == 2 * len(claims(0.1))
    for claim in again["claims"]:
        assert claim["holds"] == (None if claim["verdict"] is None else claim["verdict"] == "holds")


def test_a_point_has_no_scale_and_no_overlap(small):
    *_, measured, _, _ = small
    for name in ("ae-2", "ae-3"):
        figures = measured[name].figures
        assert figures["posterior_scale"].value == figures["overlap"].value == 0
        assert figures["spread"].value == 0
        assert isinstance(figures["aggregate_kl"], Missing)


def test_figures_of_one_model_are_the_same_twice(small):
    _, found, common, measured, _, _ = small
    again = measures._regions(
        common, *(encode(found.run("vae", 2), x) for x in (common.train.x, common.held.x))
    )
    assert {name: measured["vae-2"].figures[name] for name in again} == again


def test_held_out_rows_join_both_splits_where_the_test_split_is_small(small):
    _, found, common, _, content, _ = small
    assert len(common.held) == len(found.data.valid.x) + len(found.data.test.x)
    assert content["measurement"]["heldout"] == {"split": "valid+test", "n": len(common.held)}
    assert content["measurement"]["encoder_input"] == "grey"
    y = common.held.y
    assert (y[common.pairs[:, 0]] != y[common.pairs[:, 1]]).all()


def test_every_picture_listed_is_there_and_nothing_else(small):
    folder, _, _, _, content, told = small
    listed = {picture["file"] for picture in content["pictures"]}
    assert listed == {path.name for path in (folder / "figures").iterdir()}
    assert {phase for phase, _ in told.seen} == {"train", "draw"}
    drawn = [name for phase, name in told.seen if phase == "draw"]
    assert len(drawn) == len(listed)
    assert {picture["section"] for picture in content["pictures"]} == {1, 2, 3, 4, 5, 6}


def test_inputs_are_of_different_classes_and_carry_their_codes(small):
    *_, content, _ = small
    labels = [given["label"] for given in content["inputs"]]
    assert len(set(labels)) == len(labels) == 5
    for given in content["inputs"]:
        assert [len(given["codes"][name]["mean"]) for name in ("vae-2", "vae-3")] == [2, 3]
        assert min(given["codes"]["vae-2"]["std"]) > 0


def test_runs_can_be_used_by_every_other_command(small):
    folder, found, _, _, content, _ = small
    run = load_run(folder / content["models"]["vae-3"]["run"])
    x = found.data.test.x[:3]
    assert torch.equal(run.encode(x), found.run("vae", 3).encode(x))


def test_what_is_there_is_not_replaced_unasked(small):
    folder, found, *_ = small
    with pytest.raises(ValueError, match="holds a run already"):
        study(found.data, wide=3, epochs=1, out=folder / "runs")


def test_the_wide_size_is_wider_than_the_map():
    with pytest.raises(ValueError, match="above 2"):
        study(load("digits8x8"), wide=2)


def test_data_without_labels_is_paired_anyhow_and_compared_in_pixels():
    draws = torch.Generator().manual_seed(1)
    x = torch.rand(300, 1, 6, 5, generator=draws)
    data = load(x.numpy())
    common = ground(data, data.spec)
    assert common.classifier is None
    assert common.chance is None
    assert not common.paired_by_class
    assert "principal components" in common.space.name
    assert common.pairs.shape == (500, 2)
