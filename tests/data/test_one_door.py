"""One door for all inputs: the same values are admitted, said or refused wherever they come in."""

from __future__ import annotations

import os
import re
import socket
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Subset, TensorDataset

from vaelab.data import admit, load, read_inputs
from vaelab.data.tabular import csv_text
from vaelab.data.tabular.column_text import TextColumn
from vaelab.utils.text import exact

R = np.random.default_rng(0)
GREY = R.integers(0, 256, (40, 5, 7)).astype("uint8")
GREY[0, 0, :2] = 0, 255


def test_rounding_around_whole_numbers_is_undone_and_said() -> None:
    noise = 1e-6 * R.normal(size=GREY.shape)
    data = load(GREY + noise)
    assert (data.spec.levels, data.spec.shape) == (256, (1, 5, 7))
    assert any("were rounded" in note for note in data.notes)
    spec = load(GREY).spec
    for off in (1e-6, -1e-7, 4e-5):
        admitted = admit(GREY.astype(float) + off, spec)
        assert torch.equal(admitted.rows[:], torch.from_numpy(GREY[:, None]))
        assert f"{abs(off):.1e}"[0] in admitted.changes[0]
    with pytest.raises(ValueError, match="0 to 1;"):
        admit(GREY / 255, spec)
    table = load((GREY + noise).reshape(40, -1))
    assert table.spec.domain == "counts"
    x = table.train.x[:]
    assert torch.equal(x, x.round())


def test_small_numbers_beside_whole_ones_are_not_rounded() -> None:
    small = np.stack([R.integers(0, 9, 50), 1e-5 * R.random(50)], 1)
    assert load(small).spec.domain == "real"
    assert load(1e-6 * R.random((50, 5, 7)), kind="images").spec.domain == "real"


@pytest.mark.parametrize(
    ("data", "other", "told"),
    [
        (GREY / 255, GREY / 255**2, "0.003921"),
        (GREY / 127.5 - 1, (GREY / 127.5 - 1) / 255, "0.003921"),
        (R.normal(size=(60, 4)) * 3 + 1, (R.normal(size=(60, 4)) * 3 + 1) * 30, "column 0"),
        (R.normal(size=(60, 4)) * 3, R.normal(size=(60, 4)) / 100, "column 0"),
        (GREY.astype("uint16") * 257, GREY, "another scale"),
        (GREY / 127.5 - 1, GREY / 255, "no value is below 0"),
        (R.normal(size=(60, 4)) * 3, R.random((60, 4)) * 3, "no value is below 0"),
    ],
)
def test_another_scale_that_fits_the_range_is_said(
    data: np.ndarray, other: np.ndarray, told: str
) -> None:
    spec = load(data).spec
    (change,) = admit(other, spec).changes
    assert told in change
    assert admit(data[:20], spec).changes == ()


def test_unsigned_arrays_of_16_bits_are_admitted_as_they_were_trained_on() -> None:
    deep = (GREY.astype("uint16") * 16)[:, :, :, None].repeat(4, 3)
    for array in (GREY.astype("uint16") * 16, deep):
        data = load(array)
        rows = admit(array, data.spec).rows
        assert rows.dtype == torch.float32
        assert float(rows[:].max()) == 4080


def test_alpha_that_was_read_as_pictures_is_read_so_again() -> None:
    rgba = np.full((20, 6, 5, 4), 255, "uint8")
    rgba[..., 3] = R.integers(0, 256, (20, 6, 5))
    with pytest.raises(ValueError, match="20 of 20"):
        load(rgba)
    spec = load(rgba, background="alpha").spec
    assert torch.equal(admit(rgba, spec).rows[:][:, 0], torch.from_numpy(rgba[..., 3]))


def test_four_channels_on_another_scale_are_no_rgba_of_the_run() -> None:
    rgba = R.integers(0, 256, (20, 6, 5, 4)).astype("uint8")
    spec = load(rgba).spec
    assert admit(rgba, spec).rows.shape == (20, 3, 6, 5)
    with pytest.raises(ValueError, match="cannot be alpha"):
        admit(rgba / 255, spec)
    real = load(R.normal(size=(20, 6, 5, 3))).spec
    with pytest.raises(ValueError, match="cannot be alpha"):
        admit(R.random((20, 6, 5, 4)), real)
    signed = load(R.random((20, 6, 5, 3)) * 2 - 1).spec
    clear = np.concatenate([np.full((2, 6, 5, 3), -0.5), np.zeros((2, 6, 5, 1))], 3)
    assert torch.allclose(admit(clear, signed).rows[:], torch.tensor(0.25))  # half on white


@pytest.mark.parametrize("top", [0.3, 0.9])
def test_a_fourth_channel_that_is_nowhere_opaque_is_kept(top: float) -> None:
    data = load(R.random((30, 6, 5, 4)) * top)
    assert data.spec.shape == (4, 6, 5)
    assert any("nowhere opaque" in note for note in data.notes)


def test_pictures_with_overshoot_are_pictures_and_said() -> None:
    ramp = np.clip(R.random((40, 6, 9)), 0.05, 0.95)
    ramp[:, :, 0], ramp[0, 0, 1], ramp[1, 0, 1] = 0.001, 1.02, -0.02
    data = load(ramp)
    assert data.spec.shape == (1, 6, 9)
    assert any(re.search(r"beyond \[0, 1\].*-0.02 to 1.02", note) for note in data.notes)


def test_arrays_that_may_be_pictures_or_series_are_asked_about() -> None:
    edges = np.hanning(12) + 1e-3
    both = np.abs(R.normal(size=(50, 12, 12))) * edges * edges[:, None] * 9
    with pytest.raises(ValueError, match=r"kind='images', or kind='series'"):
        load(both)
    assert load(both, kind="images").spec.shape == (1, 12, 12)
    assert len(load(both, kind="series").spec.offset) == 12


LABELS = np.array(["10", "2", "33"])[R.integers(0, 3, 40)]


@pytest.mark.parametrize(
    "y",
    [
        LABELS,
        LABELS.astype(object),
        LABELS.astype("S"),
        LABELS.astype(int),
        LABELS.astype(float),
        LABELS.astype(int).astype(object),
        torch.tensor(LABELS.astype(int)),
        list(LABELS),
    ],
)
def test_labels_of_any_type_are_those_of_the_same_classes(y: object) -> None:
    spec = load((GREY.reshape(40, -1), y)).spec
    assert spec.classes == ("2", "10", "33")
    for label in (10, "10", 10.0, np.int8(10), "10.0", b"10", torch.tensor(10)):
        assert spec.class_numbers([label]).tolist() == [1]
    assert spec.class_numbers(y).tolist() == [spec.classes.index(name) for name in LABELS]  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="there is no class 1"):
        spec.class_numbers([1])


def test_missing_labels_are_refused_with_their_row() -> None:
    y: list[object] = ["a", "b"] * 20
    y[7] = None
    with pytest.raises(ValueError, match="row 7 is None"):
        load((GREY.reshape(40, -1), y))


def test_admitted_rows_pass_again_without_a_note() -> None:
    spec = load(GREY / 255).spec
    admitted = admit(GREY / 255**2, spec)
    assert admitted.changes
    again = admit(admitted, spec)
    assert read_inputs(admitted, spec).notes == ()
    assert torch.equal(again.rows[:], admitted.rows[:])
    assert (again.notes, again.changes) == ((), ())


def test_bytes_among_pictures_of_16_bits_keep_their_white(tmp_path: Path) -> None:
    deep = R.integers(0, 65536, (9, 6, 5)).astype("uint16")
    deep[0, 0, 0] = 65535
    folder = saved(tmp_path / "p", deep)
    Image.fromarray(GREY[0]).crop((0, 0, 5, 5)).resize((5, 6), 0).save(folder / "10.png")
    Image.fromarray(np.full((6, 5), 255, "uint8")).save(folder / "11.png")
    data = load(folder)
    assert float(read_inputs(folder, data.spec).raw[-1].min()) == 65535
    assert any("2 pictures of 8 bits" in note for note in data.notes)


@pytest.mark.parametrize("step", [256, 257])
def test_bytes_that_were_widened_are_bytes_again(tmp_path: Path, step: int) -> None:
    grey = R.integers(0, 256, (12, 6, 5))
    grey[:2, 0, 0] = 255
    folder = saved(tmp_path / "p", (grey[:11] * step).astype("uint16"))
    Image.fromarray(grey[11].astype("uint8")).save(folder / "11.png")
    data = load(folder)
    assert data.spec.levels == 256
    assert torch.equal(
        read_inputs(folder, data.spec).raw[:, 0], torch.from_numpy(grey.astype("uint8"))
    )


def test_data_sets_loaders_and_batches_are_their_examples() -> None:
    x, y = torch.from_numpy(GREY[:, None]), torch.arange(40) % 3
    spec = load(GREY).spec
    both = TensorDataset(x, y)
    batch = next(iter(DataLoader(both, 40)))
    for source in (both, TensorDataset(x), DataLoader(both, 8, shuffle=True), batch, (x, y)):
        assert torch.equal(read_inputs(source, spec).raw[:], x)
    assert torch.equal(read_inputs(Subset(both, range(5, 9)), spec).raw[:], x[5:9])
    assert torch.equal(read_inputs({"image": GREY, "label": y}, spec).raw[:], x)
    with pytest.raises(ValueError, match="multiply them by 255"):
        read_inputs(TensorDataset(x / 255, y), spec)


def test_a_row_of_a_frame_is_admitted_and_columns_are_named() -> None:
    frame = pd.DataFrame({"n": np.arange(60) % 40, "v": R.normal(size=60).round(2)})
    spec = load(frame).spec
    assert torch.equal(admit(frame.iloc[3], spec).rows, admit(frame.iloc[3:4], spec).rows)
    with pytest.raises(ValueError, match="column n holds -"):
        admit(frame.assign(n=-1 - frame.n), spec)


def saved(folder: Path, arrays: np.ndarray, ending: str = "png", mode: str | None = None) -> Path:
    folder.mkdir()
    for i, array in enumerate(arrays):
        Image.fromarray(array, mode).save(folder / f"{i:02d}.{ending}")
    return folder


def test_float_pictures_that_were_trained_on_are_read_again(tmp_path: Path) -> None:
    x = R.normal(size=(12, 6, 5)).astype("float32")
    folder = saved(tmp_path / "f", x, "tif")
    spec = load(folder).spec
    assert torch.equal(read_inputs(folder, spec).raw[:], torch.from_numpy(x[:, None]))
    grey = saved(tmp_path / "g", GREY[:12], "png")
    with pytest.raises(ValueError, match="real values"):
        read_inputs(grey, spec)


def test_what_a_reader_cannot_keep_is_counted(tmp_path: Path) -> None:
    colour = R.integers(0, 256, (12, 6, 5, 3)).astype("uint8")
    (tmp_path / "c").mkdir()
    for i, array in enumerate(colour):
        Image.fromarray(array).convert("CMYK").save(tmp_path / "c" / f"{i}.tif")
    assert any("12 CMYK pictures" in note for note in load(tmp_path / "c").notes)
    (tmp_path / "d").mkdir()
    for i in range(12):
        head = b"P6 2 2 65535\n"
        (tmp_path / "d" / f"{i}.ppm").write_bytes(head + R.bytes(24))
    assert any("12 pictures of 16 bits a colour" in note for note in load(tmp_path / "d").notes)


def test_one_blank_picture_among_many_is_said_not_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "p", R.integers(0, 256, (12, 6, 5, 3)).astype("uint8"))
    white = np.full((6, 5, 4), 255, "uint8")
    white[..., 3] = R.integers(0, 256, (6, 5))
    Image.fromarray(white).save(folder / "00.png")
    assert any("1 of 12 pictures" in note for note in load(folder).notes)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes")
@pytest.mark.parametrize("ending", ["npy", "npz", "csv", "tsv", "parquet", "zip"])
def test_special_files_are_refused_at_once(tmp_path: Path, ending: str) -> None:
    os.mkfifo(tmp_path / f"pipe.{ending}")
    os.symlink("/dev/zero", tmp_path / f"zero.{ending}")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(tmp_path / f"socket.{ending}"))
        for name, kind in (("pipe", "a pipe"), ("zero", "a device"), ("socket", "a socket")):
            with pytest.raises(ValueError, match=kind):
                load(tmp_path / f"{name}.{ending}")


def test_a_pipe_among_pictures_is_named(tmp_path: Path) -> None:
    folder = saved(tmp_path / "p", GREY[:12])
    os.mkfifo(folder / "pipe.png")
    with pytest.raises(ValueError, match=r"pipe\.png: a pipe"):
        load(folder)


def test_exact_numbers_are_no_more_rounded_than_they_are() -> None:
    assert exact(255.000001) == "255.000001"
    assert exact(float(np.float32(0.1))) == "0.1"
    assert exact(65535.0000001) == "65535.0000001"


ATOMS = ["1", "2.5", "007", "7.0", "1e3", "", "NA", "nan", " 4", "x", '"q"', '"a,b"', '5" pipe']
ATOMS += ['"c""d"', "0x1", "1_000", "12345678901234567890", "2020-01-01", "true", "é", "1,5"]


def test_both_parsers_of_text_read_the_same_cells(tmp_path: Path) -> None:
    rng, compared = np.random.default_rng(3), 0
    for _ in range(300):
        some = rng.choice(ATOMS, rng.integers(1, 4), replace=False)
        rows = [",".join(rng.choice(some, 2)) for _ in range(rng.integers(1, 6))]
        text = "\n".join(["a,b", *rows, ""])
        fast = csv_text._columns_by_arrow(text.encode(), ",")
        if fast is None:
            continue
        slow = csv_text._columns_by_csv(tmp_path / "x.csv", text, ",")
        assert (fast.names, list(fast.lines)) == (slow.names, list(slow.lines))
        for one, other in zip(fast.cells, slow.cells, strict=True):
            a, b = TextColumn(one, markers=True), TextColumn(other, markers=True)
            assert np.array_equal(a.values, b.values, equal_nan=True), text
            assert np.array_equal(a.lacking, b.lacking), text
            if not a.lacking.any():
                assert (a.kind(), a.coded, a.decimals) == (b.kind(), b.coded, b.decimals), text
        compared += 1
    assert compared > 100


def test_no_warning_at_rows_of_the_training_scale() -> None:
    table = np.exp(R.normal(size=(60, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert admit(table, load(table).spec).changes == ()
