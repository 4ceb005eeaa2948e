"""`vaelab evaluate` against independent figures, and what it writes."""

import json
import math

import numpy as np
import pytest
import torch

from vaelab import cli, recipes
from vaelab.apps.train import train
from vaelab.data import load as load_data
from vaelab.design import Design
from vaelab.run import load
from vaelab.training import Plan


def trained(make, source, folder):
    data = load_data(source)
    recipe = make(data.spec, latent=2, design=Design(width=16))
    return train(recipe, data, Plan(epochs=2), out=folder)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    rows = np.random.default_rng(0).normal([0, 50, -3], [1, 9, 2], (200, 3)).astype(np.float32)
    np.save(folder / "rows.npy", rows)
    trained(recipes.vae, folder / "rows.npy", folder / "run")
    return folder


def evaluated(capsys, *args):
    assert cli.main(["evaluate", *map(str, args), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_figures_agree_with_torch_distributions(table, capsys):
    found = evaluated(capsys, table / "run", "--samples", "500")
    run = load(table / "run")
    raw = load_data(table / "rows.npy").test.x
    x = run.data.prepare(raw)
    torch.manual_seed(1)
    with torch.no_grad():
        trace = run.model(x, 20_000)
        site = trace.sites[0]
        q = torch.distributions.Normal(site.posterior.mu, site.posterior.sigma)
        p = torch.distributions.Normal(0.0, 1.0)
        likelihood = torch.distributions.Normal(trace.likelihood.mu, trace.likelihood.sigma)
        rate = torch.distributions.kl_divergence(q, p).sum(1).view(20_000, -1)[0]
        log_px = likelihood.log_prob(x.repeat(20_000, 1)).sum(1).view(20_000, -1)
        log_w = log_px + (p.log_prob(site.z) - q.log_prob(site.z)).sum(1).view(20_000, -1)
        nll = math.log(20_000) - torch.logsumexp(log_w, 0)
    assert found["rate"] == pytest.approx(float(rate.mean()), abs=1e-5)
    assert found["distortion"] == pytest.approx(-float(log_px.mean()), abs=0.5)
    assert found["nll"] == pytest.approx(float(nll.mean()), abs=0.02)
    assert found["nll_se"] == pytest.approx(float(nll.std()) / len(x) ** 0.5, rel=0.1)
    assert found["neg_elbo"] == pytest.approx(found["rate"] + found["distortion"], abs=1e-6)
    assert (found["n"], found["samples"], found["split"]) == (len(x), 500, "test")
    # A density has no bits per dimension.
    assert found["bits_per_dim"] is None


def test_the_same_seed_gives_the_same_figures_and_they_are_kept(table, capsys):
    first = evaluated(capsys, table / "run", "--samples", "20", "--seed", "4")
    assert first == evaluated(capsys, table / "run", "--samples", "20", "--seed", "4")
    other = evaluated(capsys, table / "run", "--samples", "20", "--seed", "5")
    assert other["nll"] != first["nll"]
    assert json.loads((table / "run" / "evaluation.json").read_text()) == other
    assert evaluated(capsys, table / "run", "--samples", "20", "--limit", "7")["n"] == 7


def test_discrete_data_has_bits_and_a_stated_binarization(tmp_path, capsys):
    trained(recipes.vae, "digits", tmp_path / "run")
    found = evaluated(capsys, tmp_path / "run", "--samples", "20", "--limit", "40")
    assert found["bits_per_dim"] == pytest.approx(found["nll"] / (64 * math.log(2)))
    assert found["binarize"] == "dynamic"
    assert found["neg_elbo"] > found["nll"]
    assert cli.main(["evaluate", str(tmp_path / "run"), "--samples", "5", "--limit", "9"]) == 0
    said = capsys.readouterr().out
    assert "binarized once by seed 0" in said
    assert "9 test examples" in said
    assert "bits per dimension" in said


def test_a_point_code_has_a_distortion_only(tmp_path, capsys):
    trained(recipes.ae, "digits", tmp_path / "run")
    found = evaluated(capsys, tmp_path / "run")
    assert found["distortion"] > 0
    assert found["neg_elbo"] is found["rate"] is found["nll"] is found["nll_se"] is None
    assert "no density" in found["why_no_elbo"]
    assert cli.main(["evaluate", str(tmp_path / "run")]) == 0
    assert "No ELBO" in capsys.readouterr().err


def test_data_that_was_in_memory_or_has_moved_can_be_named(tmp_path, capsys):
    rows = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    trained(recipes.vae, rows, tmp_path / "run")
    run = str(tmp_path / "run")
    assert cli.main(["evaluate", run]) == 2
    assert "--data" in capsys.readouterr().err
    np.save(tmp_path / "rows.npy", rows)
    assert evaluated(capsys, run, "--data", tmp_path / "rows.npy", "--samples", "5")["n"] == 10
    np.save(tmp_path / "other.npy", rows + 1)
    assert cli.main(["evaluate", run, "--data", str(tmp_path / "other.npy")]) == 2
    assert "has changed since the run" in capsys.readouterr().err

    trained(recipes.vae, tmp_path / "rows.npy", tmp_path / "moved")
    (tmp_path / "rows.npy").rename(tmp_path / "elsewhere.npy")
    assert cli.main(["evaluate", str(tmp_path / "moved")]) == 2
    assert "name it with --data" in capsys.readouterr().err
