"""Functions of the command line in Python: results as tables, files and pages."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, TensorDataset

import vaelab
from vaelab import Data, Run


@pytest.fixture(scope="module")
def run(digits: Data) -> Run:
    return vaelab.train("vae", digits, latent=3, epochs=2, likelihood="gaussian")


def test_settings_by_name_are_those_of_recipe_design_and_plan(digits: Data) -> None:
    run = vaelab.train("BetaVAE", digits, beta=3.0, latent=2, width=32, epochs=1, lr=1e-2, seed=5)
    assert run.recipe.arguments["beta"] == 3.0
    assert run.recipe.arguments["design"] == vaelab.Design(width=32, seed=5)
    assert (run.plan.epochs, run.plan.lr, run.plan.seed) == (1, 1e-2, 5)
    same = vaelab.train(
        vaelab.recipes.beta_vae(digits, 2, beta=3.0, design=vaelab.Design(width=32, seed=5)),
        digits,
        vaelab.Plan(epochs=1, lr=1e-2, seed=5),
    )
    assert torch.equal(same.encode(digits.test.x), run.encode(digits.test.x))


def test_callbacks_see_every_epoch_and_errors_in_them_end_the_training(digits: Data) -> None:
    rows: list[Any] = []
    run = vaelab.train("vae", digits, latent=2, epochs=3, callbacks=[rows.append])
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert run.history["valid_loss"] == [row["valid_loss"] for row in rows]
    with pytest.raises(ZeroDivisionError):
        vaelab.train("vae", digits, epochs=1, callbacks=[lambda row: 1 / 0])
    with pytest.raises(TypeError, match="a callback is a int"):
        vaelab.train("vae", digits, epochs=1, callbacks=[3])


def test_progress_is_shown_when_asked_for(digits: Data, capsys: pytest.CaptureFixture[str]) -> None:
    vaelab.train("vae", digits, epochs=1)
    assert capsys.readouterr() == ("", "")


def test_a_score_is_the_bound_of_each_example(run: Run, digits: Data) -> None:
    x = digits.test.x[:7]
    found = run.score(x, samples=64)
    assert torch.equal(found.neg_elbo, found.distortion + found.rate)
    trace = run.model(run.spec.prepare(x))
    torch.testing.assert_close(found.rate, trace.rate()[0].detach())
    assert (run.log_prob(x, samples=64) >= -found.neg_elbo - 0.5).all()
    assert torch.equal(found.distortion, run.score(x, samples=64).distortion)
    noise = torch.randint(0, 17, x.shape, dtype=torch.uint8)
    assert run.score(noise).neg_elbo.mean() > found.neg_elbo.mean() + 5


def test_an_autoencoder_has_scores_and_no_density(digits: Data) -> None:
    run = vaelab.train("ae", digits, epochs=1)
    assert list(run.score(digits.test.x[:3]).to_frame()) == ["name", "distortion"]
    with pytest.raises(TypeError, match="no density"):
        run.log_prob(digits.test.x[:3])


def test_inputs_in_any_container_are_the_same_rows(run: Run, digits: Data, tmp_path: Path) -> None:
    x = digits.test.x[:6]
    expected = run.encode(x)
    pairs = TensorDataset(x, torch.arange(6))
    for raw in (pairs, DataLoader(pairs, 2), {"image": x, "label": range(6)}, list(x.numpy())):
        assert torch.equal(run.encode(raw), expected)
    assert torch.equal(run.encode("test:0-5"), expected)
    assert torch.equal(run.encode(digits.test), run.encode(digits.test.x))
    with pytest.raises(TypeError, match=r"data\.test"):
        run.encode(digits)
    with pytest.raises(TypeError, match="has no examples"):
        run.encode({"a": x})
    grey = [Image.fromarray((i[0].double().numpy() * 255 / 16).round().astype("uint8")) for i in x]
    assert torch.equal(run.encode(grey), expected)
    large = [i.resize((24, 24), Image.Resampling.NEAREST).convert("RGB") for i in grey]
    (tmp_path / "large").mkdir()
    for i, picture in enumerate(large):
        picture.save(tmp_path / "large" / f"{i}.png")
    with warnings.catch_warnings():  # on sizes and colours
        warnings.simplefilter("ignore")
        from_files = run.encode(tmp_path / "large")
    assert torch.equal(run.encode(large), from_files)
    (files := tmp_path / "small").mkdir()
    for i, picture in enumerate(grey):
        picture.save(files / f"digit {i}.png")
    with pytest.warns(UserWarning, match="were mapped to 0–16"):
        scores = run.score(files)
    assert scores.names == tuple(f"digit {i}.png" for i in range(6))
    lines = list(csv.DictReader(scores.to_csv(tmp_path / "s.csv").splitlines()))
    assert lines[4]["name"] == "digit 4.png"
    assert float(lines[4]["rate"]) == pytest.approx(float(scores.rate[4]))


def test_an_evaluation_is_a_table_a_page_and_files(run: Run, tmp_path: Path) -> None:
    found = vaelab.evaluate(run, samples=8, parts=["likelihood"], limit=50)
    frame = found.to_frame().set_index("figure")
    assert frame.loc["neg_elbo", "value"] == found.figures["neg_elbo"].value
    assert frame.loc["rate", "n"] == 50
    latex = found.to_latex(tmp_path / "t.tex")
    assert latex == (tmp_path / "t.tex").read_text()
    assert latex.startswith("\\begin{tabular}{lrr}\n\\toprule\nfigure & value & unit")
    assert "$-$ELBO" in latex
    assert "<table" in found._repr_html_()
    assert found.save(tmp_path / "e").read_text() == found.page()
    with pytest.raises(ValueError, match="in memory"):
        found.save()


def test_a_comparison_pairs_the_examples(run: Run, digits: Data) -> None:
    other = vaelab.train("beta_vae", digits, beta=8.0, epochs=2, likelihood="gaussian")
    a, b = (vaelab.evaluate(r, samples=4, parts=["likelihood"]) for r in (run, other))
    found = vaelab.compare(a, b)
    apart = (b.of_each["rate"].double() - a.of_each["rate"].double()).mean()
    assert found.differences["beta_vae"]["rate"].value == pytest.approx(float(apart))
    assert set(found.to_frame()["run"]) == {"vae", "beta_vae"}
    assert "beta_vae − vae" in found.shown()
    with pytest.raises(ValueError, match="1 run named"):
        vaelab.compare(run)


def test_the_doctor_examines_runs_data_and_functions(run: Run, digits: Data) -> None:
    assert "under-trained" in set(vaelab.doctor(run).to_frame()["code"])
    spoilt = digits.train.x.float().numpy()
    spoilt[:, 0, 3, 3] = 2.5
    assert vaelab.doctor(spoilt).kind == "data"
    assert vaelab.doctor(digits).subject == "digits8x8"

    def loss(x, recon, mu, logvar):  # type: ignore[no-untyped-def]
        kl = -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(1)
        return ((x - recon) ** 2).mean(1).mean() + kl.mean()

    report = vaelab.doctor(loss)
    assert report.subject == "loss"
    assert report.findings


def test_a_sweep_is_one_line_per_run(digits: Data, tmp_path: Path) -> None:
    found = vaelab.sweep("beta_vae", digits, beta=[0.5, 4], latent=2, seeds=2, epochs=1)
    frame = found.to_frame()
    assert frame["beta"].tolist() == [0.5, 0.5, 4.0, 4.0]
    assert frame["seed"].tolist() == [0, 1, 0, 1]
    assert found.path is None
    assert found.runs[0].data is digits
    mean = np.mean(frame["rate"][:2])
    assert found.shown()["rate"][0].startswith(f"{mean:.2f} ±")
    found.plot(save=tmp_path / "curve.pdf")
    assert (tmp_path / "curve.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("name", ["samples", "reconstructions", "latent_map", "training"])
def test_figures_are_drawn_and_written(run: Run, tmp_path: Path, name: str) -> None:
    for kind, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        figure = getattr(run.plot, name)(save=tmp_path / f"{name}{kind}")
        assert (tmp_path / f"{name}{kind}").read_bytes().startswith(start)
    assert figure.get_label()
