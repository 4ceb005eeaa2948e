"""The way to model scale and back, and to JSON and back."""

import json
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vaelab.data import DataSpec

GREY = DataSpec("array", (1, 2, 3), "uint8", 256, 0, 255, (0.0,), (255.0,), contrast=0.5)
TABLE = DataSpec("t.npy", (2,), "float32", None, -3, 9, (1.0, 5.0), (2.0, 4.0))
UNIT = DataSpec("array", (1, 2, 2), "float32", None, -1, 0.5, (-1.0,), (2.0,))


@given(levels=st.integers(2, 256), data=st.data())
def test_levels_go_there_and_back_exactly(levels: int, data: st.DataObject) -> None:
    spec = replace(GREY, levels=levels, high=levels - 1, scale=(levels - 1.0,))
    values = data.draw(st.lists(st.integers(0, levels - 1), min_size=6, max_size=6))
    raw = torch.tensor(values, dtype=torch.uint8).reshape(1, 1, 2, 3)
    x = spec.prepare(raw)
    assert x.dtype == torch.float32
    assert 0 <= float(x.min()) <= float(x.max()) <= 1
    assert torch.equal(spec.restore(x), raw)


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=2, max_size=2))
def test_columns_go_there_and_back(row: list[float]) -> None:
    raw = torch.tensor([row])
    torch.testing.assert_close(TABLE.restore(TABLE.prepare(raw)), raw, atol=1e-4, rtol=1e-5)


def test_columns_are_scaled_one_by_one() -> None:
    assert TABLE.prepare(torch.tensor([[3.0, 1.0]])).tolist() == [[1.0, -1.0]]


def test_restore_clips_and_rounds_to_levels() -> None:
    x = torch.tensor([-0.2, 0.0, 0.5, 100.4 / 255, 100.6 / 255, 7.0]).reshape(1, 2, 3)
    assert GREY.restore(x).flatten().tolist() == [0, 0, 128, 100, 101, 255]


def test_restore_clips_the_unit_interval_but_not_real_values() -> None:
    assert float(UNIT.restore(torch.full((1, 2, 2), 1.5)).max()) == 1.0
    assert TABLE.restore(torch.tensor([[100.0, 0.0]])).tolist() == [[201.0, 5.0]]


def test_threshold_cuts_above_one_half() -> None:
    spec = replace(GREY, binarize="threshold")
    raw = torch.tensor([0, 127, 128, 255, 1, 254], dtype=torch.uint8).reshape(1, 1, 2, 3)
    assert spec.prepare(raw).flatten().tolist() == [0, 0, 1, 1, 0, 1]


@pytest.mark.parametrize("shape", [(3, 1, 3, 2), (3, 6), (3, 2, 3)])
def test_a_wrong_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(1, 2, 3\) are expected"):
        GREY.prepare(torch.zeros(shape))
    with pytest.raises(ValueError, match="are expected"):
        GREY.restore(torch.zeros(shape))


def test_leading_axes_are_free() -> None:
    assert GREY.prepare(torch.zeros(4, 5, 1, 2, 3)).shape == (4, 5, 1, 2, 3)


@pytest.mark.parametrize(
    ("spec", "domain"),
    [
        (replace(GREY, levels=2, scale=(1.0,)), "binary"),
        (GREY, "levels"),
        (UNIT, "unit"),
        (TABLE, "real"),
        # One column of ±1 has mean 0 and deviation 1; that does not make it a unit interval.
        (DataSpec("array", (1,), "float32", None, -1, 1, (0.0,), (1.0,)), "real"),
    ],
)
def test_domains(spec: DataSpec, domain: str) -> None:
    assert spec.domain == domain


numbers = st.floats(-1e6, 1e6)


@given(
    source=st.text(),
    classes=st.lists(st.text(), max_size=3),
    contrast=st.one_of(st.just(math.nan), st.floats(0, 1)),
    offset=numbers,
    scale=st.floats(1e-6, 1e6),
    sizes=st.tuples(*[st.integers(0, 10**6)] * 3),
    seed=st.integers(0, 2**32),
    resize=st.one_of(st.none(), st.tuples(st.integers(1, 64), st.integers(1, 64))),
)
def test_json_there_and_back(
    source: str,
    classes: list[str],
    contrast: float,
    offset: float,
    scale: float,
    sizes: tuple[int, int, int],
    seed: int,
    resize: tuple[int, int] | None,
) -> None:
    spec = DataSpec(
        source, (3, 4, 5), "float32", None, -1e6, 1e6, (offset,), (scale,), contrast,
        classes=tuple(classes), sizes=sizes, seed=seed, resize=resize,
    )  # fmt: skip
    text = json.dumps(spec.to_json(), allow_nan=False)
    back = DataSpec.from_json(json.loads(text))
    assert back == spec
    assert hash(back) == hash(spec)
    assert isinstance(back.offset, tuple)


def test_specs_that_differ_are_unequal() -> None:
    assert replace(GREY, seed=1) != GREY
    assert GREY != "array"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "unknown keys: colour"),
        ({"seed": 1.5}, "data spec: seed is 1.5; expected a whole number"),
        ({"seed": True}, "seed is True; expected a whole number"),
        ({"shape": "123"}, "shape is '123'; expected a list"),
        ({"shape": []}, "shape should be"),
        ({"levels": "256"}, "levels is '256'; expected a whole number or None"),
        ({"offset": [None]}, r"offset\[0\] is None; expected a number"),
        ({"sizes": [1, 2]}, r"sizes is \[1, 2\]; expected a list of length 3"),
        ({"sizes": [1, -2, 3]}, r"sizes\[1\] is -2; expected a whole number of at least 0"),
        ({"shares": [math.inf]}, r"shares\[0\] is inf; expected a finite number"),
        ({"columns": [["real"], ["real", "x"]]}, r"columns\[1\]\[1\] is 'x'"),
        ({"resize": [64]}, r"resize is \[64\]; expected a list of length 2"),
        ({"classes": [0, 1]}, r"classes\[0\] is 0; expected text"),
        ({"low": "0"}, "low is '0'; expected a number"),
    ],
)
def test_wrong_json_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataSpec.from_json(GREY.to_json() | change)


def test_missing_json_is_refused() -> None:
    record = GREY.to_json()
    del record["levels"]
    with pytest.raises(ValueError, match="missing keys: levels"):
        DataSpec.from_json(record)
    with pytest.raises(ValueError, match="JSON object, not list"):
        DataSpec.from_json([])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (2, 3, 4, 5)}, "shape should be"),
        ({"shape": (0,)}, "shape should be"),
        ({"dtype": "float32"}, "raw data are uint8"),
        ({"levels": None}, "raw data are uint8"),
        ({"levels": 1}, "levels should be 2 to 256"),
        ({"scale": (0.0,)}, "scale positive"),
        ({"offset": (math.nan,)}, "finite"),
        ({"offset": (1.0, 2.0), "scale": (1.0, 2.0)}, "one number each"),
        ({"binarize": "yes"}, "no, dynamic, threshold"),
    ],
)
def test_contradictions_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(GREY, **change)  # type: ignore[arg-type]


def test_real_values_cannot_be_binarized() -> None:
    with pytest.raises(ValueError, match=r"needs data in \[0, 1\]"):
        replace(TABLE, binarize="dynamic")
