"""What a command is given to work on."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vaelab.data import DataSpec, Rows, load, read_inputs
from vaelab.data import fingerprint as fingerprints
from vaelab.data.images import decode as images

DIGITS = load("digits8x8")
GREY = DataSpec("array", (1, 8, 6), "uint8", 256, 0, 255, (0.0,), (255.0,))
RGB = replace(GREY, shape=(3, 8, 6))
UNIT = DataSpec("array", (1, 8, 6), "float32", None, -1, 1, (-1.0,), (2.0,))
REAL = DataSpec("array", (1, 8, 6), "float32", None, -5, 5, (0.5,), (2.0,))
TABLE = DataSpec("array", (4,), "float32", None, -5, 5, (0.5,) * 4, (2.0,) * 4)


def test_rows_of_the_own_data() -> None:
    raw, notes, *_ = read_inputs("test:0-3", DIGITS.spec)
    assert torch.equal(raw, DIGITS.test.x[:4])
    assert notes == ()
    raw, *_ = read_inputs("valid:3,7, 9-10,3", DIGITS.spec)
    assert torch.equal(raw, DIGITS.valid.x[[3, 7, 9, 10, 3]])
    assert torch.equal(read_inputs("train:5", DIGITS.spec)[0], DIGITS.train.x[5:6])


def test_rows_of_the_own_data_follow_its_seed_and_shares() -> None:
    other = load("digits8x8", seed=7, valid=0.3, test=100)
    assert torch.equal(read_inputs("test:0-99", other.spec)[0], other.test.x)
    assert torch.equal(read_inputs("test:", other.spec)[0], other.test.x)
    assert torch.equal(read_inputs("valid:0-9", other.spec)[0], other.valid.x[:10])


@pytest.mark.parametrize("rows", [",", "x", "1-", "-1", "1,,2", "1:3", "1.5"])
def test_senseless_selections(rows: str) -> None:
    with pytest.raises(ValueError, match="is no selection of rows; expected test:7"):
        read_inputs(f"test:{rows}", DIGITS.spec)


@pytest.mark.parametrize("rows", ["180", "0-180", "5-3"])
def test_selections_out_of_range(rows: str) -> None:
    with pytest.raises(ValueError, match="it has rows 0 to 179"):
        read_inputs(f"test:{rows}", DIGITS.spec)


def test_own_data_that_is_gone_or_changed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="array in memory, which is gone"):
        read_inputs("test:0", GREY)
    path = tmp_path / "a.npy"
    np.save(path, np.arange(60).reshape(20, 3).astype(np.uint8))
    spec = load(path).spec
    np.save(path, np.arange(66).reshape(22, 3).astype(np.uint8))
    with pytest.raises(ValueError, match=r"has changed since the run: its sizes was"):
        read_inputs("test:0", spec)


def test_own_data_whose_values_have_changed(tmp_path: Path) -> None:
    """Shape and range are the same: nothing but the values themselves tells."""
    x, y = np.arange(60, dtype=np.uint8).reshape(20, 3), np.arange(20) % 2
    path = tmp_path / "a.npz"
    np.savez(path, x=x, y=y)
    spec = load(path).spec
    assert spec.sha256 == load((x.copy(order="F"), y)).spec.sha256
    assert spec.sha256 == load(path, seed=3).spec.sha256
    read_inputs("test:0", spec)
    for changed in ({"x": x[:, ::-1], "y": y}, {"x": x, "y": 1 - y}):
        np.savez(path, **changed)
        with pytest.raises(ValueError, match="has changed since the run: its shape and range are"):
            read_inputs("test:0", spec)
        read_inputs("test:0", replace(spec, sha256=""))  # an earlier run does not know


@pytest.mark.parametrize("as_zip", [False, True])
def test_pictures_are_the_same_while_their_files_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_zip: bool
) -> None:
    """Decoders of JPEG differ by a level here and there, from one version to the next."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    grey = np.random.default_rng(0).integers(1, 255, (12, 16, 16), dtype=np.uint8)
    for i, picture in enumerate(grey):
        Image.fromarray(picture).save(folder / f"{i:02}.jpg")

    def source() -> str:
        return shutil.make_archive(str(folder), "zip", folder) if as_zip else str(folder)

    spec = load(source()).spec
    decode = images._pixels
    other = [lambda *a, **k: (decode(*a, **k) // 2 * 2).clip(4, 250), decode]
    monkeypatch.setattr(images, "_pixels", other[0])
    assert load(source()).spec.low != spec.low
    raw, *_ = read_inputs("test:", spec)
    assert int(raw[:].min()) >= 4
    # A run that has the fingerprint of its pixels is held to their range, as one that has none is.
    monkeypatch.setattr(images, "_pixels", other[1])
    before = replace(spec, sha256="ab" * 32)
    assert len(read_inputs("test:", before).raw) == spec.sizes[2]
    Image.fromarray(grey[0][::-1]).save(folder / "00.jpg")
    with pytest.raises(ValueError, match="has changed since the run"):
        read_inputs("test:", replace(spec, source=source()))


def test_the_fingerprint_of_large_data_is_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.arange(4000).to(torch.uint8).reshape(1000, 4)
    monkeypatch.setattr(fingerprints, "_WHOLE", 3999)
    monkeypatch.setattr(fingerprints, "_BLOCK", 40)
    monkeypatch.setattr(fingerprints, "_BLOCKS", 5)
    first = fingerprints.fingerprint(x)
    for row, seen in ((0, True), (9, True), (10, False), (999, True), (985, False)):
        other = x.clone()
        other[row] += 1
        assert (fingerprints.fingerprint(other) != first) == seen
    rows = Rows(x.numpy(), np.dtype(np.uint8))
    assert fingerprints.fingerprint(rows) == first
    assert fingerprints.fingerprint(x[:999]) != first


@pytest.mark.parametrize("top", [1, 15])
def test_a_picture_of_the_own_folder_is_read_as_the_folder_was(tmp_path: Path, top: int) -> None:
    grey = np.random.default_rng(0).integers(0, top + 1, (12, 5, 4), dtype=np.uint8)
    for i, picture in enumerate(grey):
        Image.fromarray(picture).save(tmp_path / f"{i:02}.png")
    spec = load(tmp_path).spec
    assert spec.levels == top + 1
    raw, notes, *_ = read_inputs(tmp_path / "03.png", spec)
    assert raw[0, 0].tolist() == grey[3].tolist()
    assert notes == (f"values 0–{grey[3].max()} were read as the run's {top + 1} levels",)
    assert read_inputs(tmp_path, spec)[0][:, 0].tolist() == grey.tolist()


def test_a_home_of_nobody_does_not_exist() -> None:
    with pytest.raises(FileNotFoundError, match=r"~nobody-at-all/x\.npy does not exist"):
        read_inputs("~nobody-at-all/x.npy", GREY)


def test_a_resized_folder_with_skipped_pictures_is_reloaded(tmp_path: Path) -> None:
    for i in range(12):
        Image.new("L", (8, 9), 10 * i).save(tmp_path / f"{i}.png")
    (tmp_path / "bad.png").write_text("bad")
    data = load(tmp_path, image_size=4, skip_unreadable=True, seed=3)
    assert torch.equal(read_inputs("train:0-9", data.spec)[0], data.train.x)


def test_a_large_folder_kept_at_its_size_is_reloaded_at_its_size(tmp_path: Path) -> None:
    for i in range(12):
        Image.new("L", (70, 70), 10 * i).save(tmp_path / f"{i}.png")
    data = load(tmp_path, image_size=70)
    assert torch.equal(read_inputs("train:0-9", data.spec)[0], data.train.x)


def grey_picture(path: Path, size: tuple[int, int] = (6, 8)) -> Path:
    ramp = np.linspace(0, 255, size[0] * size[1]).astype(np.uint8).reshape(size[1], size[0])
    Image.fromarray(ramp).save(path)
    return path


def test_a_picture(tmp_path: Path) -> None:
    path = grey_picture(tmp_path / "a.png")
    raw, notes, *_ = read_inputs(path, GREY)
    assert torch.equal(raw[0, 0], torch.from_numpy(np.asarray(Image.open(path)).copy()))
    assert notes == ()


def test_a_picture_of_another_size_or_colour(tmp_path: Path) -> None:
    raw, notes, *_ = read_inputs(grey_picture(tmp_path / "a.png", (30, 40)), GREY)
    assert raw.shape == (1, 1, 8, 6)
    assert "1 image of 40×30 brought to 8×6" in notes[0]
    raw, notes, *_ = read_inputs(grey_picture(tmp_path / "b.png"), RGB)
    assert raw.shape == (1, 3, 8, 6)
    assert notes == ("1 grey image was read as RGB",)
    Image.new("RGB", (6, 8), (255, 0, 0)).save(tmp_path / "c.png")
    raw, notes, *_ = read_inputs(tmp_path / "c.png", GREY)
    assert raw.unique().tolist() == [76]  # 0.299 · 255
    assert notes == ("1 colour image was read as grey",)


def test_a_picture_for_few_levels(tmp_path: Path) -> None:
    path = grey_picture(tmp_path / "a.png", (8, 8))
    raw, notes, *_ = read_inputs(path, DIGITS.spec)
    assert torch.equal(raw[0, 0], torch.from_numpy(np.asarray(Image.open(path)) / 255 * 16).round())
    assert raw.dtype == torch.uint8
    assert any("mapped to 0–16" in note for note in notes)
    binary = replace(GREY, levels=2, scale=(1.0,), high=1)
    raw, notes, *_ = read_inputs(grey_picture(tmp_path / "b.png"), binary)
    assert raw.unique().tolist() == [0, 1]
    assert any("cut at 128" in note for note in notes)


def test_a_picture_for_an_interval(tmp_path: Path) -> None:
    raw, notes, *_ = read_inputs(grey_picture(tmp_path / "a.png"), UNIT)
    assert (float(raw.min()), float(raw.max())) == (-1, 1)
    assert raw.dtype == torch.float32
    assert notes


@pytest.mark.parametrize("spec", [REAL, TABLE])
def test_a_picture_for_real_values_or_tables_is_refused(tmp_path: Path, spec: DataSpec) -> None:
    with pytest.raises(ValueError, match=r"Give a \.npy array"):
        read_inputs(grey_picture(tmp_path / "a.png"), spec)


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    for name in ("b", "a"):
        Image.new("L", (6, 8), ord(name)).save(tmp_path / f"{name}.png")
    raw, *_ = read_inputs(tmp_path, GREY)
    assert raw[:, 0, 0, 0].tolist() == [ord("a"), ord("b")]
    (tmp_path / "c.png").write_text("bad")
    with pytest.raises(ValueError, match=r"cannot be read: c\.png"):
        read_inputs(tmp_path, GREY)


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((8, 6), 1), ((1, 8, 6), 1), ((8, 6, 1), 1), ((5, 8, 6), 5), ((5, 1, 8, 6), 5)],
)
def test_arrays_of_one_or_several(tmp_path: Path, shape: tuple[int, ...], rows: int) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(np.uint8)
    np.save(tmp_path / "a.npy", array)
    for source in (str(tmp_path / "a.npy"), array, torch.from_numpy(array)):
        raw, *_ = read_inputs(source, GREY)
        assert raw.shape == (rows, 1, 8, 6)
        assert raw.flatten().tolist() == array.flatten().tolist()


def test_vectors() -> None:
    assert read_inputs(np.zeros(4), TABLE)[0].shape == (1, 4)
    raw, *_ = read_inputs(np.ones((3, 4), np.int64), TABLE)
    assert raw.shape == (3, 4)
    assert raw.dtype == torch.float32


@pytest.mark.parametrize(
    ("array", "spec", "message"),
    [
        (np.zeros(5), TABLE, r"expected \(N, D\)|expected one example"),
        (np.zeros((3, 5)), TABLE, "expected one example of shape"),
        (np.zeros((3, 9, 6), np.uint8), GREY, "expected one example of shape"),
        (np.zeros((5, 8, 6), np.uint8), RGB, "expected one example of shape"),
        (np.full((8, 6), 0.5), GREY, "whole numbers from 0 to 255"),
        (np.full((8, 6), -1), GREY, "whole numbers from 0 to 255"),
        (np.full((8, 8), 17, np.uint8), DIGITS.spec, "whole numbers from 0 to 16"),
        (np.full((8, 6), 1.01), UNIT, r"lie in \[-1, 1\]"),
        (np.full((8, 6), np.nan), REAL, "NaN"),
        (np.array([{}] * 4), TABLE, "object"),
    ],
)
def test_wrong_arrays(array: np.ndarray, spec: DataSpec, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_inputs(array, spec)


def test_missing_inputs(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_inputs(tmp_path / "a.png", GREY)
