"""One battery for every recipe: a new one is found here, and has nothing to add."""

from __future__ import annotations

import dataclasses
import inspect
import io
import json
import math
import re
import typing
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import vaelab.recipes  # noqa: F401  (its functions register themselves)
from vaelab.commands import main as cli
from vaelab.commands import sweep as sweep_command
from vaelab.commands import train
from vaelab.core import Trace
from vaelab.data import Batches, Data, load
from vaelab.fitted import FittedMixture
from vaelab.objectives import Loss
from vaelab.recipes.design import Design, LikelihoodName, fit_likelihood
from vaelab.recipes.registry import RECIPES, Recipe, as_json, find, rebuild
from vaelab.runs.latent_summary import summarize_latents
from vaelab.runs.load import load as load_run
from vaelab.runs.run import Run
from vaelab.training import Plan, fit

WIDTH = 16

SMALL: dict[str, dict[str, Any]] = {"deep_ladder": {"layers": (1, 1, 0, 0)}}
"""What makes a model quick where its defaults would take most of the time of all."""


@cache
def data(kind: str) -> Data:
    """Small sets of every shape: real digits, colour images of an odd size, a table."""
    rng = np.random.default_rng(0)
    if kind == "digits":
        return load("digits8x8")
    if kind == "colour":
        return load(rng.integers(0, 256, (60, 3, 9, 7), dtype=np.uint8))
    if kind == "table":
        return load(rng.normal(3, 10, (60, 5)).astype(np.float32))
    if kind == "binary":
        return load(rng.integers(0, 2, (60, 1, 6, 5), dtype=np.uint8))
    return load(rng.random((60, 4), dtype=np.float32))  # "unit"


NETS = {"digits": ("mlp", "conv"), "colour": ("mlp", "resconv"), "table": ("mlp",)}


@cache
def refusal(name: str, kind: str, net: str) -> str | None:
    """A recipe that is made of perceptrons alone says so when it is built otherwise."""
    try:
        build(name, kind, net)
    except ValueError as error:
        return str(error)
    return None


def build(
    name: str, kind: str, net: str = "mlp", likelihood: str = "auto", width: int = WIDTH
) -> Recipe:
    design = Design(net=net, width=width, likelihood=likelihood)  # type: ignore[arg-type]
    return find(name)(data(kind).spec, **SMALL.get(name, {}), design=design)


# Every kind of data with every network for the first of the zoo, on which the others are built;
# those on digits, and the rest among the slow tests.
FIRST = ("vae", "ae", "iwae", "ladder")


def case(name: str, kind: str, net: str) -> Any:
    quick = name in FIRST or (kind, net) == ("digits", DIGITS_NET[name])
    marks = () if quick else (pytest.mark.slow,)
    return pytest.param(name, kind, net, id=f"{name}-{kind}-{net}", marks=marks)


DIGITS_NET = {
    name: next(net for net in NETS["digits"] if refusal(name, "digits", net) is None)
    for name in RECIPES
}
"""A network a recipe takes on digits: the perceptron, unless it is made for images."""

CASES = [
    case(name, kind, net)
    for name in RECIPES
    for kind, nets in NETS.items()
    for net in nets
    if refusal(name, kind, net) is None
]


def rows(recipe: Recipe, kind: str, n: int = 6) -> Tensor:
    return next(Batches(data(kind).train.x, recipe.data).fixed(n, 0))


def doubled(recipe: Recipe) -> Recipe:
    model, objective = recipe.model.double(), recipe.objective.double()
    return dataclasses.replace(recipe, model=model, objective=objective)


def walked(recipe: Recipe, x: Tensor, seed: int = 3) -> tuple[Trace, Loss]:
    torch.manual_seed(seed)
    trace = recipe.model(x, recipe.objective.samples)
    return trace, recipe.objective(trace, x)


def test_what_does_not_suit_is_refused_with_the_fix() -> None:
    for name in RECIPES:
        assert any(refusal(name, "digits", net) is None for net in NETS["digits"])
        for kind, nets in NETS.items():
            for net in nets:
                message = refusal(name, kind, net)
                assert message is None or "net mlp" in message or "images" in message
    with pytest.raises(ValueError, match="net mlp"):
        build("vae", "table", "conv")


@pytest.mark.parametrize(("name", "kind", "net"), CASES)
def test_shapes(name: str, kind: str, net: str) -> None:
    recipe = build(name, kind, net)
    x = rows(recipe, kind)
    K = recipe.objective.samples
    trace, loss = walked(recipe, x)
    assert loss.total.shape == (6,)
    assert all(part.shape == (6,) for part in loss.parts.values())
    assert trace.likelihood.mean.shape == trace.likelihood.sample().shape == (6 * K, *x.shape[1:])
    drawn = recipe.model.sample(4)
    assert drawn.likelihood.mean.shape == (4, *x.shape[1:])
    assert [z.shape[1:] for z in drawn.latents] == [z.shape[1:] for z in trace.latents]
    decoded = recipe.model.decode([z[:6] for z in trace.latents])
    torch.testing.assert_close(decoded.likelihood.mean, trace.likelihood.mean[:6])


@pytest.mark.parametrize(("name", "kind", "net"), CASES)
def test_every_parameter_the_objective_depends_on_receives_a_gradient(
    name: str, kind: str, net: str
) -> None:
    recipe = build(name, kind, net)
    x = rows(recipe, kind)
    with torch.no_grad():  # away from zeros that training leaves at its first step
        for p in recipe.model.parameters():
            p.add_(0.02 * torch.randn_like(p))
    before = walked(recipe, x)[1]
    before.mean.backward()
    reached = {
        key
        for key, p in recipe.model.named_parameters()
        if p.grad is not None and p.grad.isfinite().all() and (p.grad != 0).any()
    }
    depends = set()
    with torch.no_grad():
        for key, p in recipe.model.named_parameters():
            kept = p.clone()
            p.add_(0.3 * torch.randn_like(p))
            if not torch.equal(walked(recipe, x)[1].total, before.total):
                depends.add(key)
            p.copy_(kept)
    assert depends <= reached
    # Only an objective that is the rate alone leaves the decoder and the likelihood out of it.
    left_out = {key for key, _ in recipe.model.named_parameters()} - reached
    if set(before.parts) == {"rate"}:
        assert {key.split(".")[1] for key in left_out} <= {"decoder", "likelihood", "blocks"}
    else:
        assert left_out == set()


@pytest.mark.parametrize(("name", "kind", "net"), CASES)
def test_terms_sum_to_the_total(name: str, kind: str, net: str) -> None:
    """The objective is linear in its parts, with weights that do not depend on the data."""
    # A weight is only found from a part that stands out of the rounding of the total.
    recipe = doubled(build(name, kind, net))
    x = rows(recipe, kind, 20).double()
    _, loss = walked(recipe, x)
    parts = torch.stack(list(loss.parts.values()), 1).detach()
    total = loss.total.detach()
    weights = torch.linalg.lstsq(parts[:10], total[:10, None], driver="gelsd").solution[:, 0]
    scale = total.abs().mean()
    torch.testing.assert_close(parts @ weights / scale, total / scale, rtol=0, atol=1e-4)
    if set(loss.parts) <= {"distortion", "rate"}:
        expected = recipe.arguments.get("beta", 1.0)
        for part, weight in zip(loss.parts, weights.tolist(), strict=True):
            assert weight == pytest.approx(expected if part == "rate" else 1.0, abs=0.02), part


@pytest.mark.parametrize(("name", "kind", "net"), CASES)
def test_every_term_is_the_same_in_any_batch(name: str, kind: str, net: str) -> None:
    recipe = build(name, kind, net)
    x = rows(recipe, kind, 8)
    if recipe.objective.batch_coupled:
        pytest.skip("an example's nats depend on the others in its batch")
    recipe = doubled(recipe)
    whole = determined(recipe, x.double())
    for size in (1, 3):
        pieces = [determined(recipe, part) for part in x.double().split(size)]
        for key, nats in whole.items():
            torch.testing.assert_close(torch.cat([piece[key] for piece in pieces]), nats)
    order = torch.randperm(8)
    for key, nats in determined(recipe, x[order].double()).items():
        torch.testing.assert_close(nats, whole[key][order])


POOLED = [
    name for name in RECIPES if build(name, "digits", DIGITS_NET[name]).objective.batch_coupled
]


@pytest.mark.parametrize("name", POOLED)
def test_what_depends_on_the_batch_does_not_grow_with_it(name: str) -> None:
    """The mean over many batches, of 16 rows and of 64: neither a sum over rows nor its inverse."""
    recipe = build(name, "digits", DIGITS_NET[name])
    x = rows(recipe, "digits", 512)
    torch.manual_seed(0)
    means = []
    with torch.no_grad():
        for size in (16, 64):
            losses = [
                recipe.objective(recipe.model(part, recipe.objective.samples), part).total.mean()
                for part in x.split(size)
            ]
            means.append(float(torch.stack(losses).mean()))
    assert means[0] == pytest.approx(means[1], rel=0.35)


def determined(recipe: Recipe, x: Tensor) -> dict[str, Tensor]:
    # Without noise, so that an example's terms are its own.
    trace = recipe.model(x, recipe.objective.samples, temperature=0.0)
    loss = recipe.objective(trace, x)
    return {"total": loss.total} | loss.parts


SIGMA = 0.05
"""Of the pixels, much less than they vary: a code is worth hundreds of nats, and soon learned."""


@cache
def trained(name: str, kind: str = "digits", net: str = "mlp") -> Run:
    if (kind, net) == ("digits", DIGITS_NET[name]):
        design = Design(net, 16 if name in SMALL else 32, "gaussian-fixed", sigma=SIGMA)  # type: ignore[arg-type]
        recipe = find(name)(data(kind).spec, **SMALL.get(name, {}), design=design)
        plan = Plan(epochs=5, batch_size=64, lr=1e-2)
    else:
        recipe, plan = build(name, kind, net), Plan(epochs=1, batch_size=64, lr=1e-2)
    result = fit(recipe.model, recipe.objective, data(kind), recipe.data, plan)
    codes = summarize_latents(recipe.model, Batches(data(kind).valid.x, recipe.data))
    return Run(recipe, dataclasses.asdict(plan), result.history, codes)


def without_code() -> float:
    """Nats an image costs any decoder that ignores z: the mean image, under this sigma."""
    variance = float(data("digits").spec.prepare(data("digits").train.x).var(0).mean())
    return 32 * (math.log(2 * math.pi * SIGMA**2) + variance / SIGMA**2)


@pytest.mark.parametrize("name", [name for name in RECIPES if name != "kl_only"])
def test_it_learns(name: str) -> None:
    """Nats of distortion at the end: fewer than any decoder has that ignores z."""
    history = trained(name, "digits", DIGITS_NET[name]).history
    first, last = history[0], history[-1]
    assert all(math.isfinite(value) for row in history for value in row.values())
    assert last["distortion"] < 0.6 * first["distortion"]
    assert last["distortion"] < without_code() - 20
    assert last["valid_distortion"] < last["distortion"] + 20


def test_the_rate_alone_teaches_to_say_nothing() -> None:
    assert trained("kl_only").history[-1]["loss"] < 0.01


@pytest.mark.parametrize(("name", "kind", "net"), CASES)
def test_encoding_is_deterministic_and_goes_there_and_back(name: str, kind: str, net: str) -> None:
    run = trained(name, kind, net)
    raw = data(kind).test.x[:5]
    codes = run.encode(raw)
    assert codes.shape == (5, run.latent)
    assert torch.equal(codes, run.encode(raw))
    back = run.decode(codes)
    assert back.shape == raw.shape
    assert torch.equal(back, run.reconstruct(raw))
    torch.testing.assert_close(run.reconstruct(raw[:2]), back[:2], rtol=1e-3, atol=1e-3)
    assert run.sample(3).shape == (3, *raw.shape[1:])


@pytest.mark.parametrize(("name", "kind", "net"), CASES)
def test_a_run_on_disk_gives_the_same_bit_for_bit(
    name: str, kind: str, net: str, tmp_path: Path
) -> None:
    run, raw = trained(name, kind, net), data(kind).test.x[:5]
    again = load_run(run.save(tmp_path / "run"))
    assert torch.equal(run.encode(raw), again.encode(raw))
    assert torch.equal(run.encode(raw, temperature=1.0), again.encode(raw, temperature=1.0))
    assert torch.equal(run.reconstruct(raw), again.reconstruct(raw))
    assert torch.equal(run.sample(3, seed=4), again.sample(3, seed=4))
    assert torch.equal(run.sample(3, draw=True), again.sample(3, draw=True))
    state = run.recipe.objective.state_dict()
    assert again.recipe.objective.state_dict().keys() == state.keys()
    for key, t in again.recipe.objective.state_dict().items():
        assert torch.equal(t, state[key])
    assert again.spec == run.spec
    assert again.recipe.arguments == run.recipe.arguments
    assert again.recipe.reason == run.recipe.reason
    assert again.history == run.history
    assert again.codes == run.codes
    assert again.training == run.training


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_its_name_and_arguments(name: str) -> None:
    signature = inspect.signature(find(name))
    changed: dict[str, Any] = {
        key: p.default + 1 if type(p.default) is int else 0.9 * p.default
        for key, p in signature.parameters.items()
        if type(p.default) in (int, float)
    }
    design = Design(width=24, likelihood="laplace", seed=7)
    recipe = find(name)(data("digits").spec, **changed, design=design)
    kept = json.loads(json.dumps(as_json(recipe.arguments)))
    again = rebuild(name, kept, data("digits").spec)
    assert again.name == recipe.name == name
    given = {key: p.default for key, p in list(signature.parameters.items())[1:]}
    assert again.arguments == recipe.arguments == given | changed | {"design": design}
    # Same seed, same weights; another seed, others.
    state = recipe.model.state_dict()
    assert all(torch.equal(t, state[key]) for key, t in again.model.state_dict().items())
    kept["design"]["seed"] = 8
    other = rebuild(name, kept, data("digits").spec).model.state_dict()
    assert any(not torch.equal(t, state[key]) for key, t in other.items())


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_is_and_refuses_what_makes_no_sense(name: str) -> None:
    function = find(name)
    assert function.__doc__
    assert "Args:" in function.__doc__
    for key in inspect.signature(function).parameters:
        assert f"{key}:" in function.__doc__
    parameters = inspect.signature(function).parameters
    size = next(key for key, p in parameters.items() if type(p.default) is int)
    for wrong in (0, -3):
        with pytest.raises(ValueError, match=f"{size} is {wrong}"):
            function(data("digits").spec, **{size: wrong})


DOMAINS = {"binary": "binary", "digits": "levels", "unit": "unit", "table": "real"}
LIKELIHOODS = [name for name in typing.get_args(LikelihoodName) if name != "auto"]


@pytest.mark.parametrize("kind", DOMAINS)
@pytest.mark.parametrize("likelihood", ["auto", *LIKELIHOODS])
def test_likelihoods_train_on_what_they_accept_and_refuse_the_rest(
    likelihood: str, kind: str
) -> None:
    assert data(kind).spec.domain == DOMAINS[kind]
    accepted = {
        "bernoulli": {"binary", "digits", "unit"},
        "continuous-bernoulli": {"binary", "digits", "unit"},
        "discretized-logistic": {"binary", "digits"},
        "categorical": {"binary", "digits"},
        "logistic-mixture": {"binary", "digits"},
        # Of counts, and of columns of several kinds: tests/parts/test_tables.py.
        **{key: set() for key in ("poisson", "negative-binomial", "zero-inflated", "mixed")},
    }
    if kind in accepted.get(likelihood, set(DOMAINS)):
        recipe = build("vae", kind, likelihood=likelihood)
        result = fit(recipe.model, recipe.objective, data(kind), recipe.data, Plan(epochs=1))
        assert math.isfinite(result.history[-1]["loss"])
        assert recipe.reason.startswith(likelihood if likelihood != "auto" else "")
        grey = kind in ("digits", "unit") and "binarized" in recipe.reason
        assert (recipe.data.binarize == "dynamic") == grey
    else:
        with pytest.raises(ValueError, match=r"values from .* to .* Use one of: .*gaussian"):
            build("vae", kind, likelihood=likelihood)


def test_the_default_likelihood_follows_from_the_data_with_its_reason() -> None:
    chosen = {
        kind: fit_likelihood(Design(), data(kind).spec).reason.split(":")[0]
        for kind in ("binary", "digits", "colour", "unit", "table")
    }
    assert chosen == {
        "binary": "bernoulli",
        "digits": "bernoulli",
        "colour": "discretized-logistic",
        "unit": "gaussian",
        "table": "gaussian",
    }
    assert "contrast 0.67" in fit_likelihood(Design(), data("digits").spec).reason
    assert "binarized (dynamic)" in fit_likelihood(Design(), data("digits").spec).reason


def test_binarizing_is_refused_where_it_would_do_nothing() -> None:
    with pytest.raises(ValueError, match="only grey data under a bernoulli"):
        fit_likelihood(Design(binarize="threshold"), data("table").spec)
    with pytest.raises(ValueError, match="only grey data under a bernoulli"):
        fit_likelihood(Design(binarize="dynamic", likelihood="laplace"), data("digits").spec)
    cut = fit_likelihood(Design(binarize="threshold"), data("digits").spec).data
    assert cut.binarize == "threshold"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latent": "2"}, "latent is '2'; expected a whole number"),
        ({"latent": True}, "latent is True; expected a whole number"),
        ({"latent": 2.5}, "latent is 2.5; expected a whole number"),
        ({"latents": 2}, "no argument latents; it has latent"),
        ({"beta": "much"}, "beta is 'much'; expected a number"),
        ({"beta": math.nan}, "beta is nan; expected a finite number"),
        ({"beta": math.inf}, "beta is inf; expected a finite number"),
        (
            {"design": {"net": "transformer"}},
            "design.net is 'transformer'; expected auto or mlp or conv or resconv$",
        ),
        ({"design": {"depth": 3}}, "design has no field depth; it has net"),
        ({"design": {"width": 0}}, "width is 0"),
        ({"design": 5}, "design is 5; expected Design"),
        ({"design": {"sigma": -1}}, "design.sigma is -1; expected a number above 0"),
    ],
)
def test_arguments_are_checked_against_the_signature(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rebuild("beta_vae", arguments, data("digits").spec)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: find("vae")(data("digits").spec, latent=2.5), "latent is 2.5; expected a whole"),
        (lambda: find("vae")(data("digits").spec, 2, math.inf), "beta is inf; expected a finite"),
        (
            lambda: find("fsq")(data("digits").spec, levels=(8, 5.5)),
            "levels[1] is 5.5; expected a wh",
        ),
        (
            lambda: find("dip")(data("digits").spec, variant="iii"),
            "variant is 'iii'; expected i or ii",
        ),
        (lambda: Design(net="cnn"), "net is 'cnn'; expected auto or mlp or conv or resconv"),  # type: ignore[arg-type]
        (lambda: Design(width=16.0), "width is 16.0; expected a whole number or None"),  # type: ignore[arg-type]
        (lambda: Plan(precision="fp16"), "precision is 'fp16'; expected auto or fp32 or bf16"),  # type: ignore[arg-type]
        (lambda: Plan(epochs=1.5), "epochs is 1.5; expected a whole number or None"),  # type: ignore[arg-type]
        (lambda: Plan(lr=math.inf), "lr is inf; expected a finite number"),
        (lambda: FittedMixture(components=2.5), "components is 2.5; expected a whole number"),  # type: ignore[arg-type]
    ],
)
def test_settings_from_python_are_held_to_their_types(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        build()


# A mean distortion in nats may be negative, and so may the share that InfoVAE takes off the rate.
NEGATIVE = {("geco", "distortion"), ("info_vae", "alpha")}


@pytest.mark.parametrize("name", RECIPES)
def test_numbers_out_of_range_are_refused_before_training(name: str) -> None:
    spec, design = data("digits").spec, Design(net=DIGITS_NET[name], width=WIDTH)  # type: ignore[arg-type]
    for argument, hint in typing.get_type_hints(inspect.unwrap(find(name))).items():
        kinds = set(typing.get_args(hint) or (hint,))
        if hint is float:
            for wrong in (math.inf, math.nan):
                with pytest.raises(ValueError, match=f"{argument} is {wrong}"):
                    find(name)(spec, **{argument: wrong}, design=design)
        if kinds & {int, float} and (name, argument) not in NEGATIVE:
            with pytest.raises(ValueError, match="-1"):
                find(name)(spec, **{argument: (-1,) if ... in kinds else -1}, design=design)


def test_numbers_of_numpy_are_numbers() -> None:
    recipe = find("vae")(data("digits").spec, np.int64(2), np.float32(0.5))
    json.dumps(as_json(recipe.arguments))
    assert recipe.arguments["latent"] == 2
    assert json.dumps(dataclasses.asdict(Plan(epochs=np.int64(3))))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_trained_and_swept_from_the_command_line(name: str) -> None:
    """Its flags, and those of training, are told apart by their bare names."""
    for command in (train.command, sweep_command.command):
        said = io.StringIO()
        with redirect_stdout(said), pytest.raises(SystemExit) as ended:
            cli._call(command(name), ["--help"], "vaelab", "")
        assert ended.value.code == 0
        for argument in list(inspect.signature(find(name)).parameters)[1:-1]:
            assert re.search(rf"--(no-)?{argument.replace('_', '-')}\b", said.getvalue())


def test_a_recipe_that_takes_a_name_of_training_is_refused() -> None:
    def crowded(data: Any, width: int = 3, epochs: int = 2, design: Design = Design()) -> Recipe:
        raise NotImplementedError

    with pytest.raises(TypeError, match=r"crowded has arguments of names .* taken: epochs, width"):
        train.groups(train.Task, crowded)


def test_a_whole_number_will_do_for_a_float() -> None:
    recipe = rebuild("beta-vae", {"beta": 2}, data("digits").spec)
    assert recipe.arguments["beta"] == 2.0
    assert recipe.name == "beta_vae"


def test_an_unknown_recipe_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no recipe is called 'beta_vea'. Did you mean beta_vae"):
        find("beta_vea")
    with pytest.raises(ValueError, match="There is vae, "):
        find("os.system")


def test_building_leaves_the_callers_random_state_alone() -> None:
    before = torch.get_rng_state()
    build("vae", "digits")
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_recipe_models_photos_with_its_default_networks(name):
    """Above 32 pixels the default networks are convolutions, if the recipe has a choice."""
    photos = torch.randint(0, 256, (20, 3, 36, 40), dtype=torch.uint8)
    spec = load(photos).spec
    recipe = RECIPES[name](spec, design=Design(width=4))
    with torch.no_grad():
        trace = recipe.model(recipe.data.prepare(photos[:2]))
    assert trace.likelihood.mean.shape == (2, 3, 36, 40)
