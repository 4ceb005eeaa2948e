"""`vaelab evaluate` against independent figures, and what it writes."""

import contextlib
import io
import json
import math
import re
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from vaelab import recipes
from vaelab.commands import main as cli
from vaelab.data import Batches
from vaelab.data import load as load_data
from vaelab.evaluation import latents
from vaelab.evaluation.definitions import DEFINITIONS
from vaelab.evaluation.inception import Inception
from vaelab.metrics import Classifier
from vaelab.recipes.design import Design
from vaelab.reports.evaluation_table import written
from vaelab.runs.load import load
from vaelab.runs.train import train
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


ONLY = ("--parts", "likelihood")


def evaluated(capsys, *args):
    assert cli.main(["evaluate", *map(str, args), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_figures_agree_with_torch_distributions(table, capsys):
    found = evaluated(capsys, table / "run", "--samples", "500")
    run = load(table / "run")
    raw = load_data(table / "rows.npy").test.x
    x = run.spec.prepare(raw)
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
    first = evaluated(capsys, table / "run", "--samples", "20", "--seed", "4", *ONLY)
    assert first == evaluated(capsys, table / "run", "--samples", "20", "--seed", "4", *ONLY)
    other = evaluated(capsys, table / "run", "--samples", "20", "--seed", "5", *ONLY)
    assert other["nll"] != first["nll"]
    assert json.loads((table / "run" / "evaluation.json").read_text()) == other
    assert evaluated(capsys, table / "run", "--limit", "7", *ONLY)["n"] == 7


def test_discrete_data_has_bits_and_a_stated_binarization(tmp_path, capsys):
    trained(recipes.vae, "digits8x8", tmp_path / "run")
    found = evaluated(capsys, tmp_path / "run", "--samples", "20", "--limit", "40", *ONLY)
    assert found["bits_per_dim"] == pytest.approx(found["nll"] / (64 * math.log(2)))
    assert found["binarize"] == "dynamic"
    of_each = load_file(tmp_path / "run" / "evaluation.safetensors")
    assert (of_each["neg_elbo"] >= of_each["nll"]).all()
    assert found["neg_elbo"] > found["nll"]
    args = ("--samples", "5", "--limit", "9", *ONLY)
    assert cli.main(["evaluate", str(tmp_path / "run"), *args]) == 0
    said = capsys.readouterr().out
    assert "binarized once by seed 0" in said
    assert "9 test examples" in said
    assert "bits/dim" in said


def test_a_point_code_has_a_distortion_only(tmp_path, capsys):
    trained(recipes.ae, "digits8x8", tmp_path / "run")
    found = evaluated(capsys, tmp_path / "run", *ONLY)
    assert found["distortion"] > 0
    assert found["neg_elbo"] is found["rate"] is found["nll"] is found["nll_se"] is None
    assert "no density" in found["why_no_elbo"]
    assert cli.main(["evaluate", str(tmp_path / "run"), *ONLY]) == 0
    assert "No ELBO" in capsys.readouterr().err


def test_data_that_was_in_memory_or_has_moved_can_be_named(tmp_path, capsys):
    rows = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    trained(recipes.vae, rows, tmp_path / "run")
    run = str(tmp_path / "run")
    assert cli.main(["evaluate", run]) == 2
    assert "--data" in capsys.readouterr().err
    np.save(tmp_path / "rows.npy", rows)
    assert evaluated(capsys, run, "--data", tmp_path / "rows.npy", *ONLY)["n"] == 10
    np.save(tmp_path / "other.npy", rows + 1)
    assert cli.main(["evaluate", run, "--data", str(tmp_path / "other.npy")]) == 2
    assert "has changed since the run" in capsys.readouterr().err

    trained(recipes.vae, tmp_path / "rows.npy", tmp_path / "moved")
    (tmp_path / "rows.npy").rename(tmp_path / "elsewhere.npy")
    assert cli.main(["evaluate", str(tmp_path / "moved")]) == 2
    assert "name it with --data" in capsys.readouterr().err


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits") / "run"
    data = load_data("digits8x8")
    train(
        recipes.vae(data.spec, latent=3, design=Design(width=32)), data, Plan(epochs=6), out=folder
    )
    return folder


@pytest.fixture(scope="module")
def printed(digits_run):
    """A whole evaluation: its figures and page are in the run's folder, this is its text."""
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert cli.main(["evaluate", str(digits_run), "--samples", "30"]) == 0
    kept = {
        name: (digits_run / name).read_text() for name in ("evaluation.json", "evaluation.html")
    }
    return out.getvalue(), json.loads(kept["evaluation.json"]), kept["evaluation.html"]


def test_every_figure_has_a_standard_error_and_a_sample_size(printed):
    _, found, _ = printed
    figures = found["figures"]
    asked = {"nll_ais", "nll_excess", "bdmc_gap"}
    expected = {name for name in DEFINITIONS if DEFINITIONS[name].group != "factors"} - asked
    assert set(figures) == expected
    for name, figure in figures.items():
        assert math.isfinite(figure["value"]), name
        assert figure["n"] > 0, name
        assert figure["se"] > 0 or name == "active_units", name
    parts = ("information", "total_correlation", "dimension_wise")
    assert sum(figures[p]["value"] for p in parts) == pytest.approx(
        figures["split_rate"]["value"], abs=1e-4
    )
    # Rates by dimension add up to the rate, and are those of torch.distributions.
    layer = found["layers"][0]
    by_dimension = [rate["value"] for rate in layer["by_dimension"]]
    assert sum(by_dimension) == pytest.approx(found["rate"], abs=1e-4)
    assert figures["active_units"]["value"] == sum(layer["active"])
    assert figures["bits"]["value"] == found["bits_per_dim"]
    assert figures["nearest_held"]["value"] > 0
    assert found["features"] == "64 features of a classifier of 10 classes"
    assert found["train"] == 1437


def test_every_figure_is_shown_and_defined_on_the_page(digits_run, printed):
    out, found, page = printed
    for name in found["figures"]:
        assert DEFINITIONS[name].title in out
        assert f'id="about-{name}"' in page
        assert f'href="#about-{name}"' in page
    assert str(digits_run / "evaluation.html") in out
    assert "data:image/png;base64," in page
    assert page.count("<svg") == 3
    # Self-contained: nothing is fetched.
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "http" not in page
    assert "数据为 digits8x8 的测试集 180 个样本，按种子 0 二值化一次" in page
    assert "10 类分类器的 64 维特征" in page


def test_every_example_is_kept_in_order(digits_run, capsys):
    found = evaluated(capsys, digits_run, "--samples", "9", *ONLY)
    of_each = load_file(digits_run / "evaluation.safetensors")
    assert set(of_each) == {"neg_elbo", "rate", "distortion", "nll", "ess"}
    for name in ("neg_elbo", "nll"):
        assert float(of_each[name].double().mean()) == pytest.approx(found[name], abs=1e-5)
    run = load(digits_run)
    x = next(Batches(load_data("digits8x8").test.x, run.spec).fixed(500, 0))
    with torch.no_grad():
        rate = run.model(x).rate()[0]
    torch.testing.assert_close(of_each["rate"], rate, rtol=1e-4, atol=1e-4)


def test_annealing_checks_the_bound_from_both_sides(digits_run, capsys):
    how = ("--ais", "--ais-examples", "12", "--ais-steps", "30", "--ais-chains", "4")
    found = evaluated(capsys, digits_run, "--samples", "300", *ONLY, *how)
    figures = found["figures"]
    excess = figures["nll_excess"]
    assert excess["value"] == pytest.approx(0, abs=4 * excess["se"] + 0.02)
    assert abs(figures["bdmc_gap"]["value"]) < 0.3
    assert found["bdmc_nll_above"] - found["bdmc_nll_below"] == pytest.approx(
        figures["bdmc_gap"]["value"], abs=1e-6
    )
    assert (figures["nll_ais"]["n"], found["annealing"]["steps"]) == (12, 30)


def test_a_loose_bound_is_called_loose(tmp_path, capsys):
    """No rate in the loss: posteriors shrink to points, and weights are carried by one draw."""
    data = load_data("digits8x8")
    recipe = recipes.reconstruction_only(data.spec, latent=16, design=Design(width=64))
    train(recipe, data, Plan(epochs=15), out=tmp_path / "run")
    args = ("evaluate", str(tmp_path / "run"), "--samples", "50", *ONLY)
    assert cli.main([*args]) == 0
    assert "NLL is a loose bound here" in capsys.readouterr().err
    assert json.loads((tmp_path / "run" / "evaluation.json").read_text())["loose"] is True


def test_a_rate_that_is_an_estimate_says_so(tmp_path, digits_run, capsys):
    args = (*ONLY, "--samples", "2", "--limit", "40")
    found = evaluated(capsys, digits_run, *args)
    assert found["rate_is_closed"] is True
    assert not any("no closed form" in note for note in found["notes"])
    trained(recipes.vamp, "digits8x8", tmp_path / "run")
    found = evaluated(capsys, tmp_path / "run", *args)
    assert found["rate_is_closed"] is False
    assert any("no closed form" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("value", "se", "shown"),
    [
        (0.5, 0.1, "0.50 ± 0.10"),
        (1.0, 0.3, "1.00 (0.70–1.00)"),
        (0.03, 0.05, "0.030 (0.000–0.080)"),
        (0.9, 0.1, "0.90 ± 0.10"),
        (1.0, 0.5, "0–1"),
        (0.5, 0.3, "0–1"),
        (1.0, 0.49, "1.00 (0.51–1.00)"),
    ],
)
def test_an_interval_of_a_share_stays_between_none_and_all(value, se, shown):
    record = {"figures": {"precision": {"value": value, "se": se, "n": 9}}}
    assert written("precision", record) == shown


def test_the_classifier_is_kept_with_the_run_and_used_again(digits_run, capsys, monkeypatch):
    first = evaluated(capsys, digits_run, "--samples", "2", "--parts", "samples")
    kept = digits_run / "classifier.safetensors"
    with monkeypatch.context() as patched:
        patched.setattr(Classifier, "fit", lambda *args: pytest.fail("it was trained anew"))
        again = evaluated(capsys, digits_run, "--samples", "2", "--parts", "samples")
    assert again["figures"] == first["figures"]
    other = evaluated(capsys, digits_run, "--samples", "2", "--parts", "samples", "--seed", "1")
    assert other["figures"]["fid"] != first["figures"]["fid"]
    kept.write_bytes(b"nonsense")
    assert cli.main(["evaluate", str(digits_run), "--parts", "samples"]) == 2
    assert "delete it" in capsys.readouterr().err
    kept.unlink()


def test_features_of_the_users_own(digits_run, tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text(
        "def half(x):\n    return x.flatten(1)[:, ::2]\n\ndef bad(x):\n    return 3\n\n"
        "def broken(x):\n    return x @ x[:, :, :3]\n\ndef flat(x):\n    return x.sum()\n"
    )
    args = (digits_run, "--parts", "samples", "--features")
    found = evaluated(capsys, *args, f"{file}:half")
    assert found["features"] == "mine.py:half"
    for features, message in (
        (f"{file}:bad", "gave int; expected a floating-point tensor"),
        (f"{file}:flat", "gave () for 2 examples; expected (2, F)"),
        (f"{file}:broken", "failed on x (2, 1, 8, 8)"),
        (f"{file}:none", "has no function 'none'"),
        ("nowhere.py:f", "does not exist"),
        ("resnet", "choose auto, classifier, pixels, inception"),
        ("inception", "needs torch-fidelity"),
    ):
        assert cli.main(["evaluate", *map(str, args), features]) == 2
        assert message in capsys.readouterr().err


def test_inception_sees_eight_bits_and_three_channels(monkeypatch):
    seen = []

    class Extractor(torch.nn.Module):
        def __init__(self, name, features):
            super().__init__()
            assert (name, features) == ("inception-v3-compat", ["2048"])

        def forward(self, x):
            seen.append(x)
            return (x.flatten(1).double(),)

    module = ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    module.FeatureExtractorInceptionV3 = Extractor
    monkeypatch.setitem(sys.modules, "torch_fidelity", ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    x = torch.rand(70, 1, 4, 4)
    assert Inception((1, 4, 4), x.device)(x).shape == (70, 48)
    assert seen[0].dtype == torch.uint8
    assert torch.equal(seen[0][:, 0], (x[:64, 0] * 255).round().to(torch.uint8))
    assert torch.equal(seen[0][:, 0], seen[0][:, 2])
    with pytest.raises(ValueError, match="1 or 3 channels"):
        Inception((5,), x.device)


def test_draws_are_compared_with_what_the_model_saw(digits_run, capsys):
    means = evaluated(capsys, digits_run, "--parts", "samples", "--features", "pixels")
    draws = evaluated(capsys, digits_run, "--parts", "samples", "--features", "pixels", "--draw")
    assert means["output"] == "means of the likelihood"
    assert draws["output"] == "draws from the likelihood"
    # Binarized digits are noisier: so is the distance between two of them.
    held = [found["figures"]["nearest_held"]["value"] for found in (means, draws)]
    assert held[1] > 1.5 * held[0]


def test_splits_and_limits(digits_run, capsys):
    few = evaluated(capsys, digits_run, "--samples", "3", "--limit", "12", "--split", "valid")
    assert (few["split"], few["n"]) == ("valid", 12)
    assert "fid" not in few["figures"]
    assert any("too few to compare samples" in note for note in few["notes"])
    assert any("cannot place a threshold" in note for note in few["notes"])
    assert cli.main(["evaluate", str(digits_run), "--limit", "0"]) == 2
    assert "must be 1 or more" in capsys.readouterr().err


def test_hierarchies_and_points_have_the_figures_that_exist(tmp_path, capsys):
    data = load_data("digits8x8")
    ladder = recipes.ladder(data.spec, latent=2, levels=2, design=Design(width=16))
    train(ladder, data, Plan(epochs=1), out=tmp_path / "ladder")
    found = evaluated(
        capsys, tmp_path / "ladder", "--samples", "5", "--parts", "likelihood", "latent"
    )
    assert len(found["layers"]) == 2
    assert sum(layer["rate"]["value"] for layer in found["layers"]) == pytest.approx(
        found["rate"], rel=0.1
    )
    assert "information" not in found["figures"]
    assert any("defined for one layer" in note for note in found["notes"])
    point = recipes.ae(data.spec, latent=2, design=Design(width=16))
    train(point, data, Plan(epochs=1), out=tmp_path / "ae")
    found = evaluated(capsys, tmp_path / "ae", "--ais")
    assert {"mmd", "auc", "holes", "precision"} < set(found["figures"])
    assert not {"nll", "rate", "information", "active_units"} & set(found["figures"])
    assert "layers" not in found


def test_a_prior_that_was_fitted_afterwards(digits_run, capsys):
    assert cli.main(["fit-prior", "mixture", str(digits_run), "--name", "mix.1"]) == 0
    capsys.readouterr()
    own = evaluated(capsys, digits_run, "--samples", "5", *ONLY)
    args = ("--samples", "5", *ONLY)
    found = evaluated(capsys, digits_run, *args, "--prior", "mix.1")
    assert found["prior"] == "mix.1"
    assert found["rate"] != own["rate"]
    # −ELBO less the rate, each of which has draws of its own.
    assert found["distortion"] == pytest.approx(own["distortion"], abs=1)
    assert json.loads((digits_run / "evaluation-mix.1.json").read_text()) == found
    assert json.loads((digits_run / "evaluation.json").read_text()) == own
    assert cli.main(["compare", str(digits_run), f"{digits_run}@mix.1"]) == 0
    assert "NLL" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("make", "prior"),
    [(recipes.hyperspherical, "SphereUniform"), (recipes.gumbel, "OneHotCategorical")],
)
def test_why_codes_are_not_set_beside_the_prior_is_the_true_reason(make, prior):
    """A sphere is no discrete latent."""
    data = load_data("digits8x8")
    few = Batches(data.test.x[:64], data.spec)
    run = train(make(data.spec, design=Design(width=16)), data, Plan(epochs=1))
    found, _ = latents.measure_latents(run, few, few, 0)
    (note,) = [note for note in found.notes if "distances of codes" in note]
    assert re.match(rf"Latent 1 is not free to move over real numbers \(its prior is {prior}", note)
    assert "discrete" not in note
