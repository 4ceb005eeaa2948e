"""`vaelab compare`: paired differences against numpy, and what it refuses."""

import copy
import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vaelab import recipes
from vaelab.commands import main as cli
from vaelab.data import load as load_data
from vaelab.evaluation.definitions import DEFINITIONS
from vaelab.evaluation.settings import MEASURED_WITH, unlike
from vaelab.recipes.design import Design
from vaelab.runs.train import train
from vaelab.training import Plan


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    data = load_data("digits8x8")
    for name, latent in (("one", 1), ("three", 3)):
        recipe = recipes.vae(data.spec, latent=latent, design=Design(width=16))
        train(recipe, data, Plan(epochs=6), out=folder / name)
        evaluate(folder / name)
    return folder


def evaluate(run, *args):
    parts = ("--samples", "20", "--parts", "likelihood", "--device", "cpu")
    assert cli.main(["evaluate", str(run), *parts, *args]) == 0


def said(capsys, *args, status=0):
    capsys.readouterr()
    assert cli.main(["compare", *map(str, args)]) == status
    return capsys.readouterr()


def test_differences_are_paired(runs, capsys):
    a, b = runs / "one", runs / "three"
    found = json.loads(said(capsys, a, b, "--json").out)
    one, three = (load_file(run / "evaluation.safetensors") for run in (a, b))
    for name in ("neg_elbo", "nll", "rate", "distortion"):
        gaps = three[name].double().numpy() - one[name].double().numpy()
        got = found["differences"][str(b)][name]
        assert got["value"] == pytest.approx(gaps.mean(), abs=1e-9)
        assert got["se"] == pytest.approx(gaps.std(ddof=1) / len(gaps) ** 0.5)
        assert got["n"] == 180
    assert found["reference"] == str(a)
    assert found["runs"][str(a)]["nll"]["value"] == pytest.approx(float(one["nll"].mean()))
    # What pairing is for: the luck of the examples is in both.
    apart = [run["neg_elbo"].std() / 180**0.5 for run in (one, three)]
    assert found["differences"][str(b)]["neg_elbo"]["se"] < 0.95 * float(torch.stack(apart).norm())


def test_the_table_shows_both_runs_and_the_differences(runs, capsys):
    out = said(capsys, runs / "one", runs / "three", runs / "one").out
    assert "180 test examples of digits8x8, binarized once by seed 0" in out
    assert "on the same examples" in out
    for title in ("−ELBO", "NLL", "rate", "distortion"):
        assert title in out
    assert out.count("0 ± 0") >= 4  # a run does not differ from itself
    assert str(runs) not in out  # the folder they share
    assert " three " in out
    assert "number" not in out


def test_names_of_runs_are_shown_as_they_are(runs, tmp_path, capsys):
    for name in ("[red]one", "\x1b[31mtwo"):
        shutil.copytree(runs / "one", tmp_path / name)
    found = said(capsys, tmp_path / "[red]one", tmp_path / "\x1b[31mtwo")
    assert "\x1b" not in found.out + found.err
    assert found.out.count("[red]one") >= 2  # above its figures, and where differences are to it
    assert found.out.count("\\x1b[31mtwo") >= 2


def test_other_examples_are_refused(runs, tmp_path, capsys):
    data = load_data("digits8x8")
    recipe = recipes.vae(data.spec, latent=1, design=Design(width=16))
    train(recipe, data, Plan(epochs=1), out=tmp_path / "run")
    evaluate(tmp_path / "run", "--limit", "50")
    err = said(capsys, runs / "one", tmp_path / "run", status=2).err
    assert "not the same numbers" in err
    assert "50 test examples of digits" in err
    evaluate(tmp_path / "run", "--seed", "1")
    assert "binarized once by seed 1" in said(capsys, runs / "one", tmp_path / "run", status=2).err
    # Another K bounds another thing: the NLL has no paired difference then.
    evaluate(tmp_path / "run", "--samples", "7")
    found = said(capsys, runs / "one", tmp_path / "run", "--json")
    differences = json.loads(found.out)["differences"][str(tmp_path / "run")]
    assert "nll" not in differences
    assert "neg_elbo" in differences
    err = said(capsys, runs / "one", tmp_path / "run").err
    assert "has samples 7" in err
    assert (
        "cannot be compared in NLL, NLL per dimension, effective draws, slack of NLL"
        in " ".join(err.split())
    )
    told = json.loads(found.out)["unlike"][str(tmp_path / "run")]
    assert [(one["setting"], one["values"]) for one in told] == [("samples", [20, 7])]


def test_a_density_and_a_probability_have_no_common_zero(tmp_path, capsys):
    rows = (np.random.default_rng(0).random((200, 4)) > 0.5).astype(np.uint8)
    np.save(tmp_path / "rows.npy", rows)
    data = load_data(tmp_path / "rows.npy")
    for name, likelihood in (("bits", "bernoulli"), ("reals", "gaussian")):
        design = Design(width=8, likelihood=likelihood)
        train(
            recipes.vae(data.spec, latent=1, design=design),
            data,
            Plan(epochs=1),
            out=tmp_path / name,
        )
        evaluate(tmp_path / name)
    err = said(capsys, tmp_path / "bits", tmp_path / "reals", status=2).err
    assert "no common zero" in err


def test_what_was_not_evaluated_is_named(runs, tmp_path, capsys):
    assert "name two or more" in said(capsys, runs / "one", status=2).err
    err = said(capsys, runs / "one", tmp_path / "nowhere", status=2).err
    assert "does not exist" in err
    data = load_data("digits8x8")
    recipe = recipes.vae(data.spec, latent=1, design=Design(width=16))
    train(recipe, data, Plan(epochs=1), out=tmp_path / "run")
    err = said(capsys, runs / "one", tmp_path / "run", status=2).err
    assert f"vaelab evaluate {tmp_path / 'run'}" in err
    evaluate(tmp_path / "run")
    said(capsys, runs / "one", tmp_path / "run")
    # Other weights in the folder: the figures are of those that were there.
    weights = tmp_path / "run" / "weights.safetensors"
    weights.write_bytes((runs / "one" / "weights.safetensors").read_bytes())
    assert "present weights" in said(capsys, runs / "one", tmp_path / "run", status=2).err


FIGURES = {name: {"value": 1.0, "se": 0.1, "n": 9} for name in DEFINITIONS}
SETTINGS = {
    "samples": 20,
    "annealing": {"examples": 9, "steps": 50},
    "train": 60,
    "seed": 0,
    "features": "pixels",
    "output": "means",
    "sample_count": 9,
    "neighbours": 5,
    "disentanglement": {
        "factors": ["a", "b"],
        "table": "1f",
        "points": 600,
        "seeds": 5,
        "bins": 20,
        "regressor": "a forest",
        "votes": 800,
    },
    "figures": FIGURES,
}


@pytest.mark.parametrize("place", MEASURED_WITH)
def test_every_setting_that_a_figure_depends_on_is_compared(place):
    other = copy.deepcopy(SETTINGS)
    assert unlike(SETTINGS, other) == []
    part, name = (other["disentanglement"] if "." in place else other), place.split(".")[-1]
    before, part[name] = part[name], "another"
    found = unlike(SETTINGS, other)
    assert [(one.setting, one.values) for one in found] == [(name, (before, "another"))]
    assert set(found[0].figures) <= set(DEFINITIONS)
    # What one of them has not need not agree.
    other["figures"] = {"neg_elbo": FIGURES["neg_elbo"]}
    assert unlike(SETTINGS, other) == []


def test_the_settings_are_those_an_evaluation_records(runs, tmp_path):
    shutil.copytree(runs / "one", tmp_path / "run")
    args = ("likelihood", "samples", "--factors", "--features", "pixels", "--limit", "100")
    evaluate(tmp_path / "run", "--parts", *args)
    kept = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    for place in MEASURED_WITH:
        at = kept
        for name in place.split("."):
            assert name in at, place
            at = at[name]


def test_the_settings_that_differ_lead(runs, tmp_path, capsys):
    data = load_data("digits8x8")
    recipe = recipes.beta_vae(data.spec, latent=1, beta=0.5, design=Design(width=16))
    train(recipe, data, Plan(epochs=2), out=tmp_path / "run")
    evaluate(tmp_path / "run")
    first, *_ = said(capsys, runs / "one", tmp_path / "run").out.splitlines()
    assert first == "recipe vae / beta_vae, beta 1 / 0.5, epochs 6 / 2"
    first, *_ = said(capsys, runs / "one", runs / "three", runs / "one").out.splitlines()
    assert first == "latent 1 / 3 / 1"
    assert said(capsys, runs / "one", runs / "one").out.startswith("No setting of recipe")
