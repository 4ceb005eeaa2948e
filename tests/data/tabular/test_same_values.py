"""Equal values from frames, Parquet and text are equal, and keep their types on the way back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from vaelab.data import admit, load, read_inputs
from vaelab.data.tabular.header import Heading
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
