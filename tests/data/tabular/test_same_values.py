"""Equal values from frames, Parquet and text are equal, and keep their types on the way back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from vaelab.data import admit, load, read_inputs
from vaelab.data.tabular.header import Heading, as_kinds
from vaelab.data.tabular.number_text import Marks

R = np.random.default_rng(0)
N = 60
FRAME = pd.DataFrame(
    {
        "x": R.normal(size=N).round(3),
        "stamp": pd.Timestamp("2024-01-01") + pd.to_timedelta(R.integers(0, 10**6, N), "s"),
        "phone": 4915112345678 + R.integers(0, 3, N),
        "code": R.choice([3, 7, 12], N),
        "area": [f"{area:05d}" for area in R.choice([99, 4567, 801], N)],
        "member": R.random(N) < 0.4,
    }
)


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_values_of_a_file_are_those_of_the_frame(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t.{ending}"
    if ending == "parquet":
        FRAME.to_parquet(path, index=False)
    else:
        FRAME.to_csv(path, index=False, sep="," if ending == "csv" else "\t")
    frame, file = load(FRAME), load(path)
    assert torch.equal(frame.train.x, file.train.x)
    assert frame.spec.columns == file.spec.columns
    for spec in (frame.spec, file.spec):
        assert torch.equal(admit(FRAME, spec).rows, read_inputs(path, spec).raw[:])
    types = {h.name: h.dtype for h in file.spec.header}
    assert (types["phone"], types["member"], types["area"]) == ("int64", "bool", "")


def test_whole_numbers_that_are_said_to_be_categories_stay_whole_numbers() -> None:
    heading = load(FRAME, columns={"code": "categories"}).spec.header[3]
    assert heading.typed([0.0, 1.0]) in ([12, 3], [3, 7])


def test_dates_of_another_unambiguous_form_are_the_same_days(tmp_path: Path) -> None:
    days = pd.Timestamp("2024-02-27") + pd.to_timedelta(R.integers(0, 5, N), "D")
    frame = pd.DataFrame({"day": days, "x": R.normal(size=N)})
    spec = load(frame).spec
    other = frame.assign(day=frame.day.dt.strftime("%d.%m.%Y"))
    assert torch.equal(admit(other, spec).rows, admit(frame, spec).rows)


def test_times_of_utc_and_durations_are_quantities() -> None:
    utc = pd.DataFrame(
        {"t": [f"2024-01-{1 + i % 28:02d}T10:00:00Z" for i in range(N)], "x": FRAME.x}
    )
    heading = load(utc).spec.header[0]
    assert heading.written(1.5) == "2024-01-02T22:00:00Z"
    spans = pd.DataFrame({"t": pd.to_timedelta(R.integers(1, 10**6, N), "s"), "x": FRAME.x})
    data = load(spans)
    assert data.spec.columns[0].kind in ("real", "positive")
    assert float(data.train.x[:, 0].max()) <= 10**6 / 86400


def test_one_bad_date_is_named_with_its_line(tmp_path: Path) -> None:
    lines = [f"{1 + i % 28:02d}.02.2024,{x}" for i, x in enumerate(FRAME.x)]
    lines[7] = "31.02.2024,0.5"
    (tmp_path / "t.csv").write_text("\n".join(["day,x", *lines]))
    with pytest.raises(ValueError, match=r"in 1 none, first '31\.02\.2024' on line 9"):
        load(tmp_path / "t.csv")


def test_long_keys_keep_every_digit(tmp_path: Path) -> None:
    keys = [str(12345678901234567890 + i % 3) for i in range(N)]
    (tmp_path / "t.csv").write_text("\n".join(["k,x", *map("{},{}".format, keys, FRAME.x)]))
    heading = load(tmp_path / "t.csv").spec.header[0]
    assert heading.values == tuple(sorted(set(keys)))
    assert heading.typed([2.0]) in ([heading.values[2]], [int(heading.values[2])])


def test_negative_money_is_written_as_it_was() -> None:
    assert Heading("v", (), 2, "", Marks("$", ",", ".", "")).written(-1324.1) == "-$1,324.10"


def test_notes_name_arguments_of_python() -> None:
    notes = load(pd.DataFrame({"v": np.exp(R.normal(size=N)), "x": FRAME.x})).notes
    assert any("columns={'v': 'real'}" in note for note in notes)


WHOLE = R.integers(-9000, 9000, N)


@pytest.mark.parametrize(
    ("form", "marks"),
    [
        (lambda v: f"({-v:,})" if v < 0 else f"{v:,}", Marks("", ",", ".", "", "()")),
        (lambda v: f"(${-v:,}.50)" if v < 0 else f"${v:,}.50", Marks("$", ",", ".", "", "()")),
        (lambda v: f"{v}.25 kg", Marks("", "", ".", " kg")),
        (lambda v: f"{v}°C", Marks("", "", ".", "°C")),
        (lambda v: f"{v}元".replace("-", "−"), Marks("", "", ".", "元", "−")),
    ],
)
def test_brackets_units_and_signs_are_read_as_meant_and_written_so(
    tmp_path: Path, form: Callable[[int], str], marks: Marks
) -> None:
    cells = [form(v) for v in WHOLE.tolist()]
    pd.DataFrame({"v": cells, "x": FRAME.x}).to_csv(tmp_path / "t.csv", index=False)
    data = load(tmp_path / "t.csv")
    heading = data.spec.header[0]
    assert heading.marks == marks
    assert any("read as numbers, and written so" in note for note in data.notes)
    rows = read_inputs(tmp_path / "t.csv", data.spec).raw[:, 0]
    part = {"$": 0.5, " kg": 0.25}.get(marks.before or marks.after, 0)
    expected = WHOLE + np.where(WHOLE < 0, -part, part)
    assert np.array_equal(rows.numpy(), expected.astype(np.float32))
    assert [heading.written(value) for value in rows.tolist()] == cells


@pytest.mark.parametrize(
    "cells",
    [[f"({v % 5})" for v in range(N)], [f"{v} {'kg' if v % 2 else 'lb'}" for v in range(N)]],
)
def test_notes_in_brackets_and_mixed_units_are_no_numbers(cells: list[str]) -> None:
    data = load(pd.DataFrame({"v": cells, "x": FRAME.x}), columns={"v": "categories"})
    assert set(data.spec.header[0].values) == set(cells)


@pytest.mark.parametrize(
    "form",
    ["%Y%m%d", "%d %b %Y", "%B %d, %Y", "%d-%b-%y", "%Y-%b-%d", "%d. %B %Y", "%Y年%m月%d日"],
)
def test_dates_without_separators_and_with_names_of_months_are_days(
    tmp_path: Path, form: str
) -> None:
    days = pd.Timestamp("2024-01-20") + pd.to_timedelta(R.integers(0, 400, N), "D")
    pd.DataFrame({"t": days.strftime(form), "x": FRAME.x}).to_csv(tmp_path / "t.csv", index=False)
    data = load(tmp_path / "t.csv")
    heading = data.spec.header[0]
    rows = read_inputs(tmp_path / "t.csv", data.spec).raw[:, 0]
    assert np.array_equal(rows.numpy(), (days - days.min()).days.to_numpy())
    assert [heading.written(value) for value in rows.tolist()] == list(days.strftime(form))
    assert any("read as dates" in note for note in data.notes)


def test_whole_numbers_that_are_days_come_back_as_whole_numbers() -> None:
    days = [20240100 + 1 + v % 28 for v in range(N)]
    for frame in (
        pd.DataFrame({"t": days, "x": FRAME.x}),
        pd.DataFrame({"t": np.array(days, "int32"), "x": FRAME.x}),
    ):
        heading = load(frame).spec.header[0]
        assert heading.dates is not None
        assert heading.typed([0.0, 27.0]) == [20240101, 20240128]
    others = load(pd.DataFrame({"t": [20240100 + v for v in range(0, 5 * N, 5)], "x": FRAME.x}))
    assert others.spec.header[0].dates is None


def test_numbers_that_become_equal_as_32_bit_floats_are_counted() -> None:
    near = 30_000_000 + np.arange(N) % 7 + (np.arange(N) % 2) * 9_999_990
    data = load(pd.DataFrame({"v": near, "x": FRAME.x}))
    equal = len(np.unique(near)) - len(np.unique(near.astype("float32")))
    assert equal > 0
    assert any(note.startswith(f"{equal} different numbers of column v") for note in data.notes)


def test_a_name_with_a_comma_can_be_given_a_kind_and_the_way_is_said() -> None:
    assert as_kinds('"height, m"=real,k=out') == {"height, m": "real", "k": "out"}
    with pytest.raises(ValueError, match='"height, m"=real'):
        as_kinds("height, m=real")
