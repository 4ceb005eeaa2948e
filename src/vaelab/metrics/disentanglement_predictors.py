r"""Disentanglement metrics from predictors of the factors, fitted on one half, tested on another.

    R_jf             importance of latent j in a forest that predicts factor f; Σ_j R_jf = 1
    disentanglement  Σ_j ρ_j (1 − H_F(R_j· / Σ_f R_jf)),    ρ_j = Σ_f R_jf / Σ R
    completeness     mean over f of 1 − H_D(R_·f)           entropies to base F and D
    informativeness  mean over f of the forest's accuracy   (DCI: Eastwood and Williams 2018)

    SAP              mean over f of the best less the second best s_jf              1711.00848
    explicitness     mean over f and values v of 2 AUC_fv − 1                       1802.05312
    InfoE            mean over f of 1 − H(v_f | logistic) / H(v_f)                  2305.18378

The importances decide DCI, and the field has several: the paper's lasso and random forest, boosted
trees in disentanglement_lib, forests of √D latents a split by scikit-learn's default. For the same
codes the disentanglement was 0.37 by one forest and 0.55 by another, so that only values of one
predictor compare; `FOREST` names the one used here.

s_jf is R² of a line if the factor's values are ordered, else the balanced accuracy of the
nearest class mean on z_j, rescaled to 0 at chance and 1 without errors.

Explicitness and InfoE ask one multinomial logistic regression on all latents; the published
explicitness is the AUC itself, from ½ to 1. To separate 40 values along one line with certainty
takes larger weights than are allowed: InfoE of a perfect code is then about 0.8.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from torch import Tensor

from vaelab.metrics.disentanglement_information import gap
from vaelab.metrics.two_sample import area_under_curve

TREES, LEAF = 10, 4
PENALTY = 100.0
FOREST = (
    f"scikit-learn's RandomForestClassifier of {TREES} trees, all latents at every split, leaves "
    f"of {LEAF} points or more"
)


def forests(
    codes: Tensor, factors: Tensor, others: Tensor, truth: Tensor, seed: int
) -> tuple[Tensor, Tensor]:
    """Importances (D, F), and which of the other points' factors were predicted: (M, F), bool.

    Args:
        codes: to learn from, (N, D).
        factors: their factors, (N, F).
        others: codes of other points, (M, D).
        truth: their factors, (M, F).
        seed: seed of the forests.
    """
    from sklearn.ensemble import RandomForestClassifier

    importances, hits = [], []
    for f in range(factors.shape[1]):
        # Of all latents at every split: a forest that must use others spreads its importance.
        forest = RandomForestClassifier(
            TREES, max_features=None, min_samples_leaf=LEAF, random_state=seed
        ).fit(codes.numpy(), factors[:, f].numpy())
        importances.append(torch.from_numpy(forest.feature_importances_))
        hits.append(torch.from_numpy(forest.predict(others.numpy())) == truth[:, f])
    return torch.stack(importances, dim=1), torch.stack(hits, dim=1)


def dci_disentanglement(importances: Tensor) -> float:
    """DCI disentanglement: concentration of latents on one factor, of importances (D, F ≥ 2)."""
    weight = importances.sum(dim=1)
    return float((weight / weight.sum().clamp(min=1e-12)) @ _purity(importances))


def dci_completeness(importances: Tensor) -> float:
    """DCI completeness: concentration of each factor on one latent, from importances (D, F)."""
    return float(_purity(importances.T).mean())


def sap(
    codes: Tensor, factors: Tensor, others: Tensor, truth: Tensor, ordered: tuple[bool, ...]
) -> float:
    """The gap between the two best latents, each alone in a linear predictor; as `forests`."""
    scores = []
    for f, line in enumerate(ordered):
        if line:
            z, v = others - others.mean(dim=0), truth[:, f].double() - truth[:, f].double().mean()
            scale = z.square().sum(dim=0) * v.square().sum()
            scores.append((v @ z).square() / scale.clamp(min=1e-300))
        else:
            scores.append(_nearest_mean(codes, factors[:, f], others, truth[:, f]))
    return float(gap(torch.stack(scores, dim=1)).mean())


def logistic(codes: Tensor, factors: Tensor, others: Tensor, truth: Tensor) -> tuple[float, float]:
    """Explicitness and InfoE, on the other points; arguments as of `forests`."""
    mean, scale = codes.mean(dim=0), codes.std(dim=0).clamp(min=1e-12)
    found = [
        _logistic((codes - mean) / scale, factors[:, f], (others - mean) / scale, truth[:, f])
        for f in range(factors.shape[1])
    ]
    explicit, informed = torch.tensor(found, dtype=torch.float64).mean(dim=0).tolist()
    return explicit, informed


def _logistic(z: Tensor, v: Tensor, others: Tensor, truth: Tensor) -> tuple[float, float]:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        # Without errors the weights grow without bound, and any large ones will do.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=PENALTY, max_iter=200).fit(z.numpy(), v.numpy())
    n, count = len(v), int(max(v.max(), truth.max())) + 1
    seen = torch.zeros(len(others), count, dtype=torch.float64)
    seen[:, torch.from_numpy(np.asarray(model.classes_))] = torch.from_numpy(
        model.predict_proba(others.numpy())
    )
    areas = [
        2 * area_under_curve(p[truth != value], p[truth == value]).value - 1
        for value, p in enumerate(seen.unbind(dim=1))
        if 2 <= int((truth == value).sum()) <= len(truth) - 2
    ]
    # One point more of every value, for both: none is then impossible, and none certain.
    given = (n * seen + 1) / (n + count)
    alone = (torch.bincount(v, minlength=count).double() + 1) / (n + count)
    surprise = -given.gather(1, truth[:, None]).log().mean()
    # A factor whose values are all too rare has no area.
    explicit = sum(areas) / max(1, len(areas))
    return explicit, float(1 - surprise / -alone[truth].log().mean())


def _nearest_mean(z: Tensor, v: Tensor, others: Tensor, truth: Tensor) -> Tensor:
    """Balanced accuracy of each latent alone, 0 at chance: (D,)."""
    values = v.unique()
    means = torch.stack([z[v == value].mean(dim=0) for value in values])
    guess = values[(others[:, None] - means).abs().argmin(dim=1)]
    right = torch.stack(
        [(guess[truth == value] == value).double().mean(dim=0) for value in truth.unique()]
    )
    chance = 1 / len(values)
    return (right.mean(dim=0) - chance) / (1 - chance)


def _purity(shares: Tensor) -> Tensor:
    """1 less the entropy of each row (n, k) to base k: 1 for one alone, 0 if all are equal."""
    p = shares / shares.sum(dim=1, keepdim=True).clamp(min=1e-12)
    return 1 - torch.special.entr(p).sum(dim=1) / np.log(max(shares.shape[1], 2))
