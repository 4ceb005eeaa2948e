"""Data are read as their source means them: splits, classes, series, headers and missing values."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import vaelab
from vaelab.data import load, read_inputs

R = np.random.default_rng(5)
SMALL = vaelab.Design(width=8)


def trained(data: vaelab.Data, recipe: vaelab.Recipe) -> vaelab.Run:
    return vaelab.train(recipe, data, vaelab.Plan(epochs=1, compile="off"))


def test_every_training_builds_its_own_model() -> None:
    data = load(R.normal(size=(60, 4)))
    recipe = vaelab.recipes.vae(data.spec, latent=2, design=SMALL)
    first = trained(data, recipe)
    before = {name: w.clone() for name, w in first.model.state_dict().items()}
    second = trained(data, recipe)
    assert first.model is not second.model
    for name, weight in first.model.state_dict().items():
        assert torch.equal(weight, before[name])
        assert torch.equal(weight, second.model.state_dict()[name])


def test_a_series_has_a_scale_for_each_channel_and_its_shape_in_and_out() -> None:
    wave = np.sin(R.uniform(0, 6, 80)[:, None] + np.arange(12) / 4)
    x = np.stack([1000 + 50 * wave, 20 + wave, 0.02 + 0.01 * wave], -1).astype("float32")
    data = load(x, kind="series")
    assert data.spec.shape == (12, 3)
    assert np.allclose(data.spec.offset[:3], [1000, 20, 0.02], rtol=0.1)
    run = trained(data, vaelab.recipes.vae(data.spec, latent=2, design=SMALL))
    assert run.encode(x[:5]).shape == (5, 2)
    assert run.reconstruct(x[:5]).shape == run.sample(5).shape == (5, 12, 3)


def folder_of(tmp_path: Path, places: dict[str, int]) -> Path:
    for place, count in places.items():
        (tmp_path / place).mkdir(parents=True)
        for i in range(count):
            pixels = R.integers(0, 256, (6, 5)).astype("uint8")
            Image.fromarray(pixels).save(tmp_path / place / f"{i}.png")
    return tmp_path


def test_folders_called_by_whole_numbers_are_classes_in_their_order(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {"10": 6, "9": 7, "100": 5})
    assert load(folder).spec.classes == ("9", "10", "100")


@pytest.mark.parametrize("names", [("train", "val", "test"), ("training", "valid", "testing")])
def test_folders_called_as_splits_are_the_splits(tmp_path: Path, names: tuple[str, ...]) -> None:
    sizes = dict(zip(names, (14, 4, 6), strict=True))
    data = load(folder_of(tmp_path, {f"{n}/{c}": k // 2 for n, k in sizes.items() for c in "ab"}))
    assert (data.spec.sizes, data.spec.classes) == ((14, 4, 6), ("a", "b"))


def test_in_a_frame_only_what_pandas_calls_missing_is_missing(tmp_path: Path) -> None:
    grades = np.array(["A", "B", "NA"])[R.integers(0, 3, 60)]
    frame = pd.DataFrame({"grade": grades, "v": R.normal(size=60).round(3)})
    assert load(frame).spec.header[0].values == ("A", "B", "NA")
    frame.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match="missing"):
        load(tmp_path / "t.csv", missing="refuse")
    assert load(tmp_path / "t.csv").spec.missing[0] == pytest.approx(
        (grades == "NA").mean(), abs=0.1
    )
    named = load(tmp_path / "t.csv", columns={"grade": "categories"})
    assert named.spec.header[0].values == ("A", "B", "NA")


@pytest.mark.parametrize(
    ("form", "value"),
    [("1,{:03d}.50", 1000.5), ("${:,d}.25", 0.25), ("{:d}.5%", 0.5), ("€{:d},50", 0.5)],
)
def test_marks_of_money_thousands_and_per_cent_are_read(
    tmp_path: Path, form: str, value: float
) -> None:
    whole = R.integers(100, 999, 60)
    frame = pd.DataFrame({"v": [form.format(int(n)) for n in whole], "x": R.normal(size=60)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = load(tmp_path / "t.csv")
    rows = read_inputs(tmp_path / "t.csv", data.spec).raw[:, 0].numpy()
    assert np.array_equal(rows, (whole + value).astype("float32"))


def test_a_first_line_of_numbers_is_a_header_if_the_rows_say_so(tmp_path: Path) -> None:
    lines = [f"{a:.2f},{b:.2f}" for a, b in R.normal(size=(60, 2))]
    (tmp_path / "t.csv").write_text("\n".join(["2019,2020", *lines]))
    spec = load(tmp_path / "t.csv").spec
    assert ([h.name for h in spec.header], sum(spec.sizes)) == (["2019", "2020"], 60)
