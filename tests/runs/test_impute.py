"""Imputation: against the exact conditional of a linear model, in the types of the input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import vaelab
from vaelab.commands.main import main
from vaelab.core import Conditional, Shallow, complete
from vaelab.distributions import Normal
from vaelab.parts.likelihoods import FixedGaussian
from vaelab.parts.priors import Standard
from vaelab.parts.tables import ObservedCells
from vaelab.runs.run import Run

LOADINGS = torch.tensor([[1.5, 0.2], [-0.7, 1.1], [0.4, -0.9], [2.0, 0.5]])
SIGMA = 0.6


class Wide(Conditional):
    """Posterior that is not the exact one, so that weights matter."""

    def forward(self, *given: torch.Tensor) -> Normal:
        n = len(given[0])
        return Normal(torch.zeros(n, 2), torch.full((n, 2), 0.2))


def linear() -> vaelab.VAE:
    """Model of the rows x = W z + σ ε."""
    decoder = torch.nn.Linear(2, 4)
    with torch.no_grad():
        decoder.weight.copy_(LOADINGS)
        decoder.bias.zero_()
    likelihood = ObservedCells(FixedGaussian(SIGMA))
    return vaelab.VAE(torch.nn.Flatten(), Shallow(Standard(2), Wide(), decoder, likelihood))


def exact(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of the missing cells of one row given the observed ones."""
    covariance = (LOADINGS @ LOADINGS.T + SIGMA**2 * torch.eye(4)).double()
    m, o = x.isnan(), ~x.isnan()
    gain = covariance[m][:, o] @ torch.linalg.inv(covariance[o][:, o])
    left = covariance[m][:, m] - gain @ covariance[o][:, m]
    return gain @ x[o].double(), left.diagonal().sqrt()


def test_completion_of_a_linear_model_is_the_exact_conditional() -> None:
    x = torch.tensor([[0.9, torch.nan, -0.4, torch.nan], [torch.nan, 1.2, torch.nan, torch.nan]])
    torch.manual_seed(0)
    found = complete(linear(), x, 40_000)
    low, high = found.quantiles(0.05, 0.95)
    for i in range(2):
        mean, deviation = exact(x[i])
        m = x[i].isnan()
        torch.testing.assert_close(found.mean[i][m].double(), mean, atol=0.05, rtol=0)
        torch.testing.assert_close(low[i][m].double(), mean - 1.645 * deviation, atol=0.1, rtol=0)
        torch.testing.assert_close(high[i][m].double(), mean + 1.645 * deviation, atol=0.1, rtol=0)
    drawn = found.resample(4000)[:, 0, 1]
    assert float(drawn.std()) == pytest.approx(float(exact(x[0])[1][0]), rel=0.1)
    assert (found.effective_draws > 100).all()


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of 400 rows with gaps: a key, a number, money, a count and two names."""
    random = np.random.default_rng(0)
    a = random.normal(size=400)
    columns = {
        "id": [f"k{i:04}" for i in range(400)],
        "height": [f"{170 + 8 * v:.1f}" for v in a],
        "income": [f"{np.exp(a[i] + 7):.2f}" for i in range(400)],
        "visits": [f"{random.poisson(np.exp(v))}" for v in a],
        "city": [("Hull", "Leeds", "York")[int(np.clip(np.rint(v + 1), 0, 2))] for v in a],
        "member": [str(v > 0) for v in a],
    }
    gaps = random.random((400, 6)) < 0.2
    lines = [",".join(columns)]
    for i in range(400):
        cells = ["" if gaps[i, j] and j else column[i] for j, column in enumerate(columns.values())]
        lines.append(",".join(cells))
    path = tmp_path_factory.mktemp("people") / "people.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def run(people: Path) -> Run:
    data = vaelab.load_data(people, columns={"id": "out", "visits": "counts"})
    recipe = vaelab.recipes.vae(data.spec, latent=2, design=vaelab.Design(width=32))
    return vaelab.train(recipe, data, vaelab.Plan(epochs=30, lr=5e-3, compile="off"))


def test_frame_keeps_observed_cells_types_and_other_columns(run: Run, people: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.read_csv(people).astype({"height": "float32", "city": "category"})
    found = run.impute(frame, n=2)
    for filled in (found.filled, *found.multiple):
        assert (
            filled.dtypes[["id", "height", "city"]] == frame.dtypes[["id", "height", "city"]]
        ).all()
        assert not filled.isna().any().any()
        for name in frame:
            there = frame[name].notna()
            assert (filled[name][there] == frame[name][there]).all()
    visits = found.filled["visits"]
    assert (visits == visits.round()).all()
    assert set(found.filled["member"]) == {True, False}
    assert not found.multiple[0].equals(found.multiple[1])
    assert bool((found.low[:, 0].isnan() == ~found.missing[:, 0]).all())
    assert bool(found.low[:, 3:].isnan().all())  # names have no interval
    assert bool((found.low <= found.high)[~found.low.isnan()].all())


def test_categories_are_filled_better_than_by_the_commonest(run: Run) -> None:
    random = np.random.default_rng(8)
    a = random.normal(size=300)
    height, city = 170 + 8 * a, np.clip(np.rint(a + 1), 0, 2)
    rows = np.full((300, 5), np.nan, np.float32)
    rows[:, 0] = height
    found = run.impute(rows, n=0)
    share = float((found.filled[:, 3] == city).mean())
    assert share > np.bincount(city.astype(int)).max() / 300 + 0.1
    assert (found.filled[:, 0] == rows[:, 0]).all()


def test_command_changes_nothing_but_empty_cells(run: Run, people: Path, tmp_path: Path) -> None:
    folder = run.save(tmp_path / "run")
    out, lines = tmp_path / "filled.csv", tmp_path / "intervals.csv"
    arguments = [str(folder), str(people), "--out", str(out)]
    assert main(["impute", *arguments, "--intervals", str(lines)]) == 0
    given = [line.split(",") for line in people.read_text().splitlines()]
    filled = [line.split(",") for line in out.read_text().splitlines()]
    assert len(given) == len(filled)
    for before, after in zip(given, filled, strict=True):
        assert all(b in ("", a) and a != "" for b, a in zip(before, after, strict=True))
    assert all(len(row[1].split(".")[1]) == 1 for row in filled[1:])  # as the data are written
    numbers = sum(cell == "" for row in given for cell in row[1:4])
    assert len(lines.read_text().splitlines()) == numbers + 1
    assert main(["impute", *arguments, "-n", "3", "--overwrite"]) == 0
    assert len(out.read_text().splitlines()) == 3 * 400 + 1


def test_runs_that_cannot_impute_say_why() -> None:
    data = vaelab.load_data(np.random.default_rng(0).normal(size=(60, 3)))
    plan = vaelab.Plan(epochs=1, compile="off")
    design = vaelab.Design(width=8)
    run = vaelab.train(vaelab.recipes.vae(data.spec, latent=1, design=design), data, plan)
    with pytest.raises(ValueError, match=r"trained on complete rows.*missing='expect'"):
        run.impute(np.zeros((2, 3)))
    gaps = vaelab.load_data(np.random.default_rng(0).normal(size=(60, 3)), missing="expect")
    points = vaelab.train(vaelab.recipes.ae(gaps.spec, latent=1, design=design), gaps, plan)
    with pytest.raises(ValueError, match="codes of this run are points"):
        points.impute(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="vae_gan compares features of whole rows"):
        vaelab.recipes.vae_gan(gaps.spec, latent=1)
