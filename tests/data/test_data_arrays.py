"""Arrays and array files: what is taken, as what, and what is refused with what words."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from vaelab.data import load

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (20, 6, 5), dtype=np.uint8)


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (RNG.normal(size=(20, 7)), (7,)),
        (BYTES, (1, 6, 5)),
        (BYTES[..., None], (1, 6, 5)),
        (BYTES[:, None], (1, 6, 5)),
        (np.stack([BYTES] * 3, -1), (3, 6, 5)),
        (np.stack([BYTES] * 3, 1), (3, 6, 5)),
    ],
)
def test_layouts(array: np.ndarray, shape: tuple[int, ...]) -> None:
    data = load(array)
    assert data.spec.shape == shape
    assert data.train.x.shape == (16, *shape)
    assert data.spec.sizes == (16, 2, 2)


def test_channels_last_are_moved_not_reinterpreted() -> None:
    array = np.zeros((20, 6, 5, 3), np.uint8)
    array[..., 2] = 200
    assert load(array).train.x[:, 2].unique().tolist() == [200]


def test_alpha_is_left_out_with_a_note() -> None:
    data = load(np.concatenate([BYTES[..., None]] * 4, -1))
    assert data.spec.shape == (3, 6, 5)
    assert any("alpha" in note for note in data.notes)


def test_an_ambiguous_layout_is_noted() -> None:
    data = load(np.zeros((20, 3, 8, 3), np.uint8) + np.arange(3, dtype=np.uint8))
    assert data.spec.shape == (3, 8, 3)
    assert any("read as (N, C, H, W)" in note for note in data.notes)


@pytest.mark.parametrize(
    ("array", "dtype", "levels", "domain"),
    [
        (BYTES, "uint8", 256, "levels"),
        (BYTES.astype(np.int64), "uint8", 256, "levels"),
        (BYTES.astype(np.float64), "uint8", 256, "levels"),
        (BYTES.reshape(20, 30), "uint8", 256, "levels"),
        (BYTES % 17, "uint8", 17, "levels"),
        (BYTES % 32, "uint8", 32, "levels"),
        (BYTES % 33, "uint8", 256, "levels"),
        (BYTES > 99, "uint8", 2, "binary"),
        ((BYTES > 99).astype(np.float32), "uint8", 2, "binary"),
        ((BYTES > 99).astype(np.float32).reshape(20, 30), "uint8", 2, "binary"),
        (BYTES / 255, "float32", None, "unit"),
        (BYTES.reshape(20, 30) / 255, "float32", None, "unit"),
        (BYTES / 127.5 - 1, "float32", None, "unit"),
        (BYTES.reshape(20, 30) / 127.5 - 1, "float32", None, "real"),
        (BYTES.reshape(20, 30).astype(float), "float32", None, "counts"),
        (BYTES * 1.5, "float32", None, "real"),
        (BYTES.reshape(20, 30).astype(np.int64), "float32", None, "counts"),
        ((BYTES % 17).reshape(20, 30).astype(np.int32), "float32", None, "counts"),
        ((BYTES % 17).astype(np.int32), "uint8", 17, "levels"),
        ((BYTES % 2).reshape(20, 30).astype(np.int64), "uint8", 2, "binary"),
        (BYTES.reshape(20, 30).astype(np.int64) - 9, "float32", None, "real"),
        (BYTES.astype(np.int64) * 9, "float32", None, "real"),
        (BYTES.astype(np.int64) - 9, "float32", None, "real"),
    ],
)
def test_types_and_domains(array: np.ndarray, dtype: str, levels: int | None, domain: str) -> None:
    data = load(array)
    assert (data.spec.dtype, data.spec.levels, data.spec.domain) == (dtype, levels, domain)
    assert str(data.train.x.dtype) == f"torch.{dtype}"
    doubtful = data.spec.domain == "counts"
    assert any("save them as uint8" in note for note in data.notes) == doubtful
    x = data.spec.prepare(data.train.x)
    if data.spec.bounded:
        assert 0 <= float(x.min()) <= float(x.max()) <= 1
    back = data.spec.restore(x)
    torch.testing.assert_close(back, data.train.x, atol=1e-3, rtol=1e-5)


def test_columns_are_standardized_by_the_training_rows() -> None:
    table = RNG.normal([0, 50, -3], [1, 20, 0.01], (200, 3))
    table[:, 1] = np.round(table[:, 1])
    data = load(np.column_stack([table, np.full(200, 7.0)]))
    x = data.spec.prepare(data.train.x)
    torch.testing.assert_close(x.mean(0), torch.zeros(4), atol=1e-4, rtol=0)
    torch.testing.assert_close(x[:, :3].std(0, correction=0), torch.ones(3), atol=1e-4, rtol=0)
    assert data.spec.scale[3] == 1.0
    train = data.train.x.double().numpy()
    np.testing.assert_allclose(data.spec.offset, train.mean(0), rtol=1e-6)


def test_real_images_have_one_scale() -> None:
    data = load(RNG.normal(10, 4, (50, 6, 5)))
    assert len(data.spec.offset) == len(data.spec.scale) == 1
    x = data.spec.prepare(data.train.x)
    assert float(x.mean()) == pytest.approx(0, abs=1e-5)
    assert float(x.std(correction=0)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("array", "contrast"),
    [
        (BYTES > 99, 1.0),
        (np.where(np.arange(30).reshape(1, 6, 5) % 2, 191, 64) + 0 * BYTES, 0.248),
        (np.full((20, 6, 5), 0.5), 0.0),
    ],
)
def test_contrast(array: np.ndarray, contrast: float) -> None:
    assert load(array).spec.contrast == pytest.approx(contrast, abs=1e-3)


def test_constant_data_are_noted() -> None:
    assert any("nothing to learn" in n for n in load(np.zeros((20, 6, 5), np.uint8)).notes)


def test_torch_tensors_are_taken_as_numpy_arrays_are() -> None:
    one, other = load(torch.from_numpy(BYTES)), load(BYTES)
    assert torch.equal(one.train.x, other.train.x)
    assert one.spec == other.spec
    assert load(torch.rand(20, 3).bfloat16()).spec.domain == "unit"


def nan_at(*place: int) -> np.ndarray:
    array = RNG.normal(size=(20, 6, 5))
    array[place] = np.nan
    array[19, 0, 0] = np.inf
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(20), "1 axes"),
        (np.zeros((20, 2, 2, 2, 2)), "5 axes"),
        (np.array([[{}], [None]] * 10), "not an array of object"),
        (np.array([["a"]] * 20), "not an array of <U1"),
        (np.zeros((20, 3), complex), "not an array of complex"),
        (np.zeros((0, 3)), "empty"),
        (np.zeros((20, 0)), "empty"),
        (nan_at(4, 2, 3), r"1 NaN and 1 infinite values .* in row 4 at \(0, 2, 3\)"),
        (np.full((20, 3), 1e300), "as 32-bit floats"),
    ],
)
def test_arrays_that_cannot_be_used(array: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(array)


@pytest.mark.parametrize("source", [[1, 2, 3], (1,), 5, None, {"z": BYTES}])
def test_other_kinds_are_refused(source: object) -> None:
    with pytest.raises(TypeError):
        load(source)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (np.arange(20) % 3, ("0", "1", "2")),
        (np.arange(20)[:, None] % 2 * 2.0, ("0", "2")),
        (np.array(["b", "a"] * 10), ("a", "b")),
        (torch.arange(20) % 2 == 0, ("False", "True")),
    ],
)
def test_labels(y: object, classes: tuple[str, ...]) -> None:
    data = load((BYTES, y))
    assert data.spec.classes == classes
    assert data.train.y is not None
    assert int(data.train.y.max()) == len(classes) - 1


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.arange(19), r"labels of shape \(19,\)"),
        (np.zeros((20, 3)), r"labels of shape \(20, 3\)"),
        (np.linspace(0, 1, 20), "whole numbers or names"),
    ],
)
def test_wrong_labels(y: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load((BYTES, y))


def test_a_npy_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", BYTES)
    data = load(tmp_path / "a.npy")
    assert data.spec.source == str(tmp_path / "a.npy")
    assert torch.equal(data.train.x, load(BYTES).train.x)


@pytest.mark.parametrize(
    ("names", "labelled"),
    [
        (("whatever",), False),
        (("x",), False),
        (("X", "Y"), True),
        (("data", "labels"), True),
        (("images", "target"), True),
        (("pictures", "labels"), True),
    ],
)
def test_npz_names(tmp_path: Path, names: tuple[str, ...], labelled: bool) -> None:
    arrays = dict(zip(names, (BYTES, np.arange(20) % 2), strict=False))
    np.savez(tmp_path / "a.npz", **arrays)
    data = load(tmp_path / "a.npz")
    assert torch.equal(data.train.x, load(BYTES).train.x)
    assert (data.train.y is not None) == labelled


def test_npz_own_parts(tmp_path: Path) -> None:
    y = np.arange(20) % 2
    np.savez(tmp_path / "a.npz", x_train=BYTES, y_train=y, x_test=BYTES[:5], y_test=y[:5])
    data = load(tmp_path / "a.npz")
    assert data.spec.sizes == (18, 2, 5)
    assert torch.equal(data.test.x[:, 0], torch.from_numpy(BYTES[:5]))
    np.savez(tmp_path / "b.npz", x_train=BYTES, x_val=BYTES[:3], x_test=BYTES[:5])
    assert load(tmp_path / "b.npz").spec.sizes == (20, 3, 5)
    np.savez(tmp_path / "c.npz", x_train=BYTES, x_test=BYTES[:, :3])
    with pytest.raises(ValueError, match="different shapes"):
        load(tmp_path / "c.npz")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"y_train": np.arange(25), "y_test": np.empty(0)}, r"y_train of shape \(25,\) .* \(20,\)"),
        ({"y_train": np.arange(19), "y_test": np.arange(6)}, r"y_train of shape \(19,\)"),
        ({"y_train": np.zeros((20, 2)), "y_test": np.arange(5)}, r"y_train of shape \(20, 2\)"),
        ({"y_train": np.arange(20)}, "there is y_train, but no y_test; label every part or none"),
        ({"y_test": np.arange(5)}, "there is y_test, but no y_train"),
    ],
)
def test_npz_labels_belong_to_their_part(
    tmp_path: Path, labels: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "a.npz", x_train=BYTES, x_test=BYTES[:5], **labels)
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "a.npz")


def test_npz_labels_of_one_column_are_labels(tmp_path: Path) -> None:
    y = np.arange(25) % 3
    np.savez(
        tmp_path / "a.npz", x_train=BYTES, y_train=y[:20, None], x_test=BYTES[:5], y_test=y[20:]
    )
    data = load(tmp_path / "a.npz")
    assert data.test.y is not None
    assert data.test.y.tolist() == y[20:].tolist()


def test_a_member_of_an_npz_that_is_not_asked_for_is_not_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=BYTES)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("readme.txt", "hello")
    assert len(load(tmp_path / "a.npz").train) == round(0.8 * len(BYTES))


@pytest.mark.parametrize("shape", ["(9999999999999, 99)", "(99999999999999999999, 9)"])
def test_a_header_that_claims_more_than_there_is_room_for(tmp_path: Path, shape: str) -> None:
    about = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    header = b"\x93NUMPY\x01\x00" + len(about).to_bytes(2, "little") + about.encode()
    (tmp_path / "a.npy").write_bytes(header)
    with pytest.raises(ValueError, match=r"a\.npy cannot be read as an array file"):
        load(tmp_path / "a.npy")


def test_masked_values_are_not_read_as_if_they_were_there() -> None:
    masked = np.ma.masked_greater(RNG.random((20, 3)), 0.9)
    assert masked.mask.any()
    data = load(masked)
    splits = (data.train, data.valid, data.test)
    assert sum(int(split.x.isnan().sum()) for split in splits) == masked.mask.sum()
    with pytest.raises(ValueError, match="2 values of the data are masked"):
        load(np.ma.masked_greater(np.arange(24.0).reshape(2, 3, 4), 21))
    with pytest.raises(ValueError, match="20 values of the labels are masked"):
        load((RNG.random((20, 3)), np.ma.masked_all(20)))
    assert load(np.ma.masked_greater(np.eye(20), 9)).spec.levels == 2


@pytest.mark.parametrize("wrong", [np.inf, -np.inf, np.nan, 2.0**53, 0.5])
def test_labels_that_are_no_numbers_are_refused(wrong: float) -> None:
    y = np.arange(20.0)
    y[3] = wrong
    with pytest.raises(ValueError, match=rf"1 are not, the first {wrong}".replace("+", r"\+")):
        load((RNG.random((20, 3)), y))
    assert load((RNG.random((20, 3)), np.arange(20.0) - 2.0**53 + 1)).spec.classes[-1].endswith("2")


def test_fractions_that_32_bits_lose_make_no_counts() -> None:
    whole = 1e8 + 16.0 * RNG.integers(0, 1000, (20, 3))
    assert load(whole).spec.domain == "counts"
    assert load(whole + 0.5).spec.domain == "real"
    beside = np.hstack([RNG.normal(size=(20, 1)), whole])
    assert load(beside, vectors="0").spec.domain == "counts"
    assert load(whole + 0.5).train.x.equal(load(whole).train.x)  # which is why rows cannot tell


def test_npz_with_unclear_names_lists_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", left=BYTES, right=BYTES)
    with pytest.raises(ValueError, match=r"left \(20, 6, 5\), right \(20, 6, 5\); expected"):
        load(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz")
    with pytest.raises(ValueError, match="holds nothing"):
        load(tmp_path / "b.npz")


def test_objects_in_files_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{}] * 20), allow_pickle=True)
    np.savez(tmp_path / "a.npz", x=np.array([{}] * 20))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(ValueError, match=rf"{name} holds Python objects"):
            load(tmp_path / name)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize("keep", [0, 20, 150, -10])
def test_damaged_files(tmp_path: Path, suffix: str, keep: int) -> None:
    path = tmp_path / f"a{suffix}"
    (np.save if suffix == ".npy" else np.savez)(path, BYTES)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=f"a{suffix}"):
        load(path)


def test_text_called_npy(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_text("hello")
    with pytest.raises(ValueError, match=r"a\.npy"):
        load(tmp_path / "a.npy")


def test_errors_name_the_file(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", nan_at(0, 0, 0))
    with pytest.raises(ValueError, match=r"a\.npy: 1 NaN"):
        load(tmp_path / "a.npy")


class Pictures(Dataset[tuple[Image.Image, int]]):
    def __init__(self, colour: bool = False) -> None:
        self.colour = colour

    def __len__(self) -> int:
        return 12

    def __getitem__(self, i: int) -> tuple[Image.Image, int]:
        picture = Image.new("L", (8, 6), 20 * i)
        return picture.convert("RGB") if self.colour else picture, i % 3


def test_data_sets_of_tensors() -> None:
    x = torch.from_numpy(BYTES)
    data = load(TensorDataset(x, torch.arange(20) % 4))
    assert torch.equal(data.train.x, load(x).train.x)
    assert data.spec.classes == ("0", "1", "2", "3")
    assert load(TensorDataset(x)).train.y is None


@pytest.mark.parametrize("colour", [False, True])
def test_data_sets_of_pictures(colour: bool) -> None:
    data = load(Pictures(colour))
    assert data.spec.shape == (3 if colour else 1, 6, 8)
    assert data.spec.sizes == (10, 1, 1)
    assert data.train.y is not None
    assert torch.equal(data.train.y, data.train.x[:, 0, 0, 0].long() // 20 % 3)
    small = load(Pictures(colour), image_size=4)
    assert small.spec.shape[1:] == small.spec.resize == (4, 4)


class Odd(Dataset[object]):
    def __init__(self, *items: object) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> object:
        return self.items[i]


class Stream(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(5))


@pytest.mark.parametrize(
    ("dataset", "error", "message"),
    [
        (Stream(), TypeError, "is a stream"),
        (Odd({"x": 1}), TypeError, "item 0 should be a numpy array"),
        (Odd({"a": 1}), TypeError, "items with a were seen; expected one of x, image"),
        (Odd((1, 2, 3)), TypeError, "items of 3 parts"),
        (
            Odd(np.zeros(3), np.zeros(4)),
            ValueError,
            r"different shapes were seen: \[\(3,\), \(4,\)",
        ),
        (Odd((np.zeros(3), 1), np.zeros(3)), ValueError, "1 of 2 items have labels"),
        (Odd(), ValueError, "empty"),
    ],
)
def test_data_sets_that_cannot_be_used(
    dataset: Dataset[object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load(dataset)


def test_arrays_are_not_resized() -> None:
    with pytest.raises(ValueError, match="is for pictures"):
        load(BYTES, image_size=4)
