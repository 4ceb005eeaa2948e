"""Estimators: scikit-learn's own checks, exact answers, and the places estimators are used in."""

from __future__ import annotations

import io

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from vaelab.sklearn import VAEDensity, VAEImputer, VAEOutlierDetector, VAETransformer

SMALL = {"width": 8, "max_steps": 20, "batch_size": 256}


@parametrize_with_checks(
    [
        VAETransformer(**SMALL),
        VAEDensity(**SMALL, n_samples=4),
        VAEOutlierDetector(**SMALL, n_samples=4),
        VAEImputer(**SMALL, n_samples=4, bound_samples=2),
    ]
)
def test_estimator_passes_check(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def iris():
    return load_iris().data


def test_score_samples_of_a_row_do_not_depend_on_the_batch(iris):
    density = VAEDensity(**SMALL, n_samples=8, random_state=3).fit(iris)
    together = density.score_samples(iris)
    alone = np.concatenate([density.score_samples(row[None]) for row in iris[:20]])
    np.testing.assert_allclose(together[:20], alone, atol=1e-9, rtol=0)
    order = np.random.default_rng(0).permutation(len(iris))
    np.testing.assert_allclose(density.score_samples(iris[order]), together[order], atol=1e-9)


def test_score_of_gaussian_rows_is_that_of_probabilistic_pca():
    random = np.random.default_rng(1)
    loadings = np.array([[2.0, 0.0], [1.5, 1.0], [-1.0, 2.0], [0.3, -0.8], [0.0, 1.1]])
    rows = random.normal(size=(1200, 2)) @ loadings.T + 0.7 * random.normal(size=(1200, 5))
    rows = rows * [1, 10, 0.1, 3, 1] + [5, -20, 0, 1, 100]
    train, test = rows[:800], rows[800:]
    # σ of the data differs by column, as the model's does; PCA has one for standardised columns.
    scaler = StandardScaler().fit(train)
    exact = PCA(2).fit(scaler.transform(train)).score(scaler.transform(test))
    exact -= np.log(scaler.scale_).sum()
    density = VAEDensity(2, max_steps=800, learning_rate=5e-3, n_samples=256, random_state=0).fit(
        train
    )
    assert density.score(test) == pytest.approx(exact, abs=0.25)


def test_sample_has_the_mean_and_the_spread_of_the_rows():
    random = np.random.default_rng(2)
    rows = random.normal(size=(600, 3)) * [1, 20, 0.5] + [0, 100, -3]
    density = VAEDensity(2, max_steps=500, learning_rate=5e-3, random_state=0).fit(rows)
    drawn = density.sample(4000, random_state=0)
    np.testing.assert_allclose(drawn.mean(0), rows.mean(0), atol=0.15 * rows.std(0).max())
    np.testing.assert_allclose(drawn.std(0), rows.std(0), rtol=0.2)
    assert not np.array_equal(drawn, density.sample(4000, random_state=1))


def test_constant_column_comes_back_constant(iris):
    rows = np.column_stack([iris, np.full(len(iris), 1e6 / 3)])
    transformer = VAETransformer(**SMALL, random_state=0).fit(rows)
    back = transformer.inverse_transform(transformer.transform(rows))
    np.testing.assert_allclose(back[:, -1], 1e6 / 3, atol=1.0)


def test_detector_ranks_malignant_cells_below_benign_ones():
    data = load_breast_cancer()
    normal = data.data[data.target == 1]
    detector = VAEOutlierDetector(4, max_steps=300, n_samples=16, random_state=0)
    detector.fit(normal[:180])
    benign, malignant = (
        detector.predict(normal[180:]),
        detector.predict(data.data[data.target == 0]),
    )
    assert (malignant == -1).mean() > 0.6
    assert (benign == -1).mean() < 0.3


def test_detector_calls_the_contaminating_share_of_training_rows_outliers(iris):
    detector = VAEOutlierDetector(**SMALL, contamination=0.2, random_state=0).fit(iris)
    assert (detector.predict(iris) == -1).sum() == 30
    assert detector.decision_function(iris) == pytest.approx(
        detector.score_samples(iris) - detector.offset_
    )


def test_joblib_round_trip_keeps_every_number(iris):
    detector = VAEOutlierDetector(**SMALL, random_state=0).fit(iris)
    file = io.BytesIO()
    joblib.dump(detector, file)
    again = joblib.load(io.BytesIO(file.getvalue()))
    assert np.array_equal(again.decision_function(iris), detector.decision_function(iris))
    assert b"torch" not in file.getvalue()


def test_estimators_work_in_pipeline_grid_search_and_set_output(iris):
    pipeline = make_pipeline(StandardScaler(), VAEDensity(**SMALL, n_samples=4, random_state=0))
    search = GridSearchCV(pipeline, {"vaedensity__n_components": [1, 3]}, cv=2).fit(iris)
    assert search.best_params_["vaedensity__n_components"] in (1, 3)
    transformer = clone(VAETransformer(3, **SMALL, random_state=0)).fit(iris)
    assert list(transformer.get_feature_names_out()) == [f"vaetransformer{i}" for i in range(3)]


def test_set_output_gives_frames(iris):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    transformer = VAETransformer(2, **SMALL, random_state=0).set_output(transform="pandas")
    frame = transformer.fit_transform(iris)
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == ["vaetransformer0", "vaetransformer1"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_components": 0}, "n_components is 0"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"beta": -1.0}, "beta"),
        ({"learning_rate": 0.0}, "0.0"),
    ],
)
def test_setting_out_of_range_is_refused_at_fit(iris, settings, message):
    with pytest.raises(ValueError, match=message):
        VAETransformer(**settings).fit(iris)


@pytest.mark.parametrize("contamination", [0.0, 0.6])
def test_contamination_out_of_range_is_refused(iris, contamination):
    with pytest.raises(ValueError, match=f"contamination is {contamination}"):
        VAEOutlierDetector(contamination=contamination).fit(iris)


def test_codes_of_another_length_are_refused(iris):
    transformer = VAETransformer(2, **SMALL, random_state=0).fit(iris)
    with pytest.raises(ValueError, match=r"\(1, 3\); expected \(N, 2\)"):
        transformer.inverse_transform([[0.0, 0.0, 0.0]])


def test_imputer_fills_gaps_better_than_the_mean_and_changes_no_other_cell():
    random = np.random.default_rng(4)
    rows = random.normal(size=(300, 1)) @ [[2.0, -1.0, 0.5, 1.5]] + 0.3 * random.normal(
        size=(300, 4)
    )
    rows = rows * [1, 10, 0.1, 3] + [5, -20, 0, 1]
    hidden = random.random(rows.shape) < 0.3
    gaps = np.where(hidden, np.nan, rows)
    imputer = VAEImputer(1, width=16, max_steps=300, learning_rate=5e-3, random_state=0)
    filled = imputer.fit_transform(gaps)
    assert np.array_equal(filled[~hidden], rows[~hidden])
    mean = np.where(hidden, np.nanmean(gaps, 0), rows)
    errors = [((x - rows) ** 2).sum(0) for x in (filled, mean)]
    assert (errors[0] < 0.5 * errors[1]).all()
    drawn = [
        clone(imputer)
        .set_params(sample_posterior=True, random_state=seed)
        .fit(gaps)
        .transform(gaps)
        for seed in (0, 1)
    ]
    assert not np.array_equal(*drawn)


def test_imputer_drops_or_fills_columns_without_values():
    rows = np.array([[1.0, np.nan, 2.0], [2.0, np.nan, np.nan], [3.0, np.nan, 7.0]])
    settings = {**SMALL, "n_samples": 4, "bound_samples": 2, "random_state": 0}
    assert VAEImputer(**settings).fit_transform(rows).shape == (3, 2)
    kept = VAEImputer(**settings, keep_empty_features=True).fit(rows)
    assert kept.transform(rows)[:, 1].tolist() == [0.0, 0.0, 0.0]
    names = VAEImputer(**settings).fit(rows).get_feature_names_out(["a", "b", "c"])
    assert names.tolist() == ["a", "c"]
    with pytest.raises(ValueError, match="every cell is missing"):
        VAEImputer(**settings).fit(np.full((3, 2), np.nan))
