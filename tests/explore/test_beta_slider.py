"""A sweep over the weight of the KL term in one page."""

from __future__ import annotations

import json
import math

import pytest
import torch
from test_page_browser import browser, settled, visit  # noqa: F401

from vaelab.commands.main import main
from vaelab.explore.population import load_betas, read_betas


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("betas")
    line = "explore --beta 0,1,inf --data digits8x8 --epochs 1 --width 8 --points 80"
    assert (
        main([*line.split(), "--out", str(out / "runs"), "--export", str(out / "page.html")]) == 0
    )
    return out


def test_weights_are_read_and_checked():
    assert read_betas("0,0.5,inf") == (0.0, 0.5, math.inf)
    for wrong in ("1", "1,0", "-1,2", "a,b", "1,1", "nan,2"):
        with pytest.raises(ValueError, match="ascending"):
            read_betas(wrong)


def test_a_folder_of_a_sweep_holds_a_run_for_every_weight(folder):
    betas, runs = load_betas(folder / "runs")
    assert betas == [0.0, 1.0, math.inf]
    assert [run.recipe.name for run in runs] == ["vae", "vae", "kl_only"]
    again = folder / "again.html"
    assert main(["explore", str(folder / "runs"), "--export", str(again), "--points", "80"]) == 0
    assert again.read_text() == (folder / "page.html").read_text()


def test_maps_are_turned_but_not_stretched(folder):
    text = (folder / "page.html").read_text()
    payload = json.loads(text.split('id="payload">')[1].split("</script>")[0])
    for run in payload["runs"]:
        axes = torch.tensor([run["maps"][0]["u"], run["maps"][0]["v"]])
        assert torch.allclose(axes @ axes.T, torch.eye(2), atol=1e-5)
    figures = payload["sweep"]["figures"]
    assert figures[2]["rate"] < figures[0]["rate"]
    for row in figures:
        assert row["loss"] == pytest.approx(row["rate"] + row["distortion"], rel=1e-4)


def test_one_hand_slides_over_the_weights(visit, folder):  # noqa: F811
    page = visit((folder / "page.html").read_text())
    first = settled(page)
    rows = page.locator("#sweep .figures td:nth-child(2)").all_inner_texts()
    page.fill("#beta", "2")
    assert page.get_attribute("#beta", "aria-valuetext") == "β = ∞"
    assert not torch.equal(settled(page), first)
    assert page.locator("#sweep .figures td:nth-child(2)").all_inner_texts() != rows
    assert page.said == []
