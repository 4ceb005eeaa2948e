"""Priors fitted afterwards: as good as they can be on planted codes, and kept whole."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.mixture import GaussianMixture
from torch import Tensor

from vaelab.commands import main as cli
from vaelab.core import VAE, Shallow, Site
from vaelab.data import Batches, Data, Split
from vaelab.distributions import Mixture, Normal
from vaelab.fitted import (
    PRIOR_ESTIMATORS,
    Fitted,
    FittedFlow,
    FittedMixture,
    PriorEstimator,
    SecondStage,
    find,
    find_prior_estimator,
    fit_codes,
    keep,
)
from vaelab.fitted.mixture import RIDGE, FullMixture, Whitened
from vaelab.metrics.samples import precision_recall_density_coverage
from vaelab.parts.posteriors import DiagonalNormal
from vaelab.parts.priors import LearnedNormal, Standard
from vaelab.recipes.design import Design
from vaelab.recipes.registry import find as find_recipe
from vaelab.runs.fit_prior import draws, fit_prior
from vaelab.runs.latent_summary import summarize_latents
from vaelab.runs.load import load
from vaelab.runs.run import Run
from vaelab.training import Plan, fit
from vaelab.utils import atomic_files

# Of codes that are numbers; those of finitely many are tested with their own prior.
SMALL: dict[str, PriorEstimator] = {
    "mixture": FittedMixture(components=3),
    "flow": FittedFlow(layers=2, width=16),
    "second-stage": SecondStage(latent=2, width=16),
}


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what does not depend on how good a fit is."""
    monkeypatch.setattr("vaelab.fitted.second_stage.EPOCHS", 3)
    monkeypatch.setattr("vaelab.fitted.flow.EPOCHS", 3)


def trained(data: Data, name: str, epochs: int = 3, **arguments: int) -> Run:
    design = Design(width=32, likelihood="gaussian")
    recipe = find_recipe(name)(data.spec, design=design, **arguments)
    plan = Plan(epochs=epochs, batch_size=64, lr=5e-3)
    result = fit(recipe.model, recipe.objective, data, recipe.data, plan)
    codes = summarize_latents(recipe.model, Batches(data.valid.x, recipe.data))
    return Run(recipe, {"epochs": epochs}, result.history, codes)


@pytest.fixture(scope="module")
def ae(digits: Data, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = trained(digits, "ae", epochs=20, latent=6)
    run.save(tmp_path_factory.mktemp("fitted") / "ae")
    return run


@pytest.fixture(scope="module")
def ladder(digits: Data) -> Run:
    return trained(digits, "ladder", latent=3, levels=2)


@pytest.fixture
def few(digits: Data) -> Data:
    return replace(
        digits, train=Split(digits.train.x[:200], None), valid=Split(digits.valid.x[:60], None)
    )


def model(*shape: int) -> VAE:
    """A model of no account but for its latent's shape."""
    part = torch.nn.Identity()
    return VAE(part, Shallow(Standard(*shape), DiagonalNormal(), part, LearnedNormal(1)))


def site(*shape: int) -> Site:
    z = torch.zeros(1, *shape)
    p = Normal(z, z)
    return Site(z, p, p)


# The kinds.


def test_a_whitened_normal_agrees_with_that_of_torch() -> None:
    factor = torch.randn(4, 6, 6, dtype=torch.float64).tril(-1) + 2 * torch.eye(6).double()
    mu = torch.randn(4, 2, 3, dtype=torch.float64)
    p = Whitened(mu, torch.linalg.inv(factor).tril())
    other = torch.distributions.MultivariateNormal(mu.flatten(1), scale_tril=factor)
    z = torch.randn(4, 2, 3, dtype=torch.float64)
    torch.testing.assert_close(p.log_prob(z), other.log_prob(z.flatten(1)))
    one = Whitened(mu[:1], p.whitener[:1]).expand(50_000).sample().flatten(1)
    torch.testing.assert_close(torch.cov(one.T), other.covariance_matrix[0], rtol=0.1, atol=0.15)
    assert torch.equal(p.sample(temperature=0.0), mu)


def clusters(n: int) -> Tensor:
    """Two bent clouds of another scale than the standard normal's, (n, 2)."""
    x, y = torch.randn(2, n, 1)
    side = torch.where(torch.rand(n, 1) < 0.3, -1.0, 1.0)
    return torch.cat([30 + 5 * (x + 4 * side), 0.02 * (y * 0.5 + x**2)], 1)


def true_nats() -> float:
    """−E log p of the clouds: their entropy, from the conditionals they are made of."""
    z = torch.linspace(-12, 12, 48_001, dtype=torch.float64)
    p = sum(
        w * torch.exp(-0.5 * (z - 4 * s) ** 2) / math.sqrt(2 * math.pi)
        for w, s in ((0.3, -1), (0.7, 1))
    )
    first = -torch.trapezoid(torch.special.xlogy(p, p), z)
    # y given (x, side) is normal of spread ½; side is all but known from the sum.
    second = 0.5 * math.log(2 * math.pi * math.e * 0.25)
    return float(first) + second + math.log(5 * 0.02)


@pytest.mark.parametrize(
    ("kind", "slack"),
    [
        (FittedMixture(components=20), 0.25),
        (FittedFlow(layers=5, width=32), 0.4),
        pytest.param(SecondStage(width=128), 1.0, marks=pytest.mark.slow),
    ],
)
def test_planted_codes_are_found(
    kind: PriorEstimator, slack: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaelab.fitted.flow.EPOCHS", 60)
    codes, held_out = clusters(2000), clusters(1000)
    one = fit_codes(FittedMixture(components=1), model(2), codes, held_out)
    assert one.figures["nats"] > true_nats() + 1.5
    fitted = fit_codes(kind, model(2), codes, held_out)
    assert true_nats() - 0.15 < fitted.figures["nats"] < true_nats() + slack
    assert fitted.figures["own_nats"] > 100
    drawn = fitted.prior().expand(2000).sample()
    torch.testing.assert_close(drawn.mean(0), codes.mean(0), rtol=0.1, atol=0.01)
    torch.testing.assert_close(drawn.std(0), codes.std(0), rtol=0.1, atol=0.01)


def test_the_mixture_is_scikit_learns() -> None:
    codes = clusters(300)
    torch.manual_seed(1)
    _, ours = FittedMixture(components=4).fit(site(2), codes, codes)
    torch.manual_seed(1)
    seed = int(torch.randint(2**31 - 1, ()))
    mean, std = codes.double().mean(0), codes.double().std(0, unbiased=False)
    standard = ((codes - mean) / std).numpy()
    theirs = GaussianMixture(4, reg_covar=RIDGE, max_iter=200, random_state=seed).fit(standard)
    expected = torch.from_numpy(theirs.score_samples(standard)) - std.log().sum()
    torch.testing.assert_close(
        ours().expand(300).log_prob(codes).double(), expected, rtol=1e-3, atol=1e-3
    )


def test_as_many_components_as_the_codes_allow(tmp_path: Path) -> None:
    """Of one normal one is kept, however many there could be; of clouds in a ring more."""
    angle = torch.randint(5, (2000, 1)) * (2 * math.pi / 5)
    ring = 9 * torch.cat([angle.cos(), angle.sin()], 1) + 0.5 * torch.randn(2000, 2)
    found = {}
    for name, codes in (("blob", torch.randn(400, 8)), ("ring", ring)):
        whose, (codes, held_out) = model(codes.shape[1]), codes.chunk(2)
        one = fit_codes(FittedMixture(components=1), whose, codes, held_out)
        many = fit_codes(FittedMixture(components=50), whose, codes, held_out)
        fitted = fit_codes(FittedMixture(), whose, codes, held_out)
        assert isinstance(fitted.kind, FittedMixture)
        found[name] = fitted.kind.components
        assert fitted.figures["nats"] <= min(one.figures["nats"], many.figures["nats"]) + 1e-6
        keep(fitted, tmp_path / "priors", name)
        assert find(tmp_path / "priors", name, whose).kind == fitted.kind
    assert found["blob"] == 1
    assert found["ring"] is not None
    assert 5 <= found["ring"] <= 20


def test_the_density_of_a_second_stage_is_right_on_average() -> None:
    """Its estimate integrates to one, and so is unbiased, though its logarithm is not."""
    prior = SecondStage(latent=2, width=8).build(site(1)).eval()
    with torch.no_grad():
        for p in prior.parameters():
            p.add_(0.1 * torch.randn_like(p))
        prior.shift.fill_(3.0)
        prior.log_scale.fill_(0.5)
        z = torch.linspace(-27, 33, 6001)[:, None]
        density = prior().expand(len(z)).log_prob(z).exp()
        assert float(torch.trapezoid(density, z[:, 0])) == pytest.approx(1, abs=0.02)
        drawn = prior().expand(20_000).sample()
    mean = torch.trapezoid(z[:, 0] * density, z[:, 0])
    assert float(drawn.mean()) == pytest.approx(float(mean), abs=0.1)


@pytest.mark.usefixtures("brief")
def test_codes_that_never_change_do_no_harm() -> None:
    codes = torch.cat([torch.randn(200, 2), torch.ones(200, 1)], 1)
    for kind in SMALL.values():
        fitted = fit_codes(kind, model(3), codes, codes)
        assert math.isfinite(fitted.figures["nats"])
        assert torch.isfinite(fitted.prior().expand(5).sample()).all()


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="components is 50, but there are only 60 codes"):
        fit_codes(FittedMixture(components=50), model(2), torch.randn(60, 2), torch.randn(9, 2))
    for bad in (
        lambda: FittedMixture(components=0),
        lambda: FittedFlow(layers=0),
        lambda: SecondStage(latent=0),
    ):
        with pytest.raises(ValueError, match="is 0; expected a whole number of at least 1"):
            bad()
    with pytest.raises(ValueError, match=r"no kind of prior is called 'mixtur'. Did you mean mix"):
        find_prior_estimator("mixtur")
    assert find_prior_estimator("second_stage") is SecondStage


@pytest.mark.usefixtures("brief")
def test_fitting_is_repeatable_and_leaves_the_random_state_alone() -> None:
    codes = torch.randn(120, 2)
    before = torch.get_rng_state()
    for kind in SMALL.values():
        one, same, other = (fit_codes(kind, model(2), codes, codes, seed) for seed in (3, 3, 4))
        assert one.figures == same.figures
        assert one.figures != other.figures
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("name", SMALL)
def test_a_fit_tells_how_far_it_is(name: str) -> None:
    heard: list[tuple[str, int, int]] = []

    def progress(what: str, done: int, total: int, nats: float | None = None) -> None:
        heard.append((what, done, total))
        assert nats is None or math.isfinite(nats)

    codes = torch.randn(120, 2)
    fit_codes(SMALL[name], model(2), codes, codes, progress=progress)
    assert len({(what, total) for what, _, total in heard}) == 1
    done = [n for _, n, _ in heard]
    assert done == sorted(set(done))
    assert 0 < done[-1] <= heard[0][2]


# Kept in a run.


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("shape", [(4,), (2, 3, 1)], ids=str)
def test_on_disk_and_back(name: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    whose, codes = model(*shape), 2 + 3 * torch.randn(150, *shape)
    fitted = fit_codes(SMALL[name], whose, codes, codes[:50])
    path = keep(fitted, tmp_path / "priors", "mine")
    assert {p.name for p in path.parent.iterdir()} == {"mine.safetensors", "mine.json"}
    again = find(path.parent, "mine", whose)
    assert again.kind == fitted.kind
    assert again.figures == fitted.figures
    found = []
    for prior in (fitted.prior(), again.prior()):
        torch.manual_seed(0)
        found.append((prior.expand(5).sample(), prior.expand(9).log_prob(codes[:9])))
    assert found[0][0].shape == (5, *shape)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Fitted, Path, VAE]:
    whose = model(2)
    fitted = fit_codes(FittedMixture(components=3), whose, torch.randn(99, 2), torch.randn(9, 2))
    return fitted, keep(fitted, tmp_path / "run" / "priors", "mine"), whose


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "os.system"}, "no kind of prior is called 'os.system'"),
        ({"kind": 5}, "kind is missing"),
        ({"settings": []}, "settings is missing"),
        ({"settings": {"components": "3"}}, "components is '3'; expected a whole number"),
        ({"settings": {"hook": 3}}, "no field hook; it has components"),
        ({"settings": {"components": 4}}, "does not belong to this prior"),
        ({"format": 9}, "has format 9; this version reads 1"),
        ({"model": "0" * 64}, r"other weights than the run has now.*--name mine --overwrite"),
    ],
)
def test_files_that_are_not_this_runs(
    kept: tuple[Fitted, Path, VAE], change: dict[str, object], message: str
) -> None:
    _, path, whose = kept
    about = path.with_suffix(".json")
    about.write_text(json.dumps(json.loads(about.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        find(path.parent, "mine", whose)


def test_tensors_that_are_damaged(kept: tuple[Fitted, Path, VAE]) -> None:
    _, path, whose = kept
    tensors = load_file(path)
    save_file(tensors | {"mu": tensors["mu"] * math.nan}, path)
    with pytest.raises(ValueError, match="not finite, in 'mu'"):
        find(path.parent, "mine", whose)
    path.write_bytes(b"half")
    with pytest.raises(ValueError, match="is damaged"):
        find(path.parent, "mine", whose)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="the prior cannot be used"):
        find(path.parent, "mine", whose)


def test_names(kept: tuple[Fitted, Path, VAE]) -> None:
    fitted, path, whose = kept
    with pytest.raises(FileNotFoundError, match=r"no fitted prior 'other', there is mine; `vaelab"):
        find(path.parent, "other", whose)
    for name in ("../mine", "a/b", "", ".x", "-x"):
        with pytest.raises(ValueError, match="digits, - and _"):
            keep(fitted, path.parent, name)
        with pytest.raises(ValueError, match="digits, - and _"):
            find(path.parent, name, whose)


def test_a_failure_half_way_leaves_the_prior_that_was_there(
    kept: tuple[Fitted, Path, VAE], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, path, _ = kept
    before = {p.name: p.read_bytes() for p in path.parent.iterdir()}

    def fail(path: Path, value: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic_files, "write_json", fail)
    with torch.no_grad():
        fitted.prior.get_buffer("mu").add_(1)
    with pytest.raises(OSError, match="No space left"):
        keep(fitted, path.parent, "mine")
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == before


# Used by a run.


def far(*shape: int) -> FullMixture:
    """A prior nobody could take for the standard normal."""
    prior = FullMixture(2, *shape)
    prior.mu.add_(4.0)
    return prior


def test_a_run_with_another_prior(ae: Run, digits: Data) -> None:
    other = ae.with_prior(far(6))
    before = ae.sample(3)
    assert not torch.allclose(other.sample(3), before)
    assert torch.equal(ae.sample(3), before)
    raw = digits.test.x[:4]
    assert torch.equal(other.encode(raw), ae.encode(raw))
    with torch.no_grad():
        z = other.model.sample(500).latents[0]
    assert float(z.mean()) == pytest.approx(4, abs=0.2)
    assert torch.equal(other.sample(1, temperature=0.0), ae.decode(torch.full((1, 6), 4.0)))
    with pytest.raises(ValueError, match="another prior"):
        other.save("nowhere")
    with pytest.raises(FileNotFoundError, match="no fitted prior 'mixture'"):
        ae.with_prior("mixture")


def test_bounds_and_rates_follow_the_prior(digits: Data) -> None:
    run = trained(digits, "vae", epochs=1, latent=3)
    other, p = run.with_prior(far(3)), far(3)()
    x = run.spec.prepare(digits.test.x[:5])
    torch.manual_seed(2)
    own = run.model(x, 4)
    torch.manual_seed(2)
    theirs = other.model(x, 4)
    z = own.latents[0]
    assert torch.equal(z, theirs.latents[0])
    difference = p.expand(20).log_prob(z) - own.sites[0].prior.log_prob(z)
    torch.testing.assert_close(
        theirs.log_weights(x) - own.log_weights(x), own.unfold(difference), rtol=1e-3, atol=1e-3
    )
    assert run.codes.rate is not None
    assert other.codes.rate is None


@torch.no_grad()
def test_of_a_hierarchy_the_top_alone_is_replaced(ladder: Run, few: Data) -> None:
    assert draws(ladder, few.train, 0).shape == (200, 3)
    fitted = fit_prior(ladder, FittedMixture(components=2), few)
    assert fitted.figures["nats"] < fitted.figures["own_nats"] + 0.5
    other = ladder.with_prior(fitted.prior)
    trace = other.model.sample(4)
    assert [z.shape for z in trace.latents] == [(4, 3), (4, 3)]
    assert trace.sites[0].prior.log_prob(trace.latents[0]).tolist() == pytest.approx(
        fitted.prior().expand(4).log_prob(trace.latents[0]).tolist()
    )
    # Below it, what the model expects there.
    given = ladder.model.decode(trace.latents)
    below, expected = trace.sites[1].prior, given.sites[1].prior
    torch.testing.assert_close(below.mean, expected.mean)


def test_of_latents_beside_each_other_the_first_alone_is_replaced_and_it_is_said(
    digits: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = find_recipe("joint")(digits.spec, latent=2, classes=4, design=Design(width=8))
    codes = summarize_latents(recipe.model, Batches(digits.valid.x, recipe.data))
    run = Run(recipe, {}, [], codes)
    run.save(tmp_path / "run")
    how = ["fit-prior", "mixture", str(tmp_path / "run"), "--components", "2"]
    assert cli.main(how) == 0
    assert "the first of 2; the others keep the model's own prior" in capsys.readouterr().err
    with torch.no_grad():
        trace = run.with_prior("mixture").model.sample(6)
    assert isinstance(trace.sites[0].prior, Mixture)
    torch.testing.assert_close(trace.sites[1].prior.mean, torch.full((6, 1, 4), 0.25))


def test_a_run_in_memory_and_data_of_another_shape(ladder: Run, few: Data) -> None:
    with pytest.raises(ValueError, match="in memory only; save it first"):
        fit_prior(ladder, SMALL["mixture"], few, name="mine")
    with pytest.raises(ValueError, match="run in memory"):
        ladder.with_prior("mine")
    other = replace(few, spec=replace(few.spec, shape=(1, 4, 16)))
    with pytest.raises(ValueError, match=r"shape \(1, 8, 8\), this data has \(1, 4, 16\)"):
        fit_prior(ladder, SMALL["mixture"], other)


def test_codes_are_draws_of_binarized_data_as_in_training(digits: Data) -> None:
    recipe = find_recipe("vae")(digits.spec, latent=2, design=Design(width=8))
    run = Run(recipe, {}, [], summarize_latents(recipe.model, Batches(digits.valid.x, recipe.data)))
    seen: list[Tensor] = []
    run.model.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    some = Split(digits.train.x[:50], None)
    codes = draws(run, some, 0)
    assert set(seen[0].unique().tolist()) == {0.0, 1.0}
    assert torch.equal(codes, draws(run, some, 0))
    assert not torch.equal(codes, draws(run, some, 1))


def test_samples_of_an_autoencoder_improve(ae: Run, digits: Data) -> None:
    fitted = fit_prior(ae, FittedMixture(components=10), digits)
    assert fitted.figures["nats"] < fitted.figures["own_nats"] - 1
    real = torch.cat([digits.valid.x, digits.test.x]).float().flatten(1)
    own, better = (
        precision_recall_density_coverage(real, run.sample(len(real), seed=1).flatten(1))
        for run in (ae, ae.with_prior(fitted.prior))
    )
    assert better.coverage.value > own.coverage.value + 0.2
    assert better.density.value > own.density.value
    assert better.precision.value > own.precision.value + 2 * own.precision.se


def test_a_prior_that_is_worse_is_not_recommended(
    ae: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for lost, recommended in ((-0.5, True), (0.25, False)):
        figures = {"nats": 10.0 + lost, "own_nats": 10.0}
        worse = SimpleNamespace(figures=figures, kind=FittedMixture(components=7))
        monkeypatch.setattr("vaelab.commands.fit_prior.fit_prior", lambda *_, won=worse, **__: won)
        assert cli.main(["fit-prior", "mixture", str(ae.path), "--name", "untried"]) == 0
        said = capsys.readouterr()
        assert ("--prior untried" in said.out) == recommended
        assert ("0.25 nats more" in said.err) != recommended
        assert "components 7: chosen as that under which held-out codes cost least" in said.err


def test_what_a_kind_cannot_serve_is_refused_before_anything_is_said(
    digits: Data, tmp_path: Path, capsys: pytest.CaptureFixture[str], ae: Run
) -> None:
    codes = trained(digits, "fsq", epochs=1)
    codes.save(tmp_path / "codes")
    for how, message in (
        (["mixture", str(tmp_path / "codes")], "there is autoregressive"),
        (["autoregressive", str(ae.path)], "there is flow, mixture, second-stage"),
        (["mixture", str(ae.path), "--name", "../x"], "digits, - and _"),
    ):
        assert cli.main(["fit-prior", *how]) == 2
        said = capsys.readouterr()
        assert message in said.err
        assert "fitted to" not in said.err
        assert said.err.count("\n") == 1


def test_the_command(ae: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(ae.path)
    assert cli.main(["fit-prior", "mixture", folder, "--components", "4", "--seed", "1"]) == 0
    said = capsys.readouterr()
    assert "fitted to 1,437 codes" in said.err
    assert "nats under it" in said.out
    assert f"vaelab sample {folder} --prior mixture" in said.out
    out = tmp_path / "x.npy"
    assert cli.main(["sample", folder, "-n", "5", "--prior", "mixture", "--out", str(out)]) == 0
    assert "no trained prior" not in capsys.readouterr().err
    expected = load(folder).with_prior("mixture").sample(5)
    np.testing.assert_array_equal(np.load(out), expected.numpy())
    assert json.loads((Path(folder) / "priors" / "mixture.json").read_text())["settings"] == {
        "components": 4
    }
    for wrong, message in (
        (["fit-prior", "mixture", folder], "has a prior 'mixture' already; give another --name"),
        (["fit-prior", folder], "no kind of prior is called"),
        (["fit-prior"], "a kind comes first, as in `vaelab fit-prior mixture"),
        (["sample", folder, "--prior", "x", "--out", str(out)], "exists; name another file"),
        (["sample", folder, "--prior", "x", "--out", str(out), "--overwrite"], "there is mixture"),
        (["fit-prior", "flow", folder, "--data", "nowhere.npy"], "nowhere.npy does not exist"),
    ):
        assert cli.main(wrong) == 2
        assert message in capsys.readouterr().err
    again = ["fit-prior", "mixture", folder, "--components", "2", "--overwrite"]
    assert cli.main(again) == 0
    capsys.readouterr()
    assert cli.main(["fit-prior", "--help"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name}" in listed for name in PRIOR_ESTIMATORS)
