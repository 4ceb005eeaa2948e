"""Rows that stay in their file: the same rows, the same figures, memory that does not grow."""

import threading
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vaelab.data import Batches, Data, DataSpec, Rows, load, read_inputs
from vaelab.data import arrays as arrays_module
from vaelab.data.loading import mapped_rows as rows_module
from vaelab.data.loading import streaming
from vaelab.data.loading.streaming import Resident, Streamed
from vaelab.data.statistics import Columns, measure_fields

BYTE = np.dtype(np.uint8)
CPU = torch.device("cpu")
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
N = 2500
SPEC = DataSpec("array", (4,), "uint8", 256, 0, 255, (0.0,), (255.0,))
NUMBERED = np.arange(N, dtype=np.uint16).view(np.uint8).reshape(N, 2).repeat(2, 1)


def number(raw: torch.Tensor) -> list[int]:
    """Which rows of NUMBERED these are."""
    return (raw[:, 0].int() + 256 * raw[:, 2].int()).tolist()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is too large, and everything is done in many parts."""
    monkeypatch.setattr(arrays_module, "MAPPED", 0)
    monkeypatch.setattr(rows_module, "_PIECE", 64)
    monkeypatch.setattr(streaming, "SHARE", 0.0)
    monkeypatch.setattr(streaming, "BLOCK", 40)
    monkeypatch.setattr(streaming, "POOL", 1000)


def saved(folder: Path, array: np.ndarray) -> Path:
    path = folder / "rows.npy"
    np.save(path, array)
    return path


def both(folder: Path, array: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> tuple[Data, Data]:
    """The same file, mapped and read."""
    path = saved(folder, array)
    mapped = load(path)
    monkeypatch.setattr(arrays_module, "MAPPED", 2**30)
    return mapped, load(path)


# Rows


@given(data=st.data(), n=st.integers(1, 30))
def test_rows_are_indexed_like_a_tensor(data: st.DataObject, n: int) -> None:
    array = np.random.default_rng(n).integers(0, 256, (n, 3))
    numbers = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=20))
    tensor = torch.from_numpy(array.astype(np.uint8))[numbers]
    rows = Rows(array, BYTE).take(torch.tensor(numbers))
    assert (rows.shape, rows.dtype, rows.ndim) == (tuple(tensor.shape), tensor.dtype, 2)
    assert rows.nbytes == tensor.nbytes
    for which in (
        slice(None),
        slice(2, 7),
        slice(-3, None, 2),
        torch.tensor([0, -1, 0][: 2 * len(rows)]) % len(rows),
    ):
        assert torch.equal(rows[which], tensor[which])
    assert torch.equal(rows[-1], tensor[-1])
    assert torch.equal(rows.take(torch.arange(len(rows)).flip(0))[:], tensor.flip(0))
    with pytest.raises(IndexError):
        rows[len(rows)]


@pytest.mark.usefixtures("small")
def test_pieces_go_forward_through_the_file() -> None:
    rows = Rows(NUMBERED, BYTE).take(torch.randperm(N)[:1000])
    assert rows.numbers is not None
    pieces = list(rows.pieces())
    assert max(map(len, pieces)) == 16
    assert number(torch.cat(pieces)) == sorted(rows.numbers.tolist())


# Loading


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    "array",
    [
        np.random.default_rng(0).integers(0, 256, (300, 8, 8), dtype=np.uint8),
        np.random.default_rng(0).integers(0, 256, (300, 8, 6, 3), dtype=np.uint8),
        np.random.default_rng(0).integers(0, 2, (300, 5)),
        np.random.default_rng(0).integers(0, 9, (300, 5)).astype(np.float64),
        np.random.default_rng(0).random((300, 1, 8, 8)),
        np.random.default_rng(0).random((300, 8, 8), np.float32) * 2 - 1,
        np.random.default_rng(0).normal(1e4, 1e-1, (300, 7)),
        np.random.default_rng(0).normal(0, 9, (300, 3, 4, 4)).astype(np.float16),
    ],
    ids=["bytes", "channels-last", "binary", "counts", "unit", "signed", "table", "real"],
)
def test_a_mapped_file_is_the_same_data(
    array: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mapped, read = both(tmp_path, array, monkeypatch)
    assert isinstance(mapped.train.x, Rows)
    assert isinstance(read.train.x, torch.Tensor)
    assert any("stay in the file" in note for note in mapped.notes)
    for one, other in ((mapped.train, read.train), (mapped.valid, read.valid)):
        assert torch.equal(one.x[:], other.x)
    here, there = asdict(mapped.spec), asdict(read.spec)
    for name in ("offset", "scale"):
        assert here.pop(name) == pytest.approx(there.pop(name), rel=1e-12)
    assert here.pop("contrast") == pytest.approx(there.pop("contrast"), rel=1e-12, nan_ok=True)
    assert here == there


@pytest.mark.usefixtures("small")
def test_values_that_are_not_finite_are_found_in_a_mapped_file(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(100, 3))
    array[71, 2] = array[90, 0] = np.inf
    with pytest.raises(ValueError, match="the first in row 71") as error:
        load(saved(tmp_path, array))
    assert "row 71 at (2,)" in str(error.value)


@pytest.mark.usefixtures("small")
def test_missing_cells_of_a_mapped_file(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(100, 3))
    array[71, 2] = array[90, 0] = np.nan
    path = saved(tmp_path, array)
    with pytest.raises(ValueError, match="row 71, column 2: the value is missing"):
        load(path, missing="refuse")
    spec = load(path).spec
    rows = [int(data.train.x[:].isnan().sum()) for data in (load(path), load(array))]
    assert rows[0] == rows[1]
    assert spec.missing == load(array).spec.missing
    assert spec.offset == pytest.approx(load(array).spec.offset, rel=1e-12)


@pytest.mark.usefixtures("small")
def test_files_that_cannot_be_mapped(tmp_path: Path) -> None:
    plain = np.random.default_rng(0).integers(0, 256, (50, 6), dtype=np.uint8)
    path = saved(tmp_path, np.asfortranarray(plain))
    assert isinstance(load(path).train.x, torch.Tensor)  # a row would lie all over the file
    np.save(path, np.array([{}] * 50), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        load(path)
    np.save(path, plain)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match="cannot be read"):
        load(path)


@pytest.mark.usefixtures("small")
def test_a_mapped_array_keeps_its_labels(tmp_path: Path) -> None:
    mapped = np.load(saved(tmp_path, NUMBERED), mmap_mode="r")
    data = load((mapped, np.arange(N) % 7))
    assert isinstance(data.test.x, Rows)
    assert data.test.y is not None
    assert [n % 7 for n in number(data.test.x[:])] == data.test.y.tolist()


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    shift=st.sampled_from([0.0, 1e6, -1e8]),
)
def test_moments_do_not_depend_on_the_pieces(sizes: list[int], shift: float) -> None:
    x = torch.randn(sum(sizes), 3, dtype=torch.float64) + shift
    found = Columns()
    for piece in x.split(sizes):
        found.add(piece)
    torch.testing.assert_close(found.mean, x.mean(0), rtol=1e-14, atol=1e-8)
    torch.testing.assert_close(found.variance, x.var(0, correction=0), rtol=1e-6, atol=1e-12)
    assert torch.equal(found.low, x.amin(0))
    assert torch.equal(found.high, x.amax(0))


@pytest.mark.usefixtures("small")
def test_levels_are_read_from_every_split() -> None:
    train, other = torch.zeros(9, 2, dtype=torch.uint8), torch.full((3, 2), 16, dtype=torch.uint8)
    train[0] = 3
    found = measure_fields(train, other, other)
    assert (found.levels, found.low, found.high, found.scale) == (17, 0, 3, (16.0,))
    found = measure_fields(train.float() / 100, other.float() / 16 - 2)
    assert found.offset != (0.0,)  # −1 is only in the other split
    assert found.low == 0


# Inputs


@pytest.mark.usefixtures("small")
def test_inputs_of_a_mapped_file(tmp_path: Path) -> None:
    path = saved(tmp_path, NUMBERED.astype(np.int32))
    raw, *_ = read_inputs(path, SPEC)
    assert isinstance(raw, Rows)
    assert torch.equal(raw[:], torch.from_numpy(NUMBERED))
    data = load(path)
    own, *_ = read_inputs("train:0-9,40", data.spec)
    assert torch.equal(own[:], data.train.x[torch.tensor([*range(10), 40])])
    with pytest.raises(ValueError, match="whole numbers from 0 to 16"):
        read_inputs(path, replace(SPEC, levels=17, scale=(16.0,), high=16))


# Streaming


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("device", DEVICES)
@given(n=st.integers(1, 400), size=st.integers(1, 300), chosen=st.booleans())
def test_an_epoch_has_every_row_once(device: str, n: int, size: int, chosen: bool) -> None:
    numbers = torch.randperm(N)[:n] if chosen else torch.arange(n)
    rows = Rows(NUMBERED[:n] if not chosen else NUMBERED, BYTE)
    store = Streamed(rows.take(numbers) if chosen else rows, torch.device(device))
    g = torch.Generator(device).manual_seed(0)
    for batches in ([x for x, _ in store.shuffled(size, g)], list(store.ordered(size))):
        assert [len(x) for x in batches[:-1]] == [size] * (len(batches) - 1)
        assert len(batches[-1]) == (n - 1) % size + 1
        assert {x.device.type for x in batches} == {device}
        assert sorted(number(torch.cat(batches).cpu())) == sorted(numbers.tolist())
    assert number(torch.cat(list(store.ordered(size))).cpu()) == numbers.tolist()


@pytest.mark.usefixtures("small")
def test_orders_are_fresh_but_repeatable() -> None:
    batches = Batches(Rows(NUMBERED, BYTE), SPEC)
    assert isinstance(batches.rows, Streamed)
    g = torch.Generator().manual_seed(3)
    first, second = (torch.cat([b.x for b in batches.epoch(64, g)]) for _ in range(2))
    again = torch.cat([b.x for b in batches.epoch(64, torch.Generator().manual_seed(3))])
    assert not torch.equal(first, second)
    assert torch.equal(first, again)


@pytest.mark.usefixtures("small")
def test_blocks_are_scattered_and_mixed() -> None:
    store = Streamed(Rows(NUMBERED, BYTE), CPU)
    seen = np.array(number(torch.cat([x for x, _ in store.shuffled(10, None)])))
    # Rows in random order lie N / 3 apart on average; the rows of one block at most 10.
    assert np.abs(np.diff(seen)).mean() == pytest.approx(N / 3, rel=0.15)
    assert abs(np.corrcoef(seen, np.arange(N))[0, 1]) < 0.2
    gaps = np.diff(np.sort(seen[:250])) > 1
    assert 18 <= gaps.sum() + 1 <= 26  # 25 blocks of 10 neighbours, where none touch


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("binarize", ["no", "dynamic"])
@pytest.mark.parametrize("size", [1, 7, 1000, 1024, 1500, N, 2 * N])
def test_fixed_is_that_of_rows_in_memory(binarize: str, size: int) -> None:
    spec = replace(SPEC, binarize=binarize)
    numbers = torch.randperm(N)[:2100]
    streamed = Batches(Rows(NUMBERED, BYTE).take(numbers), spec)
    resident = Batches(torch.from_numpy(NUMBERED)[numbers], spec)
    assert isinstance(streamed.rows, Streamed)
    assert isinstance(resident.rows, Resident)
    pairs = zip(streamed.fixed(size, 5), resident.fixed(size, 5), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("vaelab-rows")]


@pytest.mark.usefixtures("small")
def test_no_thread_outlives_its_epoch() -> None:
    batches = Batches(Rows(NUMBERED, BYTE), SPEC)
    epoch = batches.epoch(10)
    next(epoch)
    assert len(threads()) == 1
    epoch.close()
    assert not threads()
    list(batches.epoch(10))
    assert not threads()

    def consume() -> None:
        for _ in batches.epoch(10):
            raise RuntimeError("the consumer's own")

    with pytest.raises(RuntimeError, match="consumer"):
        consume()
    assert not threads()


@pytest.mark.usefixtures("small")
def test_an_error_in_the_thread_is_raised_where_batches_are_used() -> None:
    class Damaged(np.ndarray):
        def __getitem__(self, key: object) -> np.ndarray:
            raise OSError("the disk is gone")

    store = Streamed(Rows(NUMBERED.view(Damaged), BYTE), CPU)
    with pytest.raises(OSError, match="the disk is gone"):
        next(store.shuffled(10, None))
    assert not threads()


@pytest.mark.usefixtures("small")
def test_no_more_than_two_pools_are_read_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    plain = Rows.read

    def counted(self: Rows, out: torch.Tensor) -> torch.Tensor:
        read.append(len(self))
        return plain(self, out)

    monkeypatch.setattr(Rows, "read", counted)
    for i, (x, _) in enumerate(Batches(Rows(NUMBERED, BYTE), SPEC).epoch(50)):
        assert sum(read) <= (i + 1) * len(x) + 2 * 250
    assert sum(read) == N


def test_what_fits_is_resident(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows(NUMBERED, BYTE)
    assert isinstance(Batches(rows, SPEC).rows, Resident)
    assert torch.equal(next(Batches(rows, SPEC).fixed(N, 0)), SPEC.prepare(rows[:]))
    assert streaming.placing(rows, CPU) == ()
    monkeypatch.setattr(streaming, "memory", lambda device: 4 * rows.nbytes - 4)
    assert isinstance(Batches(rows, SPEC).rows, Streamed)
    assert "quarter of the memory of cpu" in streaming.placing(rows, CPU)[0]
    assert isinstance(Batches(rows[:], SPEC).rows, Resident)  # it is there already


def test_memory_is_that_of_the_machine() -> None:
    assert 2**28 < streaming.memory(CPU) < 2**50
