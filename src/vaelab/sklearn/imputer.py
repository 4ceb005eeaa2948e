"""Imputer with scikit-learn's interface: `VAEImputer`."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.random import RandomState
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_is_fitted,
    validate_data,
)

from vaelab.sklearn.estimators import LARGEST_SEED
from vaelab.sklearn.model import ColumnModel, Rows, Settings


class VAEImputer(TransformerMixin, BaseEstimator):
    """Missing cells filled with their conditional mean under a variational autoencoder.

    The model is trained on the observed cells alone, by an importance-weighted bound, and cells are
    filled by self-normalised importance sampling. Observed cells are returned unchanged. Columns
    are standardised and modelled as real numbers, with one learned σ each.

    Args:
        n_components: dimensions of the latent variable, at least 1.
        width: units of each of the two hidden layers of encoder and decoder.
        max_steps: gradient steps of the training, rounded to whole epochs.
        batch_size: rows in a step.
        learning_rate: peak learning rate of AdamW.
        bound_samples: samples of the bound in training, at least 1.
        hide: largest share of a row's observed cells that are hidden from the encoder in training,
            in [0, 1].
        n_samples: importance samples of each row that is filled.
        sample_posterior: fill with draws from p(x_mis | x_obs), for multiple imputation, instead of
            means.
        keep_empty_features: fill columns that had no values in training with 0 instead of dropping
            them.
        random_state: seed of weights, order and noise.

    Attributes:
        model_: the trained `ColumnModel`; `model_.recipe` is the vaelab recipe.
        n_steps_: gradient steps taken.
        n_features_in_: D.
        feature_names_in_: names of the columns, if X had names.

    Reference:
        MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets (Mattei & Frellsen,
        2019), arXiv:1812.02633

    >>> X = np.array([[1.0, 2.0], [2.0, 4.1], [3.0, np.nan], [4.0, 8.2]])
    >>> filled = VAEImputer(n_components=1, max_steps=20, random_state=0).fit_transform(X)
    >>> filled.shape, bool(np.isnan(filled).any()), bool(filled[1, 1] == 4.1)
    ((4, 2), False, True)
    """

    model_: ColumnModel

    def __init__(
        self,
        n_components: int = 6,
        *,
        width: int = 64,
        max_steps: int = 1500,
        batch_size: int = 64,
        learning_rate: float = 2e-3,
        bound_samples: int = 10,
        hide: float = 0.2,
        n_samples: int = 500,
        sample_posterior: bool = False,
        keep_empty_features: bool = False,
        random_state: int | RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.width = width
        self.max_steps = max_steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.bound_samples = bound_samples
        self.hide = hide
        self.n_samples = n_samples
        self.sample_posterior = sample_posterior
        self.keep_empty_features = keep_empty_features
        self.random_state = random_state

    def fit(self, X: Any, y: None = None) -> Self:
        """Train the model on the observed cells.

        Args:
            X: rows (N, D) of numbers, N ≥ 2; NaN for missing cells.
            y: ignored.

        Raises:
            ValueError: if rows are infinite, fewer than 2, or a setting is out of its range.
        """
        rows = validate_data(
            self, X, dtype=np.float64, ensure_min_samples=2, ensure_all_finite="allow-nan"
        )
        for name in (
            *("n_components", "width", "max_steps", "batch_size"),
            *("bound_samples", "n_samples"),
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        self.empty_ = np.isnan(rows).all(0)
        if self.empty_.all():
            raise ValueError("every cell is missing; there is nothing to learn")
        settings = Settings(
            n_components=self.n_components,
            width=self.width,
            beta=1.0,
            max_steps=self.max_steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            bound_samples=self.bound_samples,
            hide=self.hide,
        )
        self.seed_ = int(check_random_state(self.random_state).randint(LARGEST_SEED))
        self.model_ = ColumnModel.train(rows[:, ~self.empty_], settings, self.seed_)
        self.n_steps_ = self.model_.steps
        return self

    def transform(self, X: Any) -> Rows:
        """Return rows (N, D), float64, with every missing cell filled and no other changed."""
        check_is_fitted(self)
        rows: Rows = validate_data(
            self, X, dtype=np.float64, reset=False, ensure_all_finite="allow-nan"
        )
        filled = rows[:, ~self.empty_]
        gaps = np.isnan(filled).any(1)
        if gaps.any():
            filled[gaps] = self.model_.impute(
                filled[gaps], self.n_samples, self.seed_, self.sample_posterior
            )
        if not self.keep_empty_features:
            return filled
        whole = np.where(np.isnan(rows), 0.0, rows)
        whole[:, ~self.empty_] = filled
        return whole

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the columns that `transform` gives."""
        check_is_fitted(self, "n_features_in_")
        names: NDArray[np.object_] = _check_feature_names_in(self, input_features)
        return names if self.keep_empty_features else names[~self.empty_]

    def __sklearn_tags__(self) -> Any:
        """Return the tags: NaN is allowed in the input."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags
