"""Disentanglement: planted codes, scikit-learn's mutual information, dead latents, honest doubt."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import t
from sklearn.metrics import balanced_accuracy_score, mutual_info_score, roc_auc_score
from sklearn.neighbors import NearestCentroid
from torch import Tensor

from vaelab.metrics import disentanglement_figures as figures
from vaelab.metrics import disentanglement_information as information
from vaelab.metrics import disentanglement_predictors as predictors
from vaelab.metrics.disentanglement_figures import Disentanglement, disentanglement
from vaelab.metrics.disentanglement_votes import factor_vae_score

SIZES, ORDERED = (3, 4, 5, 6), (False, True, True, True)
TWO_SIDED = ("factor_vae", "modularity", "infom", "dci_disentanglement")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(n: int = 1000, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Factors (n, 4), and a code that is each of them, standardised."""
    draws = generator(seed)
    factors = torch.stack([torch.randint(k, (n,), generator=draws) for k in SIZES], dim=1)
    values = factors.double()
    return factors, (values - values.mean(dim=0)) / values.std(dim=0)


def noise(n: int, d: int, scale: float = 1.0) -> Tensor:
    return scale * torch.randn(n, d, generator=generator(1), dtype=torch.float64)


def judged(codes: Tensor, factors: Tensor, **how: object) -> Disentanglement:
    return disentanglement(codes, factors, ordered=ORDERED, seeds=2, **how)  # type: ignore[arg-type]


def values(codes: Tensor, factors: Tensor) -> dict[str, float]:
    return {name: figure.value for name, figure in judged(codes, factors).figures.items()}


FACTORS, PERFECT = made()


@pytest.fixture(scope="module")
def perfect() -> Disentanglement:
    return judged(PERFECT, FACTORS)


def test_one_latent_a_factor_scores_one(perfect: Disentanglement) -> None:
    for name, figure in perfect.figures.items():
        assert figure.value == pytest.approx(1, abs=0.02), name
    assert len(perfect.figures) == 11
    assert torch.allclose(perfect.importances, torch.eye(4).double(), atol=0.01)


def test_codes_that_know_nothing_score_nothing() -> None:
    found = judged(noise(1000, 8), FACTORS)
    guess = found.facts["guess"]
    chance = {"factor_vae": 1 / 4, "dci_informativeness": guess}
    for name, figure in found.figures.items():
        assert figure.value == pytest.approx(chance.get(name, 0), abs=0.05), name
    assert guess == pytest.approx(np.mean([1 / k for k in SIZES]), abs=0.03)


def test_rotated_codes_are_informative_but_not_disentangled() -> None:
    half = torch.tensor([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
    found = values(PERFECT @ half.double(), FACTORS)
    for name in ("mig", "dci_disentanglement", "dci_completeness", "sap", "infom", "infoc"):
        assert found[name] < 0.1, name
    assert found["dci_informativeness"] > 0.8
    assert found["explicitness"] > 0.98
    assert found["infoe"] > 0.95


def test_codes_said_twice_are_disentangled_but_not_complete() -> None:
    found = values(torch.cat([PERFECT, PERFECT], dim=1), FACTORS)
    for name in ("dci_disentanglement", "modularity", "infom", "dci_informativeness"):
        assert found[name] == pytest.approx(1, abs=0.02), name
    assert found["dci_completeness"] == pytest.approx(1 - math.log(2) / math.log(8), abs=0.01)
    assert found["infoc"] == pytest.approx((1 / 2 - 1 / 8) / (1 - 1 / 8), abs=0.01)
    assert found["mig"] == found["sap"] == 0


def test_one_latent_for_two_factors_is_complete_but_not_disentangled() -> None:
    codes = torch.stack([10 * PERFECT[:, 0] + PERFECT[:, 1], PERFECT[:, 2], PERFECT[:, 3]], dim=1)
    found = values(codes, FACTORS)
    assert found["dci_completeness"] > 0.95
    assert found["dci_disentanglement"] == pytest.approx(
        1 - math.log(2) / math.log(4) / 2, abs=0.05
    )
    assert found["modularity"] < 0.97
    assert found["infom"] < 0.9


def test_information_is_that_of_scikit_learn() -> None:
    codes = PERFECT @ noise(4, 3) + noise(1000, 3, 0.3)
    bins = information.binned(codes)
    found = information.mutual_information(bins, FACTORS)
    for j in range(3):
        edges = np.histogram_bin_edges(codes[:, j], 20)
        other = np.digitize(codes[:, j], edges[1:-1])
        for f in range(4):
            expected = mutual_info_score(other, FACTORS[:, f])
            assert found[j, f] == pytest.approx(expected, rel=1e-9)
    entropy = [mutual_info_score(v, v) for v in FACTORS.T]
    assert information.entropies(FACTORS).tolist() == pytest.approx(entropy)


def test_the_gap_is_between_latents_of_a_factor() -> None:
    """A table laid out the other way, or read after one batch, gives another number."""
    table = torch.tensor([[3.0, 2.0], [1.0, 0.5], [0.5, 0.0]])
    entropy = torch.tensor([4.0, 3.0])
    assert information.mig(table, entropy) == pytest.approx(((3 - 1) / 4 + (2 - 0.5) / 3) / 2)
    # `.view` is no transpose: it keeps the order of the numbers.
    assert information.mig(table.view(2, 3).T, entropy) == pytest.approx((3 - 2) / 4 / 2)
    # All points count, and each factor has its own latent: here the code changes half way.
    swapped = PERFECT.clone()
    swapped[500:] = PERFECT[500:].flip(dims=[1])
    bins, entropy = information.binned(swapped), information.entropies(FACTORS)
    assert information.mig(information.mutual_information(bins, FACTORS), entropy) < 0.3
    first = information.mutual_information(information.binned(swapped[:500]), FACTORS[:500])
    assert information.mig(first, information.entropies(FACTORS[:500])) > 0.98


def test_modularity_and_infomec_by_hand() -> None:
    table = torch.tensor([[2.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 3.0]]).double()
    entropy = torch.tensor([4.0, 4.0, 4.0]).double()
    assert information.modularity(table) == pytest.approx((1 - 0.25 / 2 + 1) / 2)
    assert information.infom(table, entropy) == pytest.approx(((2 / 3 + 1) / 2 - 1 / 3) / (2 / 3))
    assert information.infoc(table, entropy) == 1
    assert information.infoc(table.T, entropy) == pytest.approx(
        ((2 / 3 + 1) / 2 - 1 / 3) / (2 / 3) * (2 / 3)  # nothing tells of the second factor
    )


def test_dci_by_hand() -> None:
    shares = torch.tensor([[0.5, 0.0], [0.5, 0.0], [0.0, 1.0], [0.0, 0.0]]).double()
    assert predictors.dci_disentanglement(shares) == 1
    assert predictors.dci_completeness(shares) == pytest.approx((1 - 0.5 + 1) / 2)
    assert predictors.dci_disentanglement(shares.T.contiguous()) == pytest.approx(3 / 4)


@pytest.mark.parametrize("dead", [1e-3, 0.2])
def test_dead_latents_change_nothing(perfect: Disentanglement, dead: float) -> None:
    found = judged(torch.cat([noise(1000, 3, dead), PERFECT], dim=1), FACTORS)
    assert found.live.tolist() == [False] * 3 + [True] * 4
    assert found.figures == perfect.figures
    assert (found.information[:3] == 0).all()
    assert (found.importances[:3] == 0).all()
    assert "3 of 7 latents are dead" in found.notes[0]


def test_unpruned_a_dead_latent_would_win_every_vote() -> None:
    """What pruning is for: a constant has the least variance, whatever factor is held."""
    codes = torch.cat([noise(1000, 1, 0), PERFECT], dim=1)
    assert factor_vae_score(PERFECT, FACTORS, generator()) == 1
    assert factor_vae_score(codes, FACTORS, generator()) < 0.35
    found = disentanglement(codes, FACTORS, dead_below=None, seeds=1)
    assert found.live.tolist() == [False] + [True] * 4  # a constant is dead at any scale
    assert found.figures["factor_vae"].value == 1


def test_without_a_scale_nothing_is_taken_for_dead() -> None:
    """An autoencoder's codes may be small and alive."""
    small = judged(0.01 * PERFECT, FACTORS)
    assert not small.figures
    assert "Every latent is dead" in small.notes[-1]
    assert small.live.sum() == 0
    found = judged(0.01 * PERFECT, FACTORS, dead_below=None)
    assert found.figures["mig"].value > 0.98
    assert "Nothing sets the scale" in found.notes[0]


def test_latents_that_tell_nothing_are_no_modules() -> None:
    """By chance they tell most of the factor with most values, which looks modular (2305.18378)."""
    n = 4000
    draws = generator()
    factors = torch.stack([torch.randint(k, (n,), generator=draws) for k in (2, 3, 40)], dim=1)
    bins = information.binned(noise(n, 6))
    by_chance = information.mutual_information(bins, factors)
    assert information.modularity(by_chance) > 0.9
    assert information.infom(by_chance, torch.ones(3)) > 0.8
    told = information.beyond_chance(bins, factors, generator())
    assert information.modularity(told) == information.infom(told, torch.ones(3)) == 0


def test_live_noise_beside_perfect_codes_is_not_counted() -> None:
    found = values(torch.cat([PERFECT, noise(1000, 4)], dim=1), FACTORS)
    for name in ("modularity", "infom", "infoc", "factor_vae"):
        assert found[name] == pytest.approx(1, abs=0.02), name
    assert found["mig"] == pytest.approx(1, abs=0.05)


def test_constant_factors_are_dropped(perfect: Disentanglement) -> None:
    table = torch.cat([torch.full((1000, 1), 2), FACTORS], dim=1)
    table[:3, 0] = 0
    names = ("colour", "a", "b", "c", "d")
    found = disentanglement(PERFECT, table, names, (False, *ORDERED), seeds=2)
    assert found.factors == ("a", "b", "c", "d")
    assert found.notes[0].startswith("colour hardly varies")
    assert found.figures == perfect.figures
    with pytest.raises(ValueError, match=r"no factor can be .* points: factor 1 hardly varies"):
        disentanglement(PERFECT, table[:, :1])


def test_numbers_of_rows_are_no_factor() -> None:
    codes, own = PERFECT[:120], torch.arange(120)[:, None]
    with pytest.raises(ValueError, match="factor 1 has 120 values, too many to tell apart"):
        disentanglement(codes, own)
    beside = disentanglement(codes, torch.cat([own // 3, own // 4, FACTORS[:120, :1]], 1), seeds=2)
    assert beside.factors == ("factor 2", "factor 3")
    assert beside.notes[0] == "factor 1 has 40 values, too many to tell apart: left out."
    # Where a half of the points has but one of another value, nothing is read off it.
    z, rare = torch.randn(60, 3).double(), (torch.arange(60) == 7).long()[:, None]
    assert predictors.logistic(z, rare, z, rare)[0] == 0


def test_one_factor_has_no_disentanglement() -> None:
    found = disentanglement(PERFECT, FACTORS[:, 3:], ("d",), (True,), seeds=2)
    assert not set(TWO_SIDED) & set(found.figures)
    assert found.figures["mig"].value > 0.95
    assert found.figures["dci_completeness"].value > 0.99


def test_the_order_of_points_does_not_matter() -> None:
    codes = PERFECT @ noise(4, 5) + noise(1000, 5, 0.5)
    order = torch.randperm(1000, generator=generator(3))
    found = judged(codes, FACTORS)
    assert judged(codes[order], FACTORS[order]).figures == found.figures
    assert judged(codes, FACTORS, seed=5).figures["mig"].value == found.figures["mig"].value


def test_at_most_10000_points_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vaelab.metrics.disentanglement_figures.POINTS", 400)
    found = judged(PERFECT, FACTORS)
    assert found.facts["points"] == found.figures["mig"].n == 400


def test_explicitness_is_scikit_learns_area_and_infoe_its_loss() -> None:
    from sklearn.linear_model import LogisticRegression

    codes = (PERFECT + noise(1000, 4, 0.7)).double()
    a, b = slice(0, 500), slice(500, 1000)
    explicit, infoe = predictors.logistic(codes[a], FACTORS[a], codes[b], FACTORS[b])
    areas, informed = [], []
    for f in range(4):
        model = LogisticRegression(C=1e4, max_iter=2000).fit(codes[a], FACTORS[a, f])
        p, truth = model.predict_proba(codes[b]), FACTORS[b, f].numpy()
        areas.append(roc_auc_score(np.eye(SIZES[f])[truth], p, average="macro"))
        loss = -np.log(p[np.arange(500), truth]).mean()
        informed.append(1 - loss / mutual_info_score(truth, truth))
    assert explicit == pytest.approx(2 * np.mean(areas) - 1, abs=0.002)
    assert infoe == pytest.approx(np.mean(informed), abs=0.01)


def test_sap_is_r_squared_where_values_are_ordered() -> None:
    codes = PERFECT @ noise(4, 2) + noise(1000, 2, 0.5)
    r2 = np.corrcoef(codes[500:].T, FACTORS[500:, 3].double())[2, :2] ** 2
    found = predictors.sap(codes[:500], FACTORS[:500, 3:], codes[500:], FACTORS[500:, 3:], (True,))
    assert found == pytest.approx(abs(r2[0] - r2[1]))


def test_sap_of_categories_is_scikit_learns_balanced_accuracy() -> None:
    draws = generator(4)
    rare = (torch.rand(1200, generator=draws) < 0.1).long() + (
        torch.rand(1200, generator=draws) < 0.3
    ).long()
    codes = rare[:, None] * torch.tensor([0.9, 0.3, 1.5]) + noise(1200, 3)
    a, b = slice(0, 600), slice(600, 1200)
    scores = []
    for j in range(3):
        nearest = NearestCentroid().fit(codes[a, j : j + 1], rare[a])
        guess = nearest.predict(codes[b, j : j + 1])
        scores.append(balanced_accuracy_score(rare[b], guess, adjusted=True))
        assert scores[-1] != pytest.approx((guess == rare[b].numpy()).mean(), abs=0.05)
    best, second = sorted(scores)[:0:-1]
    found = predictors.sap(codes[a], rare[a, None], codes[b], rare[b, None], (False,))
    assert found == pytest.approx(best - second, abs=1e-9)


def test_standard_errors_of_figures_are_those_of_two_halves_by_hand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """se² = t² mean over cuts of (θ_A − θ_B)² / 4, and the figure the mean of both halves."""
    sides = [[0.2, 0.5], [0.3, 0.9]]  # two cuts of two halves
    planted = iter([value for cut in sides for value in cut])
    monkeypatch.setattr(figures, "_counted", lambda z, v, generator: {})
    monkeypatch.setattr(
        figures, "_predicted", lambda *_: ({"infoe": next(planted)}, torch.zeros(4, 4).double())
    )
    found = judged(PERFECT, FACTORS).figures["infoe"]
    assert found.value == pytest.approx((0.2 + 0.5 + 0.3 + 0.9) / 4)
    student = t.ppf(0.975, 2) / 1.96
    assert found.se == pytest.approx(student * math.sqrt((0.3**2 + 0.6**2) / 2 / 4))


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        disentanglement(PERFECT, FACTORS.double())
    with pytest.raises(ValueError, match="a row for each of 1,000 codes"):
        disentanglement(PERFECT, FACTORS[:10])
    with pytest.raises(ValueError, match="at least 100"):
        disentanglement(PERFECT[:50], FACTORS[:50])
    with pytest.raises(ValueError, match="4 factors have 1 names"):
        disentanglement(PERFECT, FACTORS, ("a",))
    with pytest.raises(ValueError, match="negative"):
        disentanglement(PERFECT, -FACTORS)
    with pytest.raises(ValueError, match="seeds is 0"):
        disentanglement(PERFECT, FACTORS, seeds=0)
