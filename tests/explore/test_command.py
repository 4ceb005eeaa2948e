"""`vaelab explore`: its messages."""

from __future__ import annotations

import sys

import pytest
from small_runs import untrained

from vaelab.commands.main import main


@pytest.fixture
def run(tmp_path, digits):
    return untrained("vae", digits).save(tmp_path / "run")


def test_a_page_is_written_and_never_replaced_unasked(run, tmp_path, capsys):
    out = tmp_path / "new" / "page.html"
    line = ["explore", str(run), "--export", str(out), "--points", "20", "--lang", "zh"]
    assert main(line) == 0
    assert str(out) in capsys.readouterr().out
    page = out.read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert '<html lang="zh-Hans">' in page
    assert main(line) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*line, "--overwrite"]) == 0
    assert out.read_text(encoding="utf-8") == page


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("explore", "name a trained run"),
        ("explore RUN --export page.txt", ".html"),
        ("explore RUN --points 0", "points is 0"),
        ("explore RUN/none --export page.html", "does not exist"),
        ("explore --beta 1,0 --data digits8x8 --export page.html", "ascending"),
        ("explore --beta 0,1 --export page.html", "--data"),
        ("explore RUN --beta 0,1 --data digits8x8 --export page.html", "no run"),
        ("explore --beta 1,inf --data digits8x8 --export page.html", "finite"),
    ],
)
def test_mistakes_are_named(run, line, message, capsys):
    assert main([word.replace("RUN", str(run)) for word in line.split()]) == 2
    assert message in capsys.readouterr().err


def test_the_server_asks_for_its_extra(run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.setattr("vaelab.commands.explore.find_spec", lambda name: None)
    assert main(["explore", str(run)]) == 2
    said = capsys.readouterr().err
    assert "vaelab[explore]" in said
    assert "--export" in said


def test_python_shows_and_saves_the_same_page(run, tmp_path, digits):
    import vaelab

    shown = vaelab.explore(run, points=20)
    out = tmp_path / "command.html"
    assert main(["explore", str(run), "--export", str(out), "--points", "20"]) == 0
    assert shown.save(tmp_path / "a" / "b.html").read_bytes() == out.read_bytes()
    assert shown._repr_html_().startswith('<iframe srcdoc="&lt;!DOCTYPE html')
    assert "save(" in repr(shown)
    loaded = vaelab.load(run)
    again = vaelab.explore(loaded, names=["mine"], data=digits, points=20)
    assert "mine" in again.page
    with pytest.raises(ValueError, match="2 titles"):
        vaelab.explore(loaded, names=["a", "b"])
    with pytest.raises(ValueError, match="no run"):
        vaelab.explore()
