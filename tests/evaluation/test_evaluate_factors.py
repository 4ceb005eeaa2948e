"""`vaelab evaluate --factors`: the figures of the metrics, on the codes of a run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vaelab import recipes
from vaelab.commands import main as cli
from vaelab.data import load
from vaelab.data.known import sprites
from vaelab.data.splits import Split
from vaelab.evaluation.definitions import DEFINITIONS
from vaelab.evaluation.evaluate import evaluate_run
from vaelab.evaluation.settings import Settings
from vaelab.metrics.disentanglement_figures import disentanglement
from vaelab.recipes.design import Design
from vaelab.runs.train import train
from vaelab.training import Plan

FACTORS = {name for name, about in DEFINITIONS.items() if about.group == "factors"}
TWO = {"factor_vae", "modularity", "infom", "dci_disentanglement"}


def test_labels_are_one_factor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, folder = load("digits8x8"), tmp_path / "run"
    recipe = recipes.vae(data.spec, latent=3, design=Design(width=32))
    run = train(recipe, data, Plan(epochs=20), out=folder)
    args = ["evaluate", str(folder), "--parts", "likelihood", "--samples", "5", "--factors"]
    args += ["--split", "train"]
    assert cli.main(args) == 0
    out = capsys.readouterr().out
    kept = json.loads((folder / "evaluation.json").read_text())
    assert set(kept["figures"]) & FACTORS == FACTORS - TWO
    assert kept["disentanglement"]["factors"] == ["class"]
    assert "Latents beside factors of variation · class; means of 1,437 codes, 5 seeds" in out
    page = (folder / "evaluation.html").read_text()
    for name in FACTORS - TWO:
        assert DEFINITIONS[name].title in out
        assert f'id="about-{name}"' in page
    figure = kept["figures"]["dci_informativeness"]
    assert figure["value"] > kept["disentanglement"]["guess"] + 3 * figure["se"]
    # Without being asked, nothing is said of factors.
    found = evaluate_run(
        run, data.test, data.train, Settings(samples=5, parts=("likelihood",))
    ).found
    assert not set(found.figures) & FACTORS


def test_sprites_have_five_factors() -> None:
    data = load("sprites")
    few = load(data.train.x[:200])
    run = train(recipes.ae(few.spec, latent=2, design=Design(width=8)), few, Plan(epochs=1))
    assert data.test.factors is not None
    held = Split(data.test.x[:200], None, data.test.factors.take(torch.arange(200)))
    settings = Settings(parts=(), factors=True)
    found = evaluate_run(run, held, held, settings).found
    about = found.facts["disentanglement"]
    assert about["factors"] == list(sprites.NAMES)
    codes = run.encode(held.x)
    alone = disentanglement(
        codes, data.test.factors.values[:200], sprites.NAMES, sprites.ORDERED, dead_below=None
    )
    assert found.figures == alone.figures
    assert "Nothing sets the scale" in found.notes[-1]  # of an autoencoder's codes
    assert set(found.figures) == FACTORS


def test_a_table_of_ones_own_is_read_beside_the_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, kinds = np.random.default_rng(0).random((1200, 4), dtype=np.float32), np.arange(1200) % 3
    x[:, 0] = 3.0 * kinds
    np.save(tmp_path / "rows.npy", x)
    table = np.stack([kinds, np.arange(1200) // 3 % 4], 1)
    np.savez(tmp_path / "own.npz", x=x, factors=table, names=np.array(["kind", "place"]))
    data = load(tmp_path / "rows.npy")
    recipe = recipes.ae(data.spec, latent=2, design=Design(width=8))
    train(recipe, data, Plan(epochs=1), out=tmp_path / "run")
    args = ["evaluate", str(tmp_path / "run"), "--parts", "likelihood", "--samples", "2"]
    args += ["--factors", "--data", str(tmp_path / "own.npz")]
    assert cli.main(args) == 0
    assert "· kind, place; means of 120 codes" in " ".join(capsys.readouterr().out.split())
    np.savez(tmp_path / "own.npz", x=x, factors=table[:50])
    assert cli.main(args) == 2
    assert "each of the 1,200 of x" in " ".join(capsys.readouterr().err.split())


def test_data_without_factors_says_so() -> None:
    data = load(torch.rand(300, 4))
    run = train(recipes.vae(data.spec, latent=2, design=Design(width=8)), data, Plan(epochs=1))
    found = evaluate_run(run, data.test, data.train, Settings(parts=(), factors=True)).found
    assert not found.figures
    assert "neither factors of variation nor labels" in found.notes[0]
