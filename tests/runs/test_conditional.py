"""Models that are told labels: any family, in training and ever after."""

from __future__ import annotations

import dataclasses
import json
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from vaelab.commands import main as cli
from vaelab.data import Batch, Batches, Data, DataSpec, Split, load, vectors
from vaelab.data.loading import streaming as streaming
from vaelab.data.loading.mapped_rows import Rows
from vaelab.doctor import examine_run
from vaelab.doctor.examine_run import subsample_split
from vaelab.doctor.run_measurements import measure_run
from vaelab.evaluation.evaluate import evaluate_run
from vaelab.evaluation.settings import Settings
from vaelab.fitted import FittedMixture, fit_codes
from vaelab.metrics import disentanglement
from vaelab.metrics.layer import layers
from vaelab.metrics.likelihood import elbo, weigh
from vaelab.nets.conditional import ConcatCondition, ConditionalRoot
from vaelab.plots.gallery import save_gallery
from vaelab.recipes.design import Design
from vaelab.recipes.registry import RECIPES, Recipe, find
from vaelab.runs.fit_prior import OWN, draws, fit_prior
from vaelab.runs.latent_summary import summarize_latents
from vaelab.runs.load import load as load_run
from vaelab.runs.run import Run
from vaelab.runs.train import train
from vaelab.training import Plan, fit_population
from vaelab.training.step import Step

FAMILIES = (
    *("vae", "ae", "iwae", "vamp", "vq", "vq2", "ladder", "deep_ladder", "flow_prior"),
    *("factor_vae", "vae_gan", "joint"),
)
SHORT = Plan(epochs=2, batch_size=128)


@cache
def digits() -> Data:
    return load("digits8x8")


@cache
def few() -> Data:
    """Rows enough to train on for a moment."""
    data = digits()
    parts = (data.train, 256), (data.valid, 64), (data.test, 64)
    return Data(data.spec, *(Split(s.x[:n], s.y[:n]) for s, n in parts if s.y is not None))


def make(name: str, condition: str = "labels", net: str = "mlp", width: int = 16) -> Recipe:
    design = Design(net=net, width=width, condition=condition)  # type: ignore[arg-type]
    return find(name)(digits().spec, design=design)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_an_unconditional_model_has_nothing_more(name: str) -> None:
    """None of what tells, and fewer weights."""
    model = make(name, "none").model
    assert not any(
        isinstance(module, ConcatCondition | ConditionalRoot) for module in model.modules()
    )
    told = make(name).model.state_dict()
    assert sum(t.numel() for t in told.values()) > sum(
        t.numel() for t in model.state_dict().values()
    )


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_the_label_reaches_what_every_family_makes(name: str) -> None:
    recipe = make(name)
    recipe.model.eval()
    x = next(Batches(few().train.x, recipe.data, y=few().train.y).fixed(8, 0))
    known = {k: vectors(recipe.data, str(k)).expand(8, -1) for k in (3, 5)}
    made, read = {}, {}
    for k, c in known.items():
        torch.manual_seed(0)
        made[k] = recipe.model.sample(8, condition=(c,)).likelihood.mean
        read[k] = recipe.model.encoder(x, c)
    assert not torch.allclose(made[3], made[5], atol=1e-6)
    as_tuple = [e if isinstance(e, tuple) else (e,) for e in read.values()]
    assert not all(torch.allclose(a, b) for a, b in zip(*as_tuple, strict=True))
    with pytest.raises(ValueError, match="this model is conditional: pass what is known"):
        recipe.model(x)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_every_parameter_receives_a_gradient(name: str) -> None:
    """What is told is learned from, in every family."""
    recipe = make(name)
    torch.manual_seed(0)
    with torch.no_grad():  # away from zeros that training leaves at its first step
        for p in recipe.model.parameters():
            p.add_(0.02 * torch.randn_like(p))
    rows = Batches(few().train.x, recipe.data, y=few().train.y)
    x, condition = next(rows.fixed(16, 0)), next(rows.conditions(16))
    trace = recipe.model(x, recipe.objective.samples, condition=condition)
    recipe.objective(trace, x).mean.backward()
    left_out = {
        key
        for key, p in recipe.model.named_parameters()
        if p.grad is None or not p.grad.isfinite().all() or not (p.grad != 0).any()
    }
    # Of the rate alone neither decoder nor likelihood learn.
    allowed = ("generator.decoder.", "generator.likelihood.") if name == "kl_only" else ()
    assert {key for key in left_out if not key.startswith(allowed)} == set()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_trains_and_comes_back_from_disk(name: str, tmp_path: Path) -> None:
    recipe = make(name)
    run = train(recipe, few(), Plan(epochs=6, batch_size=32), out=tmp_path / "run")
    assert run.history[-1]["distortion"] < run.history[0]["distortion"]
    again = load_run(tmp_path / "run")
    assert again.spec.condition == "labels"
    assert again.spec == run.spec
    assert torch.equal(again.sample(5, seed=1), run.sample(5, seed=1))
    given, raw = again.conditioned_on("3"), few().test.x[:6]
    assert torch.equal(given.sample(5), run.conditioned_on(3).sample(5))
    assert not torch.equal(given.sample(5), run.conditioned_on("4").sample(5))
    labels = few().test.y
    assert labels is not None
    told = again.conditioned_on(labels[:6])
    codes = told.encode(raw)
    torch.testing.assert_close(told.decode(codes), told.reconstruct(raw))
    # One label each: the rows do not depend on what the others are.
    torch.testing.assert_close(again.conditioned_on(labels[2:3]).encode(raw[2:3]), codes[2:3])
    assert told.vary(raw, 2).shape == (6, 2, 1, 8, 8)
    if name in ("vae", "deep_ladder"):
        assert save_gallery(again, few(), tmp_path)


@cache
def trained(condition: str) -> Run:
    recipe = find("vae")(
        digits().spec,
        latent=4,
        design=Design(width=128, condition=condition),  # type: ignore[arg-type]
    )
    return train(recipe, digits(), Plan(epochs=16, batch_size=64, lr=5e-3))


def test_a_label_is_worth_nats_and_its_samples_are_of_its_class() -> None:
    told, untold = trained("labels"), trained("none")
    test = Batches(digits().test.x, told.spec, y=digits().test.y)
    torch.manual_seed(0)
    known = elbo(told.model, test.fixed(64, 0), 8, conditions=test.conditions(64))["neg_elbo"]
    blind = elbo(untold.model, test.fixed(64, 0), 8)["neg_elbo"]
    assert known.value < blind.value - 0.3
    judge = LogisticRegression(max_iter=2000).fit(digits().train.x.flatten(1), digits().train.y)
    right = [judge.predict(told.conditioned_on(k).sample(50).flatten(1)) == k for k in range(10)]
    assert np.mean(right) > 0.7
    mixed = judge.predict(told.sample(500).flatten(1))  # no class is named: all come
    assert np.bincount(mixed, minlength=10).min() > 15


def test_bounds_with_the_label() -> None:
    """IW bounds against the same, computed by hand; batch sizes and chunks do not matter."""
    run = trained("labels")
    y = digits().test.y
    assert y is not None
    test = Batches(digits().test.x[:20], run.spec, y=y[:20])
    (x,), (condition,) = test.fixed(20, 0), test.conditions(20)
    torch.manual_seed(0)
    with torch.no_grad():
        log_w = run.model(x, 3000, condition=condition).log_weights(x)
    by_hand = np.log(3000) - torch.logsumexp(log_w, 0)
    found = weigh(run.model, test.fixed(7, 0), 3000, conditions=test.conditions(7))
    torch.testing.assert_close(found.nll, by_hand, atol=0.15, rtol=0)
    shifted = (vectors(run.spec, (y[:20] + 1) % 10),)
    wrong = weigh(run.model, [x], 300, conditions=[shifted])
    assert wrong.nll.mean() > found.nll.mean() + 1
    (layer,) = layers(run.model, test.fixed(20, 0), test.conditions(20))
    with torch.no_grad():
        rate = run.model(x, condition=condition).rate()[0].mean()
    assert layer.rate.value == pytest.approx(float(rate), rel=1e-5)
    with pytest.raises(ValueError, match=r"argument 2 is shorter"):
        elbo(run.model, [x, x], conditions=[condition])


def test_the_way_between_two_classes() -> None:
    run = trained("labels")
    y = digits().test.y
    assert y is not None
    a, b = int(torch.nonzero(y == 1)[0]), int(torch.nonzero(y == 0)[0])
    x = digits().test.x
    walk = run.conditioned_on(["1", "0"]).interpolate(x[a], x[b], 5)
    torch.testing.assert_close(walk[0], run.conditioned_on("1").reconstruct(x[a : a + 1])[0])
    torch.testing.assert_close(walk[-1], run.conditioned_on("0").reconstruct(x[b : b + 1])[0])
    half = torch.zeros(1, 10)
    half[0, :2] = 0.5
    codes = [run.conditioned_on(k).encode(x[i : i + 1]) for k, i in (("1", a), ("0", b))]
    torch.testing.assert_close(walk[2], run.conditioned_on(half).decode(sum(codes) / 2)[0])


def test_classes_by_numbers_of_numpy_and_torch_and_by_no_others() -> None:
    spec = make("vae").data
    three = vectors(spec, 3)
    same = (np.int64(3), np.array([3]), [np.int32(3)], [torch.tensor(3)], torch.tensor([3]))
    for label in (*same, "3", 3.0, np.float64(3), np.array(["3"]), torch.tensor([3.0])):
        assert torch.equal(vectors(spec, label), three)
    for wrong, named in (([1.0, 2.7], "2.7"), ([np.float32(2.5)], "2.5"), (True, "True")):
        with pytest.raises(ValueError, match=f"there is no class {named}"):
            vectors(spec, wrong)
    with pytest.raises(ValueError, match="a weight of a class that was given is not finite"):
        vectors(spec, torch.full((1, 10), torch.nan))


def test_what_is_told_must_fit() -> None:
    run = trained("labels")
    with pytest.raises(ValueError, match=r"no class 'cat'; there is 0, 1, 2, .*, 9"):
        run.conditioned_on("cat")
    for wrong in (10, -1):
        with pytest.raises(ValueError, match=f"no class {wrong}"):
            run.conditioned_on(wrong)
    with pytest.raises(ValueError, match="2 classes were named for 5 examples; give 1 or 5"):
        run.conditioned_on(["1", "2"]).sample(5)
    with pytest.raises(ValueError, match=r"expected \(N, 10\)"):
        run.conditioned_on(torch.zeros(5, 3))
    with pytest.raises(ValueError, match="give the class of the examples, one of 0, 1"):
        run.encode(digits().test.x[:3])
    with pytest.raises(ValueError, match="trained without a condition"):
        trained("none").conditioned_on("3")
    plain = load(np.random.default_rng(0).random((40, 3), dtype=np.float32))
    with pytest.raises(ValueError, match="this data has none"):
        find("vae")(plain.spec, design=Design(condition="labels"))


def test_labels_follow_their_rows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In memory and from a file, in order and shuffled, whatever rows were chosen."""
    n = 300
    x = np.repeat(np.arange(n)[:, None] % 250, 4, 1).astype(np.uint8)
    np.save(tmp_path / "x.npy", x)
    y = torch.arange(n) % 250 % 7
    spec = DataSpec(
        "array", (4,), "uint8", 256, 0, 255, (0.0,), (255.0,), condition="labels",
        classes=tuple("abcdefg"),
    )  # fmt: skip
    numbers = np.random.default_rng(0).permutation(n)[:200]
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    rows = Rows(mapped, np.dtype(np.uint8)).take(torch.from_numpy(numbers))
    for share in (1.0, 0.0):
        monkeypatch.setattr(streaming, "SHARE", share)
        batches = Batches(rows, spec, y=y[numbers])
        both = list(map(Batch, batches.fixed(32, 0), batches.conditions(32)))
        both += batches.epoch(32, torch.Generator().manual_seed(0))
        assert sum(len(batch.x) for batch in both) == 400
        for values, (told,) in both:
            number = (values[:, 0] * 255).round().long()
            assert torch.equal(told.argmax(1), number % 7)
            assert torch.equal(told.sum(1), torch.ones(len(told)))
    with pytest.raises(ValueError, match="come without labels"):
        Batches(rows, spec)
    with pytest.raises(ValueError, match="299 labels were given for 200 rows"):
        Batches(rows, spec, y=y[:299])


def test_a_population_is_what_each_would_be_alone() -> None:
    recipes = [make("vae", width=8) for _ in range(2)]
    plan = Plan(epochs=2, batch_size=64, compile="off")
    found = fit_population(
        [r.model for r in recipes], [r.objective for r in recipes], few(), recipes[0].data,
        [plan] * 2,
    )  # fmt: skip
    assert all(one.history[-1]["valid_loss"] < one.history[0]["valid_loss"] for one in found)
    codes = summarize_latents(
        recipes[0].model, Batches(few().valid.x, recipes[0].data, y=few().valid.y)
    )
    run = Run(recipes[0], {}, found[0].history, codes)
    assert not torch.equal(run.conditioned_on("1").sample(2), run.conditioned_on("2").sample(2))


@pytest.mark.parametrize("name", ["vae", "ladder", "vamp"])
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_compiled_step_is_the_eager_one(name: str) -> None:
    eager, compiled = make(name), make(name)
    batches = list(Batches(few().train.x, eager.data, y=few().train.y).epoch(64))
    steps = (
        Step(eager.model, eager.objective, SHORT),
        Step(compiled.model, compiled.objective, SHORT, full=64),
    )
    for batch in batches:
        found = []
        for step in steps:
            torch.manual_seed(0)
            step.sums.clear()
            step(batch)
            found.append(step.sums.means(1)["loss"])
        assert found[0] == pytest.approx(found[1], rel=1e-3)
    assert steps[1].program is not None
    assert steps[1].program.run is not None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conditional") / "run"
    how = ["--data", "digits8x8", "--condition", "labels", "--epochs", "2", "--width", "16"]
    assert cli.main(["train", "vae", *how, "--out", str(folder)]) == 0
    return folder


def test_commands(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.npy"

    def written(name: str, *args: str) -> torch.Tensor:
        done = cli.main([name, str(folder), *args, "--out", str(out), "--overwrite"])
        assert done == 0, capsys.readouterr().err
        return torch.from_numpy(np.load(out))

    run = load_run(folder)
    three = written("sample", "-n", "4", "--class", "3")
    assert torch.equal(three, run.conditioned_on("3").sample(4))
    both = written("sample", "-n", "2", "--class", "3,5")
    assert torch.equal(both, run.conditioned_on(["3", "5"]).sample(2))
    capsys.readouterr()
    assert torch.equal(written("sample", "-n", "4"), run.sample(4))
    said = capsys.readouterr()
    assert "as often as in training: 0 " in said.err + said.out
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    about = json.loads((old / "recipe.json").read_text())
    del about["data"]["shares"]
    (old / "recipe.json").write_text(json.dumps(about))
    assert cli.main(["sample", str(old), "-n", "4", "--out", str(out), "--overwrite"]) == 0
    said = capsys.readouterr()
    assert "all classes come equally often, as the run is of an earlier version" in said.err
    assert "as often as in training:" not in said.err
    assert len(written("reconstruct", "test:0-2", "--class", "3,5,7")) == 3
    assert written("vary", "test:0", "--class", "3").shape[:2] == (1, 8)
    assert written("interpolate", "test:0", "test:1", "--class", "3,5").shape[:2] == (1, 10)
    assert written("traverse", "--class", "3").shape[1] == 9
    assert written("encode", "test:0-2", "--class", "3").shape == (3, 16)

    # Rows of its own data: what they are is known.
    test = digits().test
    assert test.y is not None
    told = run.conditioned_on(test.y[:3])
    assert torch.equal(written("encode", "test:0-2"), told.encode(test.x[:3]))
    assert torch.equal(written("reconstruct", "test:0-2"), told.reconstruct(test.x[:3]))
    assert torch.equal(written("vary", "test:0-2", "-n", "2"), told.vary(test.x[:3], 2))
    walks = written("interpolate", "test:0-2", "test:4")
    second = run.conditioned_on(test.y[[1, 4]]).interpolate(test.x[1], test.x[4])
    assert torch.equal(walks[1], second)
    assert written("traverse", "--input", "test:1").shape[1] == 9


def test_a_prior_is_fitted_to_the_codes_of_all_classes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each row told its own label; every command that takes a prior works with what comes of it."""
    run, kind = load_run(folder), FittedMixture(components=2)
    assert cli.main(["fit-prior", "mixture", str(folder), "--components", "2"]) == 0
    codes, wrong = (
        draws(run, Split(digits().train.x, y), OWN)
        for y in (digits().train.y, torch.zeros(len(digits().train), dtype=torch.long))
    )
    assert not torch.allclose(codes, wrong)
    prior = run.prior("mixture")
    expected = fit_codes(kind, run.model, codes, codes, condition=run.example_condition).prior
    for name, tensor in prior.state_dict().items():
        torch.testing.assert_close(tensor, expected.state_dict()[name])
    other = run.with_prior("mixture")
    assert not torch.equal(other.conditioned_on("3").sample(4), run.conditioned_on("3").sample(4))
    assert not torch.equal(other.conditioned_on("3").sample(4), other.conditioned_on("5").sample(4))
    out = ["--prior", "mixture", "--out", str(tmp_path / "x.npy")]
    assert cli.main(["sample", str(folder), "--class", "3", "-n", "4", *out]) == 0
    written = torch.from_numpy(np.load(tmp_path / "x.npy"))
    assert torch.equal(written, other.conditioned_on("3").sample(4))
    few_rows = ["--limit", "60", "--parts", "likelihood", "--samples", "10"]
    assert cli.main(["evaluate", str(folder), "--prior", "mixture", *few_rows]) == 0
    capsys.readouterr()
    assert cli.main(["doctor", str(folder), "--prior", "mixture", "--limit", "90", "--json"]) < 2
    report = json.loads(capsys.readouterr().out)
    assert "under the prior mixture" in report["about"][1]
    assert report["figures"]["effective_beta"] is None


def test_a_prior_that_is_told_is_replaced_by_none_that_is_not() -> None:
    recipe = make("ladder")
    with torch.no_grad():  # before training it is the same for each class
        for p in recipe.model.parameters():
            p.add_(0.1 * torch.randn_like(p))
    rows = Batches(few().valid.x, recipe.data, y=few().valid.y)
    run = Run(recipe, {}, [], summarize_latents(recipe.model, rows))
    with pytest.raises(ValueError, match=r"labels: p\(z\|c\)"):
        fit_prior(run, FittedMixture(components=2), few())


def test_commands_refuse(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*args: str) -> str:
        assert cli.main([*args]) == 2
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return said

    run, out = str(folder), ["--out", str(tmp_path / "x.png")]
    assert "no class 'cat'; there is 0, 1" in refused("sample", run, "--class", "cat", *out)
    np.save(tmp_path / "rows.npy", digits().test.x[:2].numpy())
    rows = str(tmp_path / "rows.npy")
    assert "--class" in refused("encode", run, rows, "--out", str(tmp_path / "x.npy"))
    assert "has no fitted prior 'flow'" in refused("doctor", run, "--prior", "flow")
    assert "is no run; leave --prior out" in refused("doctor", "digits8x8", "--prior", "mixture")
    np.save(tmp_path / "plain.npy", np.random.default_rng(0).random((60, 4), dtype=np.float32))
    how = ["--data", str(tmp_path / "plain.npy"), "--condition", "labels", "--out"]
    assert "this data has none" in refused("train", "vae", *how, str(tmp_path / "run"))


def test_evaluate(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = ["--ais", "--ais-steps", "8", "--ais-examples", "20", "--ais-chains", "2"]
    parts = ["--parts", "likelihood", "--samples", "4"]
    assert cli.main(["evaluate", str(folder), *parts, *how, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["nll_ais"]["n"] == 20
    assert figures["bdmc_gap"]["value"] > 0
    assert cli.main(["evaluate", str(folder), "--samples", "4", "--features", "pixels"]) == 0
    assert "NLL" in capsys.readouterr().out


def test_the_doctor(folder: Path) -> None:
    """Everything is given the label: told the wrong ones, it sees another model."""
    assert examine_run(folder, limit=60).figures["test_neg_elbo"]["value"] > 0
    run, cpu = trained("labels"), torch.device("cpu")
    train, test = (subsample_split(split, 150, 0) for split in (digits().train, digits().test))
    assert test.y is not None
    wrong = dataclasses.replace(test, y=(test.y + 1) % 10)
    torch.manual_seed(0)
    right, astray = (measure_run(run, train, split, 0, cpu) for split in (test, wrong))
    rows = Batches(test.x, run.spec, y=test.y)
    expected = elbo(run.model, rows.fixed(150, 0), 4, rows.conditions(150))["neg_elbo"]
    assert right.test["neg_elbo"].value == pytest.approx(expected.value, abs=0.3)
    assert astray.test["neg_elbo"].value > expected.value + 1
    assert astray.explained.model < right.explained.model
    assert right.attention.value > 0.5


def test_codes_beside_factors() -> None:
    run, held = trained("labels"), digits().test
    assert held.y is not None
    asked = Settings(parts=("likelihood",), samples=2, factors=True)
    found = evaluate_run(run, held, held, asked).found
    rows = Batches(held.x, run.spec, y=held.y)
    with torch.no_grad():
        (x,), (condition,) = rows.fixed(180, 0), rows.conditions(180)
        codes = run.model(x, temperature=0.0, condition=condition).latents[0]
    alone = disentanglement(codes, held.y[:, None], ("class",))
    assert {name: found.figures[name] for name in alone.figures} == alone.figures
