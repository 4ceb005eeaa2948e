"""Tables with names: what is found of their columns, and what is said where they cannot be read."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from vaelab.data import DataSpec, load, read_inputs
from vaelab.data.command_inputs import reload
from vaelab.data.tabular.header import as_kinds
from vaelab.utils.options import command_line

NAMES = ("age", "income", "children", "smoker", "city", "stars")
CITIES = ("Leeds", "London", "York")


def people(n: int = 60) -> list[list[str]]:
    """Rows whose columns are real (two), counts, binary, categories, and numbered categories."""
    return [
        [
            str(20 + (7 * i) % 59),
            f"{1000 + 13.25 * i:.2f}",
            str(3 * i % 4),
            ("no", "yes")[i % 3 == 0],
            CITIES[i % 3],
            str(2 + i % 3),
        ]
        for i in range(n)
    ]


def write(path: Path, rows: list[list[str]], names: tuple[str, ...] = NAMES, **how: str) -> str:
    with open(path, "w", encoding=how.pop("encoding", "utf-8"), newline="") as file:
        csv.writer(file, **how).writerows([names, *rows])  # type: ignore[arg-type]
    return str(path)


@pytest.fixture
def table(tmp_path: Path) -> str:
    return write(tmp_path / "people.csv", [[*r] for r in people()])


def test_kinds_are_found_and_said(table: str) -> None:
    rows = people()
    data = load(table)
    kinds = [column.kind for column in data.spec.columns]
    assert kinds == ["real", "real", "counts", "binary", "categories", "categories"]
    assert [heading.name for heading in data.spec.header] == list(NAMES)
    assert data.spec.header[3].values == ("no", "yes")
    assert data.spec.header[4].values == CITIES
    assert data.spec.header[5].values == ("2", "3", "4")
    assert [heading.decimals for heading in data.spec.header[:3]] == [0, 2, 0]
    (told,) = (note for note in data.notes if note.startswith("columns:"))
    assert "real: age, income" in told
    assert "city (Leeds, London, York)" in told
    # Every row is one of the file's, whatever the split.
    written = {
        tuple(h.written(v) for h, v in zip(data.spec.header, row, strict=True))
        for part in (data.train, data.valid, data.test)
        for row in part.x.tolist()  # type: ignore[union-attr]
    }
    assert written == {tuple(row) for row in rows}


def skewed(path: Path, n: int = 300) -> str:
    """Columns: log-normal; the same with zeros; gamma of little skew; uniform; both signs."""
    rng = np.random.default_rng(0)
    income = rng.lognormal(10, 0.7, n)
    columns = [income, np.where(rng.random(n) < 0.1, 0, income), rng.gamma(9, 5, n)]
    columns += [rng.uniform(1, 2, n), rng.standard_t(3, n)]
    rows = [[f"{value:.2f}" for value in row] for row in zip(*columns, strict=True)]
    return write(path, rows, ("income", "benefit", "age", "share", "change"))


def test_positive_columns_are_found_and_said(tmp_path: Path) -> None:
    path = skewed(tmp_path / "skewed.csv")
    data = load(path)
    assert [c.kind for c in data.spec.columns] == ["positive"] + ["real"] * 4
    assert any("positive: income" in note for note in data.notes)
    assert any(note.startswith("above 0 and skewed: income, so taken as") for note in data.notes)
    zeros = int((data.train.x[:][:, 1] == 0).sum())
    assert zeros > 0
    (told,) = (note for note in data.notes if note.startswith("skewed, and 0 in some rows"))
    assert "benefit (" in told
    assert data.spec.header[0].decimals == 2
    said = load(path, columns={"income": "real", "benefit": "real", "age": "positive"})
    assert [c.kind for c in said.spec.columns][:3] == ["real", "real", "positive"]
    assert not any("skewed" in note for note in said.notes)
    assert reload(said.spec)[0].x[:].shape == said.train.x[:].shape
    with pytest.raises(ValueError, match=r"column benefit: positive numbers are above 0.*is 0\.0"):
        load(path, columns={"benefit": "positive"})


def test_a_column_that_32_bits_take_for_0_somewhere_is_not_found_to_be_positive(
    tmp_path: Path,
) -> None:
    """As p-values: they were read before, and nobody said that they are positive."""
    rows = [[f"1e-{i}", str(i * i % 7 + 0.5)] for i in range(1, 100)]
    data = load(write(tmp_path / "p.csv", rows, ("p", "x")))
    assert data.spec.columns[0].kind == "real"


def test_kinds_may_be_said(table: str) -> None:
    said = load(table, columns={"age": "counts", "stars": "real", "income": "out"}).spec
    assert [h.name for h in said.header] == ["age", "children", "smoker", "city", "stars"]
    assert [c.kind for c in said.columns] == ["counts", "counts", "binary", "categories", "real"]
    few = load(table, columns={"*": "out", "city": "categories"}).spec
    assert [h.name for h in few.header] == ["city"]
    assert as_kinds('age=real, "height, m=out"') == {"age": "real", "height, m": "out"}
    with pytest.raises(ValueError, match=r"NAME=KIND.*'age' is not that"):
        as_kinds("age")


def test_a_label_is_a_column_apart(table: str) -> None:
    data = load(table, label="city")
    assert data.spec.classes == CITIES
    assert data.spec.label == "city"
    assert "city" not in [h.name for h in data.spec.header]
    assert data.train.y is not None
    incomes = data.train.x[:][:, 1].tolist()
    city = {float(row[1]): row[4] for row in people()}  # all incomes differ
    assert [data.spec.classes[y] for y in data.train.y] == [city[income] for income in incomes]
    with pytest.raises(ValueError, match="has no column town; it has age"):
        load(table, label="town")


def test_a_run_finds_its_rows_again(table: str) -> None:
    data = load(table, columns={"stars": "counts", "income": "out"}, label="smoker", seed=3)
    spec = DataSpec.from_json(json.loads(json.dumps(data.spec.to_json())))
    assert spec == data.spec
    train, _, test = reload(spec)
    assert np.array_equal(train.x[:], data.train.x[:])
    assert np.array_equal(test.y, data.test.y)
    rows = people()
    rows[0][4] = "Paris"
    write(Path(table), rows)
    with pytest.raises(ValueError, match="column city had the values Leeds, London, York and has"):
        reload(spec)


def test_other_tables_go_by_name(table: str, tmp_path: Path) -> None:
    spec = load(table).spec
    turned = write(
        tmp_path / "b.csv", [["x", *row[::-1]] for row in people()], ("id", *NAMES[::-1])
    )
    raw, notes, *_ = read_inputs(turned, spec)
    same, *_ = read_inputs(table, spec)
    assert np.array_equal(raw[:], same[:])
    assert notes == ("columns that the run does not know are passed by: id",)
    rows = people()
    rows[4][4] = "Paris"
    with pytest.raises(ValueError, match=r"line 6, column city: 'Paris' is none of .* Leeds, Lon"):
        read_inputs(write(tmp_path / "c.csv", rows), spec)
    rows[0][0] = ""  # no flag of a command that reads inputs would leave it out
    with pytest.raises(ValueError, match=r"leave such rows out; a run trained with missing='e"):
        read_inputs(write(tmp_path / "e.csv", rows), spec)
    with pytest.raises(ValueError, match="has no column smoker, city, stars"):
        read_inputs(write(tmp_path / "d.csv", [r[:3] for r in people()], NAMES[:3]), spec)


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.csv", {"delimiter": ";", "encoding": "utf-8-sig"}),
        ("a.tsv", {"delimiter": "\t"}),
        ("a.csv", {"delimiter": "|", "lineterminator": "\r\n"}),
        ("a.csv", {"quoting": csv.QUOTE_ALL}),  # type: ignore[dict-item]
    ],
)
def test_spellings_of_a_table(table: str, tmp_path: Path, name: str, how: dict[str, str]) -> None:
    comma = how.get("delimiter") == ";"
    rows = [[cell.replace(".", ",") if comma else cell for cell in row] for row in people()]
    same = load(write(tmp_path / name, rows, **how))
    assert same.spec.header == load(table).spec.header
    assert np.array_equal(same.train.x[:], load(table).train.x[:])


def test_newlines_in_quotes_and_lines_in_messages(tmp_path: Path) -> None:
    rows = people()
    rows[0][4] = "Lee\nds"
    rows[10][1] = "12a"
    # The header is line 1, the first row takes two lines, so row 10 is on line 13.
    with pytest.raises(ValueError, match=r"column income .* in 1 none, first '12a' on line 13"):
        load(write(tmp_path / "a.csv", rows))


def test_missing_values(tmp_path: Path) -> None:
    rows = people()
    rows[3][0], rows[3][1], rows[7][1] = "", "NA", "inf"
    path = write(tmp_path / "a.csv", rows)
    with pytest.raises(
        ValueError,
        match=r"column age lacks a value on line 5: the value is missing\n"
        r"  column income lacks a value in 2 rows, first on line 5: the value is missing \(NA\)\n"
        r"To leave out 2 of 60 rows, give\n  skip_unreadable=True\n",
    ):
        load(path, missing="refuse")
    with pytest.raises(ValueError, match="income lacks a value on line 9: inf is not finite as a "):
        load(path)
    data = load(path, skip_unreadable=True)
    assert sum(data.spec.sizes) == 58
    assert "2 of 60 rows lack a value (age 1, income 2) and were left out" in data.notes
    assert sum(load(path, columns={"age": "out", "income": "out"}).spec.sizes) == 60


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("a,b\n", "has no rows, only the names a, b"),
        ("a,b\n1,2\n", "rows seen: 1; a data set needs 10"),
        ("a,a\n1,2\n", "columns 1 and 2 are both called a"),
        ("a,b\n1,2\n3\n4,5,6\n", "the header has 2 values, line 3 has 1, line 4 has 3; quote"),
        ('a,b\n1,2\n3,"4\n', "line 3 cannot be read as a row"),
        (
            "a,b\n" + "1,x\n1,y\n" * 9,
            r"column a holds nothing but 1\n(.*\n)+  columns={'a': 'out'}\n",
        ),
        ("a,b\n" + "".join(f"{i},n{i}\n" for i in range(0, 60, 2)), "b holds 30 different texts"),
        ("a,b\n" + "".join(f"{i},{i % 2}\n" for i in range(30)), "column a only counts the rows"),
    ],
)
def test_what_is_wrong_with_a_table(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=said):
        load(path)


def wild(path: Path, n: int = 300) -> str:
    """What a shop exports: an index, keys, dates, free text, gaps, a column of nothing."""
    r = np.random.default_rng(0)
    rows = [
        [
            *(str(i), str(7 * i + int(r.integers(5))), f"2021-{1 + i % 12:02d}-{1 + i % 28:02d}"),
            *("UK", ("red", "blue")[i % 2], "" if i % 10 == 3 else f"{r.lognormal():.2f}"),
            *(f"item {i}", f"{r.normal():.2f}" if i % 3 == 1 else "", "", str(r.poisson(2))),
        ]
        for i in range(n)
    ]
    rows[20][9] = "2 or 3"
    names = ("", "orderId", "day", "country", "colour", "price", 'a "note", free', "rating", "")
    return write(path, rows, (*names, "items"))


def test_all_that_is_wrong_is_said_at_once_with_what_reads_it(tmp_path: Path) -> None:
    path = wild(tmp_path / "wild.csv")
    with (
        command_line(),
        pytest.raises(ValueError, match="cannot be modelled as it is") as refused,
    ):
        load(path, missing="refuse")
    first, *lines = str(refused.value).splitlines()
    assert first == f"{path} cannot be modelled as it is:"
    assert lines == [
        "  column unnamed-1 only counts the rows",
        "  column orderId only names the rows",
        "  column country holds nothing but UK",
        '  column a "note", free holds 300 different texts in 300 rows',
        "  column unnamed-9 holds no values",
        "  column items holds numbers in most rows and in 1 none, first '2 or 3' on line 22",
        "  column price lacks a value in 30 rows, first on line 5: the value is missing",
        "  column rating lacks a value in 200 rows, first on line 2: the value is missing",
        "To leave out 7 columns and 30 of 300 rows, give",
        "  --columns 'unnamed-1=out,orderId=out,country=out,"
        '"a ""note"", free=out",rating=out,unnamed-9=out,items=out\''
        " --skip-unreadable",
        "or mend the file, or say the kind of a column, as in --columns NAME=categories",
    ]
    _, columns, flag = shlex.split(lines[-2])
    assert flag == "--skip-unreadable"
    data = load(path, columns=as_kinds(columns), skip_unreadable=True)
    assert [(h.name, c.kind) for h, c in zip(data.spec.header, data.spec.columns, strict=True)] == [
        ("day", "real"),
        ("colour", "binary"),
        ("price", "positive"),
    ]
    assert sum(data.spec.sizes) == 270


def test_a_column_that_tells_nothing_where_the_others_have_values(tmp_path: Path) -> None:
    some = [(str(i), "y" if i % 4 == 0 else "x") for i in range(80)]
    rows = [[f"{int(i) ** 2 % 17}.5", b, f"{i}.25" if b == "x" else ""] for i, b in some]
    path = write(tmp_path / "a.csv", rows, ("a", "b", "c"))
    with pytest.raises(ValueError, match="column b holds nothing but x, in rows without gaps\n"):
        load(path, missing="refuse")
    # What was said of a column is kept in what is proposed.
    with pytest.raises(
        ValueError, match=r"\n  columns={'a': 'real', 'b': 'out'}, skip_unreadable=True\n"
    ):
        load(path, columns={"a": "real"}, missing="refuse")
    with pytest.raises(ValueError, match=r"give\n  columns={'b': 'out'}\n"):
        load(path, skip_unreadable=True)


def test_nothing_is_proposed_where_nothing_is_left(tmp_path: Path) -> None:
    rows = [[f"name {i}", "x", "" if i > 5 else "1"] for i in range(80)]
    path = write(tmp_path / "a.csv", rows, ("a", "b", "c"))
    with pytest.raises(ValueError, match=r"Without these, too little is left .*\. Mend the file"):
        load(path)
    with pytest.raises(ValueError, match=r"c lacks a value in 74 rows.*\nWithout these, too lit"):
        load(path, label="c", columns={"b": "categories", "a": "categories"}, skip_unreadable=True)


def test_values_are_held_to_what_is_said(table: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"line 2, column city: expected real, and 'Leeds' is no"):
        load(table, columns={"city": "real"})
    with pytest.raises(ValueError, match=r"line 3, column income: counts are 0, 1, 2.*1013\.25"):
        load(table, columns={"income": "counts"})
    with pytest.raises(ValueError, match="is to be binary and has 3 different values"):
        load(table, columns={"city": "binary"})
    with pytest.raises(
        ValueError, match="said to be 'count'; expected one of real, positive, binary"
    ):
        load(table, columns={"city": "count"})
    with pytest.raises(ValueError, match="columns names columns of a table"):
        load("digits", columns={"a": "real"})
    latin = tmp_path / "latin.csv"
    latin.write_bytes("a,b\n1,2\n3,é\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"line 3 is not UTF-8 \(byte 0xe9\)"):
        load(latin)


def test_numbers_without_names(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    np.savetxt(path, np.random.default_rng(0).normal(size=(30, 3)), delimiter=",")
    data = load(path)
    assert [h.name for h in data.spec.header] == ["0", "1", "2"]
    assert sum(data.spec.sizes) == 30
    assert any("numbers only" in note for note in data.notes)


def test_data_frames(table: str) -> None:
    pandas = pytest.importorskip("pandas")
    data = load(pandas.read_csv(table))
    assert data.spec.header == load(table).spec.header
    assert np.array_equal(data.train.x[:], load(table).train.x[:])


def test_parquet(table: str, tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import csv as arrow_csv
    from pyarrow import parquet

    path = tmp_path / "people.parquet"
    parquet.write_table(arrow_csv.read_csv(table), path)
    data = load(path)
    assert [h[:2] for h in data.spec.header] == [h[:2] for h in load(table).spec.header]
    assert np.array_equal(data.train.x[:], load(table).train.x[:])
    path.write_bytes(b"PAR1" + bytes(100))
    with pytest.raises(ValueError, match="cannot be read as a Parquet table"):
        load(path)
    assert arrow is not None


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    path = tmp_path / "people.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"pip install pandas pyarrow"):
        load(path)


def test_columns_that_are_told_are_not_modelled(table: str) -> None:
    data = load(table, vectors="children, age", label="city")
    assert [heading.name for heading in data.spec.header] == ["income", "smoker", "stars"]
    assert data.spec.vectors is not None
    assert data.spec.vectors.source == "children, age"
    assert "known of each row, and not modelled: children, age" in data.notes
    # Each row still has its own: the income tells which row of the file it is.
    rows = {float(row[1]): (float(row[2]), float(row[0])) for row in people()}
    for split in (data.train, data.valid, data.test):
        assert split.vectors is not None
        told = zip(split.x[:, 0].tolist(), split.vectors.tolist(), strict=True)
        assert all(tuple(vector) == rows[income] for income, vector in told)
    again = reload(DataSpec.from_json(data.spec.to_json()))
    assert again[2].vectors is not None
    assert again[2].vectors.equal(data.test.vectors)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"vectors": "height"}, "has no column height; it has age"),
        ({"vectors": "city"}, "'Leeds' is none; names are labels, label='city' and"),
        ({"vectors": "age,age"}, "cannot be named there twice"),
        ({"vectors": "city", "label": "city"}, "or be the label"),
        ({"vectors": "age", "columns": {"age": "real"}}, "or of a kind as well"),
        ({"vectors": ",".join(NAMES[:3]), "columns": {"*": "out"}}, "no column is left"),
    ],
)
def test_columns_that_cannot_be_told_are_refused(table: str, how: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        load(table, **how)


def test_a_label_of_an_array_is_refused_with_where_it_would_be() -> None:
    with pytest.raises(ValueError, match=r"label names columns of a table .* y beside x"):
        load(np.random.default_rng(0).normal(size=(20, 3)), label="y")
