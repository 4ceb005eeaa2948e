"""Imputation on tables, beside scikit-learn's imputers and an exact answer: writes docs/tables.md.

    python benchmarks/tables.py --seeds 3

Every figure is kept in a JSON file as soon as it is measured, so that a run can be resumed;
`--only` measures some of the tables.

Protocol: columns are standardised by all rows; half of the cells, chosen independently (MCAR), are
hidden from every method; the error is the root mean square over hidden cells. The Gaussian has a
known covariance, so that the best possible answer, the conditional mean, is known.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.ensemble import RandomForestRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

import vaelab
from vaelab.sklearn import VAEImputer

Array = NDArray[np.float64]
PAGE = Path(__file__).parent.parent / "docs" / "tables.md"
SETS = {
    "breast cancer": (datasets.load_breast_cancer, 0.54),
    "wine": (datasets.load_wine, 0.84),
    "diabetes": (datasets.load_diabetes, 0.89),
    "iris": (datasets.load_iris, 0.68),
}
"""Data sets of scikit-learn, with the error that is aimed at."""
METHODS: dict[str, Callable[[int], object]] = {
    "mean": lambda seed: SimpleImputer(),
    "kNN-5": lambda seed: KNNImputer(n_neighbors=5),
    "ICE": lambda seed: IterativeImputer(random_state=seed),
    "MissForest": lambda seed: IterativeImputer(
        RandomForestRegressor(50, random_state=seed), max_iter=5, random_state=seed
    ),
    "VAEImputer": lambda seed: VAEImputer(random_state=seed),
}


def rmse(name: str, method: str, seed: int) -> float:
    """Error of a method on the hidden cells of a data set."""
    rows = SETS[name][0]().data
    rows = (rows - rows.mean(0)) / rows.std(0)
    hidden = np.random.default_rng(seed).random(rows.shape) < 0.5
    imputer = METHODS[method](seed)
    filled = imputer.fit_transform(np.where(hidden, np.nan, rows))  # type: ignore[attr-defined]
    return float(np.sqrt(((filled - rows)[hidden] ** 2).mean()))


def gaussian(n: int, seed: int) -> tuple[Array, Array, Array]:
    """Rows (n, 6) of two factors and noise, with a third of the cells missing; and the covariance.

    Returns:
        rows, rows with NaN for missing cells, covariance (6, 6).
    """
    loadings = np.random.default_rng(9).normal(size=(6, 2))
    covariance = loadings @ loadings.T + np.diag([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    random = np.random.default_rng(seed)
    rows = random.multivariate_normal(np.zeros(6), covariance, n)
    return rows, np.where(random.random(rows.shape) < 1 / 3, np.nan, rows), covariance


def conditional_mean(rows: Array, covariance: Array) -> Array:
    """Rows whose missing cells are E[x_mis | x_obs] = Σ_mo Σ_oo⁻¹ x_obs."""
    filled = rows.copy()
    for row in filled:
        m = np.isnan(row)
        o = ~m
        row[m] = covariance[np.ix_(m, o)] @ np.linalg.solve(covariance[np.ix_(o, o)], row[o])
    return filled


def known_gaussian(seed: int) -> dict[str, float]:
    """Error relative to the exact conditional mean, and share of values in 90% intervals."""
    _, gaps, covariance = gaussian(4000, 2 * seed)
    truth, new, _ = gaussian(2000, 2 * seed + 1)
    data = vaelab.load_data(gaps.astype(np.float32), seed=seed)
    plan = vaelab.Plan(epochs=60, seed=seed, compile="off")
    design = vaelab.Design(width=64, hide=0.2, seed=seed)
    run = vaelab.train(vaelab.recipes.iwae(data.spec, latent=3, design=design), data, plan)
    found = run.impute(new, n=0, seed=seed)
    missing = np.isnan(new)
    exact = conditional_mean(new, covariance)
    error, best = (
        float(np.sqrt(((x - truth)[missing] ** 2).mean())) for x in (found.filled, exact)
    )
    low, high = found.low.numpy()[missing], found.high.numpy()[missing]
    held = float(((low <= truth[missing]) & (truth[missing] <= high)).mean())
    return {"rmse": error, "exact": best, "ratio": error / best, "held": held}


def main() -> None:
    """Measure what is not measured yet, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="names of tables, or gaussian, with commas")
    parser.add_argument("--results", type=Path, default=Path("tables.json"))
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    wanted = args.only.split(",") if args.only else [*SETS, "gaussian"]
    found = json.loads(args.results.read_text()) if args.results.exists() else {}

    def keep(key: str, measure: Callable[[], object]) -> None:
        if key not in found:
            start = time.perf_counter()
            found[key] = measure()
            args.results.write_text(json.dumps(found, indent=1))
            print(f"{key}: {found[key]}, {time.perf_counter() - start:.0f} s", file=sys.stderr)

    for seed in range(args.seeds):
        for name in (n for n in SETS if n in wanted):
            for method in METHODS:
                keep(f"{name}|{method}|{seed}", lambda n=name, m=method, s=seed: rmse(n, m, s))
        if "gaussian" in wanted:
            keep(f"gaussian|{seed}", lambda s=seed: known_gaussian(s))
    if not args.only:
        args.page.write_text(page(found, args.seeds))


def page(found: dict[str, object], seeds: int) -> str:
    """The page in Markdown."""
    lines = [
        "# Tables with gaps",
        "",
        f"Written by `python benchmarks/tables.py --seeds {seeds}`; means over {seeds} seeds of "
        "the mask and the method, ± the standard deviation over them.",
        "",
        "## Half of the cells missing",
        "",
        "Root mean square error over hidden cells, in standard deviations of the columns; cells "
        "are hidden completely at random. All methods are scikit-learn's with their defaults, "
        "MissForest is `IterativeImputer` on forests of 50 trees, 5 rounds; ours is "
        "`vaelab.sklearn.VAEImputer()`, one setting for all.",
        "",
        "| | " + " | ".join(METHODS) + " | aim |",
        "|---" * (len(METHODS) + 2) + "|",
    ]
    for name, (_, aim) in SETS.items():
        cells = []
        for method in METHODS:
            values = np.array([found[f"{name}|{method}|{seed}"] for seed in range(seeds)], float)
            cells.append(f"{values.mean():.3f} ± {values.std(ddof=1):.3f}")
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {aim:.2f} |")
    exact = [found[f"gaussian|{seed}"] for seed in range(seeds)]
    ratio, held = (
        np.array([result[key] for result in exact])  # type: ignore[index]
        for key in ("ratio", "held")
    )
    return "\n".join(
        [
            *lines,
            "",
            "## A Gaussian with a known covariance",
            "",
            "Six columns of two factors and noise, a third of the cells missing; trained on 4,000 "
            "rows (`iwae`, 60 epochs), judged on 2,000 others, whose conditional mean is known.",
            "",
            f"- error over that of the exact conditional mean: {ratio.mean():.3f} "
            f"± {ratio.std(ddof=1):.3f} (aim: at most 1.03)",
            f"- 90% intervals hold {held.mean():.1%} ± {held.std(ddof=1):.1%} of the values (aim: "
            "87% to 93%)",
            "",
            "Cells that are missing because of their own value (MNAR) need a model of the mask, "
            "which is not part of these models: their imputations are biased.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
