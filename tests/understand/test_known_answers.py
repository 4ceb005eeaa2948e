"""Pages of data whose right answer is known: what they state follows from their own figures."""

import importlib
import json
import re

import numpy as np
import pytest

from vaelab.data import load
from vaelab.understand import DOCUMENT, understand

pytestmark = pytest.mark.slow


def gaussian(g):
    return {"x": g.normal(size=(400, 4))}


def ring(g):
    turn = g.uniform(0, 2 * np.pi, 400)
    return {"x": np.stack([np.cos(turn), np.sin(turn)], 1) * (1 + 0.03 * g.normal(size=(400, 1)))}


def two_points(g):
    return {"x": np.array([[0.0, 5, -3], [1, 2, 3]])[g.integers(0, 2, 400)]}


def one_class(g):
    return {"x": g.normal(size=(400, 4)), "y": np.full(400, 3)}


def two_clusters(g):
    y = g.integers(0, 2, 400)
    return {"x": np.array([[-4.0, 0, 1], [4, 1, 0]])[y] + 0.5 * g.normal(size=(400, 3)), "y": y}


@pytest.fixture(params=[gaussian, ring, two_points, one_class, two_clusters])
def study(request, tmp_path, monkeypatch):
    """Name, document, and the text of the page in both languages."""
    sizes = {"study": {"WIDTH": 32}, "measure": {"SAMPLES": 500, "PRIOR_DRAWS": 1000}}
    for module, values in sizes.items():
        for name, value in values.items():
            monkeypatch.setattr(importlib.import_module(f"vaelab.understand.{module}"), name, value)
    np.savez(tmp_path / "data.npz", **request.param(np.random.default_rng(0)))
    page = understand(load(tmp_path / "data.npz"), out=tmp_path / "out", wide=3, epochs=20)
    text = re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8").partition("<main")[2])
    document = json.loads((tmp_path / "out" / DOCUMENT).read_text())
    return request.param.__name__, document, text


def test_every_statement_follows_from_the_figures_of_the_page(study):
    name, document, text = study
    figures = {model: about["figures"] for model, about in document["models"].items()}

    shares = [figures[f"ae-{n}"]["hole_ellipse"] for n in (2, 3)]
    gaps = [share["value"] - 2 * share["se"] > 0.05 for share in shares]
    assert ("Both are above the mark" in text) == all(gaps)
    assert ("cannot be made out inside" in text) == (not any(gaps))
    assert ("看不出空隙比真实编码更多" in text) == (not any(gaps))

    strip = document["strips"]["gap"]
    assert ("training codes: outside their support." in text) == strip["hole"]
    assert ("在支撑集之内" in text) == (not strip["hole"])
    assert ("they resemble nothing in the data" in text) == bool(strip["off"])
    assert ("here the decoder stays with the data" in text) == (strip["off"] == 0)

    repeats = name == "two_points"
    assert ("Rows of this data repeat exactly." in text) == repeats
    assert ("完全相同的样本" in text) == repeats
    assert (figures["vae-3"]["precision"]["value"] is None) == repeats

    classes = name == "two_clusters"
    for words in ("coloured by class", "each of another class", "among codes of one class"):
        assert (words in text) == classes, words
    for words in ("颜色表示类别", "类别不同", "实线在同一类的编码之中"):
        assert (words in text) == classes, words

    for claim in document["claims"]:
        verdicts = [one["verdict"] for one in claim["comparisons"]]
        if claim["verdict"] == "holds":
            assert set(verdicts) == {"holds"}
        assert (claim["verdict"] == "fails") == ("fails" in verdicts and None not in verdicts)
