"""The command itself: exit statuses, JSON, what is shown, and the page that explains it."""

import ast
import io
import json
from pathlib import Path

import pytest
from diseased import losses
from diseased.data import copies, table, unscaled_test
from rich.console import Console

import vaelab
from vaelab import doctor
from vaelab.commands import main as cli
from vaelab.doctor.findings import SEVERITIES, Evidence, Finding, Report
from vaelab.reports.findings_console import show

ROOT = Path(vaelab.__file__).parent / "doctor"
PAGE = Path(__file__).parents[2] / "docs" / "findings.md"


def loss(function):
    return f"{losses.__file__}:{function.__name__}"


def said(capsys, *args, status):
    assert cli.main(["doctor", *map(str, args)]) == status
    return capsys.readouterr()


def test_exit_status_follows_the_severity(capsys):
    assert "nothing found" in said(capsys, loss(losses.gaussian), status=0).out
    said(capsys, loss(losses.mean_kl), status=1)
    said(capsys, loss(losses.summed), "--severity", "info", status=0)
    said(capsys, loss(losses.per_example), status=1)
    said(capsys, loss(losses.per_example), "--severity", "error", status=0)


def test_json_is_one_object_and_nothing_else(capsys, tmp_path):
    found = json.loads(said(capsys, copies(tmp_path), "--json", status=1).out)
    assert found["kind"] == "data"
    assert [f["code"] for f in found["findings"]] == ["leak", "duplicate-rows"]
    first = found["findings"][0]
    assert set(first) == {
        "code",
        "severity",
        "what",
        "evidence",
        "remedy",
        "fix",
        "follows",
        "docs",
    }
    assert first["evidence"]["value"] > first["evidence"]["limit"]
    assert first["docs"] == "docs/findings.md#leak"
    clean = json.loads(said(capsys, table(tmp_path), "--json", status=0).out)
    assert clean["findings"] == []
    assert clean["checked"]
    of_loss = json.loads(said(capsys, f"{losses.__file__}:Model.loss", "--json", status=0).out)
    assert of_loss["figures"]["effective_beta"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nowhere.npy"], "does not exist"),
        (["mnits"], "Did you mean mnist"),
        (["losses.py"], "name the loss"),
        (["nowhere.py:loss"], "does not exist"),
        ([loss(losses.broken)], "no such thing"),
        ([loss(losses.gaussian), "--shape", "a,b"], "expected positive numbers"),
        (["digits8x8", "--limit", "1"], "limit is 1"),
    ],
)
def test_wrong_use_is_2_and_no_traceback(capsys, monkeypatch, tmp_path, args, words):
    monkeypatch.chdir(tmp_path)
    found = said(capsys, *args, status=2)
    assert found.out == ""
    assert words in found.err
    assert "Traceback" not in found.err


def test_a_run_is_told_from_data_and_its_data_can_be_named(capsys, tmp_path):
    import numpy as np
    from diseased import runs

    rows = runs.columns(100).astype(np.float32)
    runs.trained(tmp_path, runs.recipes.vae, rows, 2, latent=2)
    assert "--data" in said(capsys, tmp_path / "run", status=2).err
    np.save(tmp_path / "rows.npy", rows)
    args = [tmp_path / "run", "--data", tmp_path / "rows.npy", "--json"]
    assert cli.main(["doctor", *map(str, args)]) in (0, 1)
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "run"
    assert found["figures"]["test_neg_elbo"]["se"] > 0


def printed(report, **kwargs):
    out = io.StringIO()
    show(report, Console(file=out, **kwargs))
    return out.getvalue()


def test_a_report_is_short_and_ordered_by_gravity(tmp_path):
    report = doctor.examine_data(str(unscaled_test(tmp_path)))
    text = printed(report, width=100)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert not any(line != line.rstrip() for line in lines)
    assert text.index("✗ error split-mismatch") < text.index("! warning outliers")
    assert "→ prepare all splits alike" in text
    assert "\n1 error, 1 warning\n  checked: " in text
    assert "\x1b[" not in text
    assert "\x1b[1;31m" in printed(report, width=100, force_terminal=True, color_system="standard")


def test_findings_are_sorted_and_shown_with_their_doubt():
    def finding(severity):
        return Finding("x", severity, "what", Evidence("rate", 0.02, 0.1, "nats", 0.001), "do")

    report = Report("s", "run", [], ["a"], [finding(s) for s in SEVERITIES])
    assert [f.severity for f in report.findings] == ["error", "warning", "info"]
    assert str(report.findings[0].evidence) == "rate 0.02 ± 0.001 nats (limit 0.1)"
    assert Evidence("ratio", float("inf")).to_json()["value"] is None


def literals(headings: set[str]) -> set[str]:
    """The codes of the source: of literal findings, and those of the docs that a table holds."""
    codes, texts = set(), set()
    for path in ROOT.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            called = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding"
            if called and isinstance(node.args[0], ast.Constant):
                codes.add(node.args[0].value)
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
    return codes | (headings & texts)


def test_every_code_has_its_place_in_the_docs_and_its_disease_in_the_tests():
    from diseased import data, runs

    headings = {line[4:] for line in PAGE.read_text().splitlines() if line.startswith("### ")}
    assert literals(headings) == headings
    planted = {*losses.ILL.values(), *data.ILL.values(), *set().union(*runs.ILL.values())}
    assert literals(headings) == planted


def test_the_limits_in_the_docs_are_the_ones_in_the_source():
    from vaelab.doctor import (
        data_checks,
        data_value_checks,
        prior_checks,
        run_checks,
        training_checks,
    )

    page = PAGE.read_text()
    assert f"more than {data_value_checks.OUTLIER:.0f} usual deviations" in page
    assert f"The effective β is below {run_checks.UNDER}" in page
    assert (
        f"above {prior_checks.OVER} and reconstructions explain less than {run_checks.POOR}" in page
    )
    assert (prior_checks.HOLES, prior_checks.UNREACHED, run_checks.MISFIT) == (0.25, 0.25, 0.25)
    assert (training_checks.JUMP, training_checks.LATE) == (0.1, 0.1)
    assert (data_checks.REPEATED, data_checks.LEAKED, data_checks.MISMATCH) == (0.01, 0.005, 2)


def test_names_from_files_are_shown_and_not_obeyed():
    bad = "Sa\x1b[31mlt"
    finding = Finding("gap", "info", f"of {bad}", Evidence(bad, 1.0), f"leave out {bad}")
    out = io.StringIO()
    show(Report(bad, "data", [f"columns: {bad}"], ["a"], [finding]), Console(file=out, width=200))
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().count(r"Sa\x1b[31mlt") == 5
