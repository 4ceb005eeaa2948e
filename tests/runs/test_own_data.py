"""Rows that a run is judged on: its own, or all those of a file that is named at use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vaelab import Run, load, load_data, recipes, train
from vaelab.commands import main as cli
from vaelab.recipes.design import Design
from vaelab.runs.own_data import named_data
from vaelab.training import Plan

HEADER = "a,b,c"


def write(path: Path, n: int, seed: int) -> Path:
    random = np.random.default_rng(seed)
    a, noise = random.normal(size=(2, n))
    rows = (f"{x:.3f},{x + y:.3f},{'uv'[int(x > 0)]}" for x, y in zip(a, noise, strict=True))
    path.write_text("\n".join([HEADER, *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp("home")
    data = load_data(write(home / "train.csv", 200, 0))
    recipe = recipes.vae(data.spec, latent=2, design=Design(width=8))
    return train(recipe, data, Plan(epochs=2), out=home / "run")


def test_named_data_of_other_rows_are_all_judged(run: Run, tmp_path: Path) -> None:
    new = write(tmp_path / "new.csv", 30, 1)
    (train_rows, valid, test), notes = named_data(run.spec, str(new))
    assert (len(train_rows), len(valid), len(test)) == (160, 20, 30)
    assert "all 30 rows are judged" in notes[0]


def test_named_data_that_are_the_runs_own_are_split_as_in_training(
    run: Run, tmp_path: Path
) -> None:
    assert run.path is not None
    moved = tmp_path / "moved.csv"
    moved.write_bytes((run.path.parent / "train.csv").read_bytes())
    splits, notes = named_data(run.spec, str(moved))
    assert tuple(map(len, splits)) == run.spec.sizes
    assert notes == ()


def test_named_data_of_as_many_rows_are_not_taken_for_the_runs_own(
    run: Run, tmp_path: Path
) -> None:
    new = write(tmp_path / "new.csv", 200, 7)
    (_, _, test), notes = named_data(run.spec, str(new))
    assert len(test) == 200
    assert notes


def test_evaluate_of_a_new_file_judges_it_whole(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = write(tmp_path / "new.csv", 30, 1)
    args = ["evaluate", str(run.path), "--data", str(new), "--parts", "likelihood"]
    assert cli.main([*args, "--samples", "4"]) == 0
    assert "30 test examples" in " ".join(capsys.readouterr().out.split())


def test_relative_data_are_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "people.csv", 120, 3)
    data = load_data("people.csv")
    recipe = recipes.vae(data.spec, latent=2, design=Design(width=8))
    train(recipe, data, Plan(epochs=1), out=tmp_path / "run")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(named_data(load(tmp_path / "run").spec).splits[2]) == 12
