"""`vaelab doctor DATA`: planted faults are found, healthy data are left alone."""

import shlex
import subprocess

import numpy as np
import pandas as pd
import pytest
from diseased import data as made

import vaelab
from vaelab.commands import main as cli
from vaelab.data.tabular.header import as_kinds
from vaelab.doctor import examine_data
from vaelab.doctor.data_checks import CHECKS
from vaelab.doctor.data_measurements import measure_data


def examined(make, folder):
    return examine_data(str(make(folder)))


@pytest.mark.parametrize("make", made.HEALTHY, ids=lambda f: f.__name__)
def test_healthy_data_are_left_alone(make, tmp_path):
    report = examined(make, tmp_path)
    assert report.findings == []
    assert "likelihood that fits" in report.about[-1]


@pytest.mark.parametrize(
    ("make", "code"), made.ILL.items(), ids=lambda f: getattr(f, "__name__", str(f))
)
def test_a_planted_fault_is_found(make, code, tmp_path):
    found = {finding.code for finding in examined(make, tmp_path).findings}
    assert code in found
    also = {
        made.copies: {"leak"},
        made.leak: {"duplicate-rows"},
        made.unscaled_test: {"outliers"},
        made.repeated_table: {"leak"},
        made.sentinels_of_maps: {"image-range"},
    }
    assert found - {code} <= also.get(make, set())


JUDGEMENT = {"constant", "near-leak", "split-mismatch", "mixed-sizes", "mixed-colours"}
"""Findings whose remedy takes a person: data that are gone, or a choice."""


def repaired(path, fix, folder):
    """The findings after a fix was applied to the very data it was printed for."""
    if fix.target == "read":
        flag, value = shlex.split(fix.change)
        assert flag == "--columns"
        return examine_data(str(path), columns=as_kinds(value)).findings
    if fix.target == "table":
        scope = {"frame": pd.read_csv(path), "np": np}
        exec(fix.change, scope)
        scope["frame"].to_csv(folder / "repaired.csv", index=False)
        return examine_data(str(folder / "repaired.csv")).findings
    if fix.target == "array":
        arrays = dict(np.load(path))
        scope = arrays | {"np": np}
        exec(fix.change, scope)
        np.savez(folder / "repaired.npz", **{name: scope[name] for name in arrays})
        return examine_data(str(folder / "repaired.npz")).findings
    if fix.target == "data":
        scope = {"data": vaelab.load_data(str(path)), "vaelab": vaelab}
        exec(fix.change, scope)
        seen = measure_data(scope["data"], 0)
        return [finding for check in CHECKS.values() for finding in check(seen)]
    assert fix.target == "file"
    subprocess.run(shlex.split(fix.change), cwd=path, check=True)
    return examine_data(str(path)).findings


@pytest.mark.parametrize(
    ("make", "code"), made.ILL.items(), ids=lambda f: getattr(f, "__name__", str(f))
)
def test_the_fix_can_be_applied_to_these_data_and_the_finding_goes(make, code, tmp_path):
    path = make(tmp_path)
    found = examine_data(str(path)).findings
    finding = next(f for f in found if f.code == code)
    if finding.fix is None:
        assert code in JUDGEMENT
        return
    again = {f.code for f in repaired(path, finding.fix, tmp_path)}
    assert code not in again
    assert again <= {f.code for f in found}


def evidence(make, folder, code):
    (found,) = [f.evidence for f in examined(make, folder).findings if f.code == code]
    return found.value


def test_the_evidence_is_the_number_that_was_planted(tmp_path):
    assert evidence(made.nan, tmp_path, "nan") == 2
    assert evidence(made.leak, tmp_path, "leak") == 20 / 120
    assert evidence(made.copies, tmp_path, "duplicate-rows") == 60 / 660
    assert evidence(made.dead_column, tmp_path, "constant-columns") == 1
    assert evidence(made.yes_and_no, tmp_path, "kinds-unset") == 1
    assert evidence(made.unreadable, tmp_path, "unreadable") == 1
    assert evidence(made.near_leak, tmp_path, "near-leak") == pytest.approx(40 / 240, abs=0.01)
    ratio = evidence(made.rare_class, tmp_path, "imbalance")
    assert ratio > 10


def test_columns_are_called_by_their_names(tmp_path):
    (found,) = examined(made.yes_and_no, tmp_path).findings
    assert found.what.startswith("column 3 holds only 0 and 1: binary; taken for numbers")
    path = made.named_columns(tmp_path)
    lines = [f"{line},{line.split(',')[0]}" for line in path.read_text().splitlines()]
    lines[0] = "height,answer,smoker,width,again"
    path.write_text("\n".join(lines))
    (found,) = examine_data(str(path)).findings
    assert found.code == "duplicate-columns"
    assert "again repeats height" in found.what


def test_rows_of_a_mapped_file_are_looked_at_likewise(tmp_path, monkeypatch):
    from vaelab.data import arrays

    np.save(tmp_path / "large.npy", np.concatenate([made.columns(), made.columns()[:60]]))
    monkeypatch.setattr(arrays, "MAPPED", 1000)
    found = {finding.code for finding in examine_data(str(tmp_path / "large.npy")).findings}
    assert found == {"duplicate-rows", "leak"}


def test_the_likelihood_that_fits_is_said_with_its_reason():
    assert "nearly two-toned" in examine_data("digits8x8").about[-1]


def test_columns_and_a_label_may_be_said_of_a_table(tmp_path, capsys):
    path = made.named_columns(tmp_path)
    names = path.read_text().splitlines()[0].split(",")
    report = examine_data(str(path), columns={names[0]: "out"}, label=names[2])
    assert report.figures["shape"] == (len(names) - 2,)
    assert cli.main(["doctor", str(path), "--columns", f"{names[0]}=out"]) == 0
    assert f"real: {names[0]}" not in capsys.readouterr().out
    assert cli.main(["doctor", "losses.py:vae_loss", "--columns", "a=real"]) == 2
    assert "--columns say how data are read, and this is a loss" in capsys.readouterr().err
