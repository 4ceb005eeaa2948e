"""Missing cells: read from every source as NaN, kept out of statistics, never read as values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vaelab.data import admit, load, read_inputs
from vaelab.data.command_inputs import reload
from vaelab.data.statistics import Columns

RNG = np.random.default_rng(5)


def people(tmp_path: Path, gap: str = "", name: str = "people.csv") -> Path:
    """A table of 80 rows with two gaps in `age`, one in `city`."""
    lines = ["id,age,city"]
    for i in range(80):
        age = gap if i in (3, 40) else f"{20 + i * i % 37}.5"
        city = gap if i == 7 else ("Leeds", "York", "Hull")[i * i % 7 % 3]
        lines.append(f"k{i:03},{age},{city}")
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("gap", ["", "NA", "nan", "?", "-999"])
def test_spellings_of_a_missing_cell(tmp_path: Path, gap: str) -> None:
    missing = "-999" if gap == "-999" else "auto"
    data = load(people(tmp_path, gap), columns={"id": "out"}, missing=missing)
    x = torch.cat([split.x[:] for split in (data.train, data.valid, data.test)])
    assert x.isnan().sum(0).tolist() == [2, 1]
    assert [column.kind for column in data.spec.columns] == ["real", "categories"]
    assert data.spec.headings[1].values == ("Hull", "Leeds", "York")
    observed = data.train.x[:, 0][~data.train.x[:, 0].isnan()].double()
    assert data.spec.offset[0] == pytest.approx(float(observed.mean()), rel=1e-9)
    assert data.spec.scale[0] == pytest.approx(float(observed.std(correction=0)), rel=1e-9)
    assert data.spec.missing == tuple((data.train.x.isnan().double().mean(0)).tolist())


def test_refuse_and_skip(tmp_path: Path) -> None:
    path = people(tmp_path)
    with pytest.raises(ValueError, match="column age lacks a value in 2 rows, first on line 5"):
        load(path, columns={"id": "out"}, missing="refuse")
    left = load(path, columns={"id": "out"}, skip_unreadable=True)
    assert sum(left.spec.sizes) == 77
    assert not left.spec.missing
    with pytest.raises(ValueError, match="column age lacks a value"):
        load(path, columns={"id": "out"}, label="age")


def test_rows_at_use_take_gaps_only_if_the_model_does(tmp_path: Path) -> None:
    path = people(tmp_path, "-999")
    spec = load(path, columns={"id": "out"}, missing="-999").spec
    new = people(tmp_path, "-999", "new.csv")
    rows = read_inputs(new, spec).raw
    assert rows[:].isnan().sum(0).tolist() == [2, 1]
    whole = load(path, columns={"id": "out"}, missing="-999", skip_unreadable=True)
    assert whole.spec.missing  # a code says that gaps are modelled
    train, _, _ = reload(spec)
    assert torch.equal(
        train.x.isnan(), load(path, columns={"id": "out"}, missing="-999").train.x.isnan()
    )
    complete = load(RNG.normal(size=(60, 2)))
    with pytest.raises(ValueError, match=r"row 0 holds NaN .*missing='expect'"):
        admit(np.array([[np.nan, 1.0]]), complete.spec)
    expecting = load(RNG.normal(size=(60, 2)), missing="expect")
    assert expecting.spec.missing == (0.0, 0.0)
    assert admit(np.array([[np.nan, 1.0]]), expecting.spec).rows.isnan().tolist() == [[True, False]]
    with pytest.raises(ValueError, match="row 1 holds infinite values"):
        admit(np.array([[np.nan, 1.0], [0.0, np.inf]]), expecting.spec)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (RNG.integers(0, 2, (50, 3)), "binary"),
        (RNG.poisson(4, (50, 3)), "counts"),
        (RNG.random((50, 3)), "real"),
    ],
)
def test_kinds_of_arrays_with_gaps(values: np.ndarray, kind: str) -> None:
    x = np.where(RNG.random(values.shape) < 0.2, np.nan, values)
    spec = load(x).spec
    assert {column.kind for column in spec.columns} == {kind}
    assert len(spec.missing) == 3


def test_codes_in_arrays_and_images() -> None:
    x = RNG.normal(size=(40, 2))
    x[5, 1] = -9
    data = load(x, missing="-9")
    splits = (data.train, data.valid, data.test)
    assert sum(int(split.x.isnan().sum()) for split in splits) == 1
    assert admit(np.array([[-9.0, 2.0]]), data.spec).rows.isnan().tolist() == [[True, False]]
    with pytest.raises(ValueError, match="missing cells are of tables"):
        load(RNG.random((20, 8, 8)), missing="-9")
    with pytest.raises(ValueError, match="NaN"):
        load(np.where(RNG.random((20, 8, 8)) < 0.1, np.nan, 0.5))


def test_moments_of_observed_cells_do_not_depend_on_the_pieces() -> None:
    x = torch.from_numpy(RNG.normal(3, 2, (90, 4)))
    x[torch.from_numpy(RNG.random((90, 4)) < 0.4)] = torch.nan
    x[:30, 2] = torch.nan
    found = Columns()
    for piece in x.split([30, 1, 59]):
        found.add(piece)
    numbers = x.numpy()
    np.testing.assert_allclose(found.mean, np.nanmean(numbers, 0), rtol=1e-12)
    np.testing.assert_allclose(found.variance, np.nanvar(numbers, 0), rtol=1e-12)
    np.testing.assert_array_equal(found.low, np.nanmin(numbers, 0))
