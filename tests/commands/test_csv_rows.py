"""Commands on a table with names: rows in, rows out."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import vaelab
from vaelab.commands.main import main
from vaelab.data import read_inputs, sample_labels
from vaelab.runs.run import Run
from vaelab.understand.galleries import manifold, strip
from vaelab.understand.landmarks import Segment

CITIES = ("Leeds", "London", "York")
NAMES = ["age", "children", "smoker", "city"]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    r = np.random.default_rng(0)
    city = r.integers(3, size=400)
    rows = zip(
        (40 + 10 * r.normal(size=400)).round().astype(int),
        r.poisson(0.3 + city),
        np.where(r.random(400) < 0.2, "yes", "no"),
        np.array(CITIES)[city],
        strict=True,
    )
    path = tmp_path_factory.mktemp("people") / "people.csv"
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([NAMES, *rows])
    return path


def train(people: Path, name: str, *flags: str) -> Path:
    out = people.parent / name
    words = ["train", "vae", "--data", people, "--out", out, "--latent", "2", "--width", "32"]
    assert (
        main([*map(str, words), "--epochs", "8", "--batch-size", "32", "--lr", "0.01", *flags]) == 0
    )
    return out


@pytest.fixture(scope="module")
def run(people: Path) -> Path:
    return train(people, "run")


@pytest.fixture(scope="module")
def told(people: Path) -> Path:
    return train(people, "told", "--label", "city", "--condition", "labels")


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def do(*words: object) -> None:
    assert main([str(word) for word in words]) == 0


def test_samples_are_rows(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "new.csv"
    do("sample", run, "-n", 1500, "--out", out)
    rows = read(out)
    assert len(rows) == 1500
    assert list(rows[0]) == NAMES
    assert {row["city"] for row in rows} == set(CITIES)
    # Draws, not modes: both values come, the rarer one about as often as in the data.
    assert 0.05 < np.mean([row["smoker"] == "yes" for row in rows]) < 0.4
    assert all(row["children"].isdigit() for row in rows)
    assert all(row["age"].lstrip("-").isdigit() for row in rows)
    do("sample", run, "-n", 200, "--mean", "--out", tmp_path / "mean.csv")
    assert {row["smoker"] for row in read(tmp_path / "mean.csv")} == {"no"}


def test_python_draws_rows_and_not_images(run: Path) -> None:
    model = vaelab.load(run)
    drawn = model.sample(300)
    assert torch.equal(drawn, model.sample(300, draw=True))
    assert torch.equal(drawn[:, 1:], drawn[:, 1:].round())
    assert not torch.equal(drawn, model.sample(300, draw=False))


def test_images_keep_their_means(digits_run: Run) -> None:
    assert torch.equal(digits_run.sample(4), digits_run.sample(4, draw=False))


@pytest.fixture(scope="module")
def digits_run() -> Run:
    data = vaelab.load_data("digits8x8")
    recipe = vaelab.recipes.vae(data.spec, latent=2, design=vaelab.Design(width=8))
    return vaelab.train(recipe, data, vaelab.Plan(epochs=1))


def test_images_are_no_table(
    digits_run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits_run.save(tmp_path / "run")
    assert main(["sample", str(tmp_path / "run"), "--out", str(tmp_path / "a.csv")]) == 2
    assert "images are no table" in capsys.readouterr().err


def test_other_commands_write_rows(run: Path, people: Path, tmp_path: Path) -> None:
    do("reconstruct", run, people, "--out", tmp_path / "r.csv")
    rows = read(tmp_path / "r.csv")
    assert len(rows) == 400
    assert {row["city"] for row in rows} <= set(CITIES)
    do("vary", run, "test:0-1", "-n", 3, "--out", tmp_path / "v.csv")
    rows = read(tmp_path / "v.csv")
    assert [(r["example"], r["variation"]) for r in rows] == [
        (str(i), str(j)) for i in range(2) for j in range(3)
    ]
    do("interpolate", run, "test:0", "test:1", "--steps", 4, "--out", tmp_path / "i.csv")
    assert [r["step"] for r in read(tmp_path / "i.csv")] == ["0", "1", "2", "3"]
    do("traverse", run, "--steps", 3, "--out", tmp_path / "t.csv")
    assert len(read(tmp_path / "t.csv")) == 6
    # What was written is read again, with what it says beside the columns passed by.
    do("encode", run, tmp_path / "v.csv", "--out", tmp_path / "z.csv")
    assert list(read(tmp_path / "z.csv")[0]) == ["z0", "z1"]


def test_rows_come_back_as_a_data_frame(run: Path, people: Path) -> None:
    pandas = pytest.importorskip("pandas")
    model, own = vaelab.load(run), pandas.read_csv(people)
    raw = read_inputs(people, model.spec).raw[:]
    assert vaelab.frame(model, raw).equals(own)
    # As the command line writes them, and a frame is taken for rows.
    do("reconstruct", run, people, "--out", people.parent / "frame.csv")
    again = vaelab.frame(model, model.reconstruct(own))
    assert again.equals(pandas.read_csv(people.parent / "frame.csv"))
    some = vaelab.frame(model, model.vary(own[:2], 3))
    assert list(some.index) == [(i, j) for i in range(2) for j in range(3)]
    # Columns go by their names.
    assert torch.equal(model.encode(own[NAMES[::-1]]), model.encode(raw))
    with pytest.raises(ValueError, match=r"D = 4 here, not .* a tensor \(3, 2\)"):
        vaelab.frame(model, torch.zeros(3, 2))


def test_a_data_frame_of_images_is_refused(digits_run: Run) -> None:
    with pytest.raises(ValueError, match=r"examples of shape \(1, 8, 8\)"):
        vaelab.frame(digits_run, digits_run.sample(2))


def test_a_data_frame_without_pandas(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    model = vaelab.load(run)
    with pytest.raises(ValueError, match=r"pip install pandas"):
        vaelab.frame(model, model.sample(2))


def test_a_vector_is_no_class(people: Path, tmp_path: Path) -> None:
    flags = (
        "--label",
        "city",
        "--condition-columns",
        "age",
        "--condition",
        "vectors",
        "--epochs",
        "1",
    )
    run = train(people, "vectors", *flags)
    do("sample", run, "-n", 2, "--condition-values", 40, "--out", tmp_path / "a.csv")
    assert list(read(tmp_path / "a.csv")[0]) == ["children", "smoker"]


def test_classes_of_conditional_rows(told: Path, tmp_path: Path) -> None:
    do("sample", told, "-n", 1200, "--out", tmp_path / "all.csv")
    rows = read(tmp_path / "all.csv")
    assert list(rows[0]) == ["age", "children", "smoker", "city"]
    shares = np.bincount([CITIES.index(row["city"]) for row in rows]) / 1200
    assert np.abs(shares - vaelab.load(told).spec.shares).max() < 0.05
    mean = {c: np.mean([int(r["children"]) for r in rows if r["city"] == c]) for c in CITIES}
    assert mean["Leeds"] < mean["York"]
    do("sample", told, "-n", 5, "--class", "York", "--out", tmp_path / "york.csv")
    assert [row["city"] for row in read(tmp_path / "york.csv")] == ["York"] * 5
    pytest.importorskip("pandas")
    model = vaelab.load(told).conditioned_on(["York", "Leeds"])
    frame = vaelab.frame(model, model.vary(model.sample(2), 2))
    assert list(frame["city"]) == ["York", "York", "Leeds", "Leeds"]


def test_classes_come_as_often_as_in_training() -> None:
    x, y = np.random.default_rng(0).normal(size=(200, 2)), np.arange(200) % 10 == 0
    spec = vaelab.load_data((x, y.astype(np.int64))).spec
    assert spec.shares == (pytest.approx(0.9, abs=0.05), pytest.approx(0.1, abs=0.05))
    torch.manual_seed(0)
    assert float(sample_labels(spec, 5000).float().mean()) == pytest.approx(
        spec.shares[1], abs=0.02
    )
    # Runs of before that was kept are drawn from uniformly.
    assert float(sample_labels(replace(spec, shares=()), 5000).float().mean()) == pytest.approx(
        0.5, abs=0.03
    )
    with pytest.raises(ValueError, match="shares are of the 2 classes"):
        replace(spec, shares=(1.0,))


def test_a_judged_table_is_compared_by_name_and_shown_as_rows(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    do("evaluate", run, "--parts", "samples", "--json")
    # Three cities one by one, two answers, and two numbers; one of each set follows from the rest.
    assert json.loads(capsys.readouterr().out)["features"].startswith("5 principal components")
    page = (run / "evaluation.html").read_text()
    assert page.count('<tr class="sample">') == page.count('<tr class="nearest">') == 12
    assert '<th scope="col">smoker</th>' in page
    assert any(f"<td>{city}</td>" in page for city in CITIES)


def test_the_argument_is_drawn_column_by_column(run: Path) -> None:
    model = vaelab.load(run)
    for picture in (manifold(model), strip(model, Segment((0.0, 0.0), (1.0, 1.0), 1.0, None))):
        assert isinstance(picture, Figure)
        panels = [axes for axes in picture.axes if axes.get_title(loc="left")]
        assert [axes.get_title(loc="left") for axes in panels] == NAMES


def test_names_are_shown_and_not_obeyed(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = tmp_path / "hostile.csv"
    text = people.read_text().replace("Leeds", "\x1b[31mred").replace("York", "[red]")
    hostile.write_text(text.replace("smoker", "smo\x07ker").replace("children", "[bold]"))
    run = train(hostile, "run", "--label", "city", "--condition", "labels", "--epochs", "1")
    do("sample", run, "-n", 3, "--out", tmp_path / "a.csv")
    assert main(["sample", str(run), "--class", "\x1b[2J", "--out", str(tmp_path / "b.csv")]) == 2
    out, err = capsys.readouterr()
    assert not {"\x1b", "\x07"} & {*out, *err}
    assert "classes: \\x1b[31mred, London, [red]" in err
    assert "counts: [bold] (" in err
    assert "binary: smo\\x07ker" in err
    assert "all of class \\x1b[31mred" in out
    assert read(tmp_path / "a.csv")[0].keys() == {"age", "[bold]", "smo\x07ker", "city"}


def test_what_was_found_is_said(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(people, "said", "--columns", "age=counts,smoker=out", "--epochs", "1")
    said = capsys.readouterr().err
    assert "400 rows of 3 columns" in said
    assert "counts: age, children; categories: city (Leeds, London, York)" in said
    broken = people.parent / "broken.csv"
    broken.write_text(people.read_text().replace("no", "", 1))
    words = ["train", "vae", "--data", broken, "--out", people.parent / "no"]
    assert main([*map(str, words), "--missing", "refuse"]) == 2
    assert "column smoker lacks a value on line" in capsys.readouterr().err
