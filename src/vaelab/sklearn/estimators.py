"""Estimators with scikit-learn's interface: `VAETransformer`, `VAEDensity`, `VAEOutlierDetector`.

Signs follow scikit-learn: `score_samples` is log p(row) in nats, higher is more normal.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    DensityMixin,
    OutlierMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from vaelab.sklearn.model import ColumnModel, Rows, Settings
from vaelab.utils.hints import hinting

LARGEST_SEED = 2**31 - 1


class _VAEEstimator(BaseEstimator):
    """Shared fitting of all estimators; subclasses add one ability each."""

    n_components: int
    width: int
    beta: float
    max_steps: int
    batch_size: int
    learning_rate: float
    random_state: int | RandomState | None
    model_: ColumnModel

    def fit(self, X: Any, y: None = None) -> Self:
        """Train the model.

        Args:
            X: rows (N, D) of finite numbers, N ≥ 2.
            y: ignored.

        Returns:
            The estimator.

        Raises:
            ValueError: if rows are not finite, fewer than 2, or a setting is out of its range.
        """
        rows = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        for name in ("n_components", "width", "max_steps", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        settings = Settings(
            n_components=self.n_components,
            width=self.width,
            beta=self.beta,
            max_steps=self.max_steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
        )
        self.seed_ = int(check_random_state(self.random_state).randint(LARGEST_SEED))
        self.model_ = ColumnModel.train(rows, settings, self.seed_)
        self.n_steps_ = self.model_.steps
        return self

    def _rows(self, X: Any) -> Rows:
        check_is_fitted(self)
        rows: Rows = validate_data(self, X, dtype=np.float64, reset=False)
        return rows


class VAETransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, _VAEEstimator):
    """Codes of rows: posterior means E q(z|x) of a variational autoencoder.

    Columns are standardised and modelled as real numbers, with one learned σ for each column.

    Args:
        n_components: dimensions of the code, at least 1.
        width: units of each of the two hidden layers of encoder and decoder.
        beta: weight of the rate, at least 0; 1 is the evidence lower bound.
        max_steps: gradient steps of the training, rounded to whole epochs.
        batch_size: rows in a step.
        learning_rate: peak learning rate of AdamW.
        random_state: seed of weights, order and noise.

    Attributes:
        model_: the trained `ColumnModel`; `model_.recipe` is the vaelab recipe.
        n_steps_: gradient steps taken.
        n_features_in_: D.
        feature_names_in_: names of the columns, if X had names.

    Reference:
        Auto-Encoding Variational Bayes (Kingma & Welling, 2014), arXiv:1312.6114

    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data
    >>> VAETransformer(n_components=2, max_steps=50, random_state=0).fit_transform(X).shape
    (150, 2)
    """

    @hinting
    def __init__(
        self,
        n_components: int = 2,
        *,
        width: int = 64,
        beta: float = 1.0,
        max_steps: int = 2000,
        batch_size: int = 128,
        learning_rate: float = 2e-3,
        random_state: int | RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.width = width
        self.beta = beta
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.random_state = random_state

    def transform(self, X: Any) -> Rows:
        """Return the codes (N, n_components) of rows (N, D), float64."""
        rows = self._rows(X)
        return self.model_.encode(rows)

    def inverse_transform(self, X: Any) -> Rows:
        """Return the decoded means (N, D), in the units of the data, of codes (N, n_components).

        Raises:
            ValueError: if the codes have another number of dimensions.
        """
        check_is_fitted(self)
        codes = check_array(X, dtype=np.float64)
        if codes.shape[1] != self.n_components:
            raise ValueError(
                f"codes have shape {codes.shape}; expected (N, {self.n_components}), as from "
                "transform"
            )
        return self.model_.decode(codes)

    @property
    def _n_features_out(self) -> int:
        return self.n_components


class VAEDensity(DensityMixin, _VAEEstimator):
    """Density of rows: log p(row) in nats by an importance-weighted bound.

    The bound lies below the model's log-density in expectation and tightens with `n_samples`.

    Args:
        n_components: dimensions of the latent variable, at least 1.
        width: units of each of the two hidden layers of encoder and decoder.
        beta: weight of the rate, at least 0; 1 is the evidence lower bound.
        max_steps: gradient steps of the training, rounded to whole epochs.
        batch_size: rows in a step.
        learning_rate: peak learning rate of AdamW.
        n_samples: K, importance samples of each row.
        random_state: seed of weights, order and noise.

    Attributes:
        model_: the trained `ColumnModel`.
        n_steps_: gradient steps taken.
        n_features_in_: D.

    Reference:
        Importance Weighted Autoencoders (Burda et al., 2016), arXiv:1509.00519

    >>> from sklearn.datasets import load_iris
    >>> density = VAEDensity(max_steps=50, random_state=0).fit(load_iris().data)
    >>> density.sample(3, random_state=1).shape
    (3, 4)
    """

    @hinting
    def __init__(
        self,
        n_components: int = 2,
        *,
        width: int = 64,
        beta: float = 1.0,
        max_steps: int = 2000,
        batch_size: int = 128,
        learning_rate: float = 2e-3,
        n_samples: int = 64,
        random_state: int | RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.width = width
        self.beta = beta
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.n_samples = n_samples
        self.random_state = random_state

    def score_samples(self, X: Any) -> Rows:
        """Return log p(row) in nats, (N,), of rows (N, D)."""
        rows = self._rows(X)
        return self.model_.log_prob(rows, self.n_samples, self.seed_)

    def score(self, X: Any, y: None = None) -> float:
        """Return the mean of log p(row) over rows (N, D), in nats."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: int | RandomState | None = None) -> Rows:
        """Return rows (n_samples, D) drawn from the model, in the units of the data.

        Args:
            n_samples: number of rows, at least 1.
            random_state: seed of the draws.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"n_samples is {n_samples}; it must be 1 or more")
        seed = int(check_random_state(random_state).randint(LARGEST_SEED))
        return self.model_.sample(n_samples, seed)


class VAEOutlierDetector(OutlierMixin, _VAEEstimator):
    """Outliers: rows whose log p lies below a quantile of the training rows' own.

        decision_function(row) = score_samples(row) − offset_,   predict = −1 if it is negative

    Args:
        n_components: dimensions of the latent variable, at least 1.
        width: units of each of the two hidden layers of encoder and decoder.
        beta: weight of the rate, at least 0; 1 is the evidence lower bound.
        max_steps: gradient steps of the training, rounded to whole epochs.
        batch_size: rows in a step.
        learning_rate: peak learning rate of AdamW.
        n_samples: K, importance samples of each row.
        contamination: share of the training rows that are called outliers, in (0, 0.5].
        random_state: seed of weights, order and noise.

    Attributes:
        model_: the trained `ColumnModel`.
        offset_: log p in nats below which a row is an outlier.
        n_steps_: gradient steps taken.
        n_features_in_: D.

    >>> from sklearn.datasets import load_iris
    >>> detector = VAEOutlierDetector(contamination=0.1, max_steps=50, random_state=0)
    >>> int((detector.fit_predict(load_iris().data) == -1).sum())
    15
    """

    @hinting
    def __init__(
        self,
        n_components: int = 2,
        *,
        width: int = 64,
        beta: float = 1.0,
        max_steps: int = 2000,
        batch_size: int = 128,
        learning_rate: float = 2e-3,
        n_samples: int = 64,
        contamination: float = 0.1,
        random_state: int | RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.width = width
        self.beta = beta
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.n_samples = n_samples
        self.contamination = contamination
        self.random_state = random_state

    def fit(self, X: Any, y: None = None) -> Self:
        """Train the model and set the threshold; arguments and errors as `VAETransformer.fit`."""
        if not 0 < self.contamination <= 0.5:
            raise ValueError(
                f"contamination is {self.contamination}; it is a share above 0, at most 0.5"
            )
        super().fit(X)
        scores = self.score_samples(X)
        self.offset_ = float(np.percentile(scores, 100 * self.contamination))
        return self

    def score_samples(self, X: Any) -> Rows:
        """Return log p(row) in nats, (N,), of rows (N, D); higher is more normal."""
        rows = self._rows(X)
        return self.model_.log_prob(rows, self.n_samples, self.seed_)

    def decision_function(self, X: Any) -> Rows:
        """Return `score_samples(X) − offset_`, (N,); negative for outliers."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return −1 for outliers and 1 for other rows, (N,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)
