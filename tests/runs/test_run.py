"""A run, in memory and on disk: what goes in comes out, and a damaged file says so."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

import vaelab
from vaelab.data import Batches, Data
from vaelab.distributions import Normal
from vaelab.plots import cells
from vaelab.plots.scaling import picture
from vaelab.recipes.design import Design
from vaelab.recipes.registry import find
from vaelab.runs.files import CODES, METRICS, RECIPE, TIMING, WEIGHTS, figures_of
from vaelab.runs.latent_summary import Codes, slerp, summarize_latents
from vaelab.runs.load import load
from vaelab.runs.run import Run
from vaelab.training import Plan, fit
from vaelab.utils import atomic_files


def trained(data: Data, name: str, **arguments: Any) -> Run:
    recipe = find(name)(data.spec, **arguments)
    plan = Plan(epochs=3, batch_size=100, lr=5e-3)
    result = fit(recipe.model, recipe.objective, data, recipe.data, plan)
    return Run(
        recipe,
        {"epochs": 3},
        result.history,
        summarize_latents(recipe.model, Batches(data.valid.x, recipe.data)),
    )


@pytest.fixture(scope="module")
def vae(digits: Data) -> Run:
    return trained(digits, "vae", latent=3, design=Design(width=16, likelihood="gaussian"))


@pytest.fixture(scope="module")
def ladder(digits: Data) -> Run:
    return trained(digits, "ladder", latent=2, levels=3, design=Design(width=16))


@pytest.fixture
def kept(vae: Run, tmp_path: Path) -> Path:
    return vae.save(tmp_path / "run")


# In memory


def test_raw_in_and_raw_out(vae: Run, digits: Data) -> None:
    raw = digits.test.x[:6]
    assert raw.dtype == torch.uint8
    back = vae.reconstruct(raw)
    assert back.dtype == torch.float32
    assert back.shape == raw.shape
    # On the raw scale, 0 to 16.
    assert 2 < float(back.mean()) < 8
    assert float(back.min()) >= 0
    assert 8 < float(back.max()) <= 16
    assert torch.equal(vae.reconstruct(raw.numpy()), back)
    drawn = vae.reconstruct(raw, draw=True)
    assert not torch.equal(drawn, back)


def test_a_code_is_the_posterior_mean_unless_a_draw_is_asked_for(vae: Run, digits: Data) -> None:
    raw = digits.test.x[:6]
    with torch.no_grad():
        (site,) = vae.model(digits.spec.prepare(raw)).sites
    assert isinstance(site.posterior, Normal)
    torch.testing.assert_close(vae.encode(raw), site.posterior.mu)
    draws = torch.stack([vae.encode(raw, temperature=1.0, seed=s) for s in range(300)])
    torch.testing.assert_close(draws.std(0), site.posterior.sigma, rtol=0.25, atol=0.01)
    assert torch.equal(draws[5], vae.encode(raw, temperature=1.0, seed=5))
    assert not vae.encode(raw).requires_grad


def test_rows_are_answered_alike_in_large_numbers(vae: Run, digits: Data) -> None:
    raw = torch.cat([digits.train.x, digits.test.x])  # more than one chunk
    codes = vae.encode(raw)
    torch.testing.assert_close(codes[-5:], vae.encode(raw[-5:]), rtol=1e-4, atol=1e-5)
    assert vae.decode(codes).shape == raw.shape
    assert vae.sample(1500).shape == (1500, 1, 8, 8)


@pytest.mark.parametrize("shape", [(64,), (8, 7), (2, 1, 8, 7), (2, 3, 8, 8)], ids=str)
def test_rows_of_another_shape_are_refused(vae: Run, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected one example of shape \(1, 8, 8\) or several"):
        vae.encode(torch.zeros(shape, dtype=torch.uint8))


def test_codes_of_another_shape_are_refused(vae: Run) -> None:
    for shape in [(4,), (2, 4), (1, 1, 3)]:
        with pytest.raises(ValueError, match=r"codes have shape .*; expected \(N, 3\)"):
            vae.decode(torch.zeros(shape))


def test_values_that_are_no_numbers_are_refused_by_row(vae: Run, digits: Data) -> None:
    raw = digits.test.x[:5].float()
    raw[3, 0, 2, 2] = torch.nan
    for made in (vae.encode, vae.reconstruct, vae.vary):
        with pytest.raises(ValueError, match="row 3 holds NaN or infinite values"):
            made(raw)


def test_no_rows_give_no_rows(vae: Run, digits: Data) -> None:
    none = digits.test.x[:0]
    assert vae.encode(none).shape == (0, 3)
    assert vae.decode(torch.zeros(0, 3)).shape == vae.reconstruct(none).shape == (0, 1, 8, 8)
    assert vae.vary(none, 4).shape == (0, 4, 1, 8, 8)


@pytest.mark.parametrize("temperature", [-0.1, math.inf, math.nan])
def test_temperatures_that_are_none_are_refused(vae: Run, temperature: float) -> None:
    x = torch.zeros(2, 1, 8, 8)
    for made in (lambda **t: vae.sample(2, **t), lambda **t: vae.encode(x, **t),
                 lambda **t: vae.vary(x, **t)):  # fmt: skip
        with pytest.raises(ValueError, match=f"temperature is {temperature}"):
            made(temperature=temperature)


def test_walks_between_things_that_are_no_examples_are_refused(vae: Run, digits: Data) -> None:
    a = digits.test.x[0]
    for b in (digits.test.x[:2], a[:, :7]):
        for ends in ((a, b), (b, a), (b, b)):
            with pytest.raises(ValueError, match=r"one example of shape \(1, 8, 8\)"):
                vae.interpolate(*ends)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dimensions": [0, 3]}, "3.* 0 to 2"),
        ({"dimensions": [-1]}, "-1.* 0 to 2"),
        ({"dimensions": []}, "0 dimensions of 9 steps"),
        ({"dimensions": [0], "steps": 0}, "1 dimensions of 0 steps"),
        ({"dimensions": [0], "start": torch.zeros(2)}, r"start has shape \(2,\); expected \(3,\)"),
    ],
)
def test_senseless_traversals_are_refused(
    vae: Run, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        vae.traverse(**arguments)


def test_samples_are_repeatable_and_leave_the_random_state_alone(vae: Run, digits: Data) -> None:
    before = torch.get_rng_state()
    one = vae.sample(4, seed=3)
    assert torch.equal(one, vae.sample(4, seed=3))
    assert not torch.equal(one, vae.sample(4, seed=4))
    vae.encode(digits.test.x[:2], temperature=1.0)
    vae.vary(digits.test.x[:2], 2)
    assert vae.has_rate
    assert torch.equal(before, torch.get_rng_state())
    still = vae.sample(2, temperature=0.0)
    assert torch.equal(still[0], still[1])
    assert one.shape == (4, 1, 8, 8)


@pytest.mark.parametrize("n", [0, -1])
def test_at_least_one_is_asked_for(vae: Run, digits: Data, n: int) -> None:
    with pytest.raises(ValueError, match=f"n is {n}; ask for at least 1 sample"):
        vae.sample(n)
    with pytest.raises(ValueError, match=f"n is {n}; ask for at least 1 variation"):
        vae.vary(digits.test.x[:1], n)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)


def test_variations(vae: Run, digits: Data) -> None:
    raw = digits.test.x[:3]
    varied = vae.vary(raw, 5, seed=1)
    assert varied.shape == (3, 5, 1, 8, 8)
    assert torch.equal(varied, vae.vary(raw, 5, seed=1))
    assert float(varied.std(1).mean()) > 0.01
    still = vae.vary(raw, 5, temperature=0.0)
    for k in range(5):
        close(still[:, k], vae.reconstruct(raw))


@pytest.mark.parametrize("spherical", [False, True])
@pytest.mark.parametrize("name", ["vae", "ladder"])
def test_a_walk_begins_and_ends_at_the_reconstructions(
    name: str, spherical: bool, digits: Data, request: pytest.FixtureRequest
) -> None:
    run: Run = request.getfixturevalue(name)
    a, b = digits.test.x[:2]
    walk = run.interpolate(a, b, 7, spherical=spherical)
    assert walk.shape == (7, 1, 8, 8)
    close(walk[0], run.reconstruct(a[None])[0])
    close(walk[-1], run.reconstruct(b[None])[0])
    same = run.interpolate(a, a, 3, spherical=spherical)
    close(same, run.reconstruct(a[None]).expand(3, -1, -1, -1))


def test_a_straight_walk_passes_through_the_middle(vae: Run, digits: Data) -> None:
    a, b = digits.test.x[:2]
    middle = vae.decode(vae.encode(torch.stack([a, b])).mean(0, keepdim=True))
    close(vae.interpolate(a, b, 5)[2], middle[0])


def test_a_walk_has_two_ends(vae: Run, digits: Data) -> None:
    with pytest.raises(ValueError, match="steps is 1"):
        vae.interpolate(digits.test.x[0], digits.test.x[1], 1)


@pytest.mark.parametrize("seed", range(4))
def test_slerp_keeps_the_length_and_turns_evenly(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, 8, generator=generator)
    t = torch.linspace(0, 1, 9)[:, None]
    b_same = b * a.norm() / b.norm()
    walk = slerp(a, b_same, t)
    torch.testing.assert_close(walk.norm(dim=1), a.norm().expand(9))
    turns = torch.cosine_similarity(walk[1:], walk[:-1])
    torch.testing.assert_close(turns, turns[:1].expand(8), rtol=1e-4, atol=1e-4)
    longer = slerp(a, 3 * b_same, t).norm(dim=1)
    torch.testing.assert_close(longer, torch.linspace(1, 3, 9) * a.norm(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(walk[[0, -1]], torch.stack([a, b_same]))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([0.0, 0.0], [1.0, 2.0]),
        ([1.0, 2.0], [0.0, 0.0]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([1.0, 2.0], [2.0, 4.0]),
        ([1.0, 2.0], [-1.0, -2.0]),
    ],
    ids=str,
)
def test_slerp_without_a_circle_goes_straight(a: list[float], b: list[float]) -> None:
    start, end, t = torch.tensor(a), torch.tensor(b), torch.linspace(0, 1, 3)[:, None]
    torch.testing.assert_close(slerp(start, end, t), torch.lerp(start, end, t))


def test_a_traversal_passes_through_the_mean_code_and_moves_one_dimension(vae: Run) -> None:
    images = vae.traverse([2, 0], steps=5)
    assert images.shape == (2, 5, 1, 8, 8)
    base = torch.tensor(vae.codes.mean)
    for row in images[:, 2]:
        close(row, vae.decode(base[None])[0])
    reach = 3 * max(1.0, vae.codes.spread[2])
    moved = base.clone()
    moved[2] -= reach
    close(images[0, 0], vae.decode(moved[None])[0])
    # About the start's own place in that dimension, not about the mean code's.
    start = torch.tensor([0.5, -2.0, 1.0])
    elsewhere = vae.traverse([1], steps=3, start=start)[0]
    close(elsewhere[1], vae.decode(start[None])[0])
    start[1] += 3 * max(1.0, vae.codes.spread[1])
    close(elsewhere[2], vae.decode(start[None])[0])


def test_codes_of_a_ladder_are_its_sites_side_by_side(ladder: Run, digits: Data) -> None:
    assert ladder.latent == 6
    assert [tuple(s) for s in ladder.shapes] == [(2,), (2,), (2,)]
    raw = digits.test.x[:4]
    codes = ladder.encode(raw)
    with torch.no_grad():
        trace = ladder.model(ladder.spec.prepare(raw), temperature=0.0)
    torch.testing.assert_close(codes, torch.cat(trace.latents, 1))
    # Cutting and joining are inverses: the image is that of the walk itself.
    torch.testing.assert_close(ladder.decode(codes), ladder.spec.unscale(trace.likelihood.mean))
    # Every site matters to its own columns, in the order of the walk.
    for site in range(3):
        latents = [z.clone() for z in trace.latents]
        latents[site] += 1
        moved = codes.clone()
        moved[:, 2 * site : 2 * site + 2] += 1
        with torch.no_grad():
            expected = ladder.model.decode(latents).likelihood.mean
        torch.testing.assert_close(ladder.decode(moved), ladder.spec.unscale(expected))


def test_a_survey_of_codes(vae: Run, digits: Data) -> None:
    mu = vae.encode(digits.valid.x)
    torch.testing.assert_close(torch.tensor(vae.codes.mean), mu.mean(0))
    torch.testing.assert_close(torch.tensor(vae.codes.spread), mu.std(0, unbiased=False))
    assert vae.codes.rate is not None
    last = vae.history[-1]
    # The recipe's own figure for the same split and weights (the best epoch is the last here).
    assert sum(vae.codes.rate) == pytest.approx(last["valid_rate"], rel=1e-4)
    assert sum(vae.codes.active) == last["active_units"]


def test_the_order_and_activity_of_dimensions() -> None:
    codes = Codes([0.0] * 3, [0.05, 0.2, 1.0], [0.1, 3.0, 2.0])
    assert codes.order == [1, 2, 0]
    assert codes.active == [False, True, True]
    assert Codes([0.0] * 3, [0.05, 0.2, 1.0], None).order == [2, 1, 0]


def test_a_deterministic_code_has_no_rate_in_the_survey(digits: Data) -> None:
    run = trained(digits, "ae", latent=2, design=Design(width=8))
    assert run.codes.rate is None
    assert len(run.codes.spread) == 2


# On disk


def test_what_a_run_keeps(kept: Path, vae: Run) -> None:
    assert {p.name for p in kept.iterdir()} == {RECIPE, WEIGHTS, METRICS, TIMING, CODES}
    about = json.loads((kept / RECIPE).read_text())
    assert about["recipe"] == "vae"
    assert about["arguments"]["design"]["likelihood"] == "gaussian"
    assert about["data"]["source"] == "digits8x8"
    assert about["torch"] == str(torch.__version__)
    lines = (kept / METRICS).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [figures_of(row) for row in vae.history]
    assert vae.path == kept
    again = load(kept)
    assert again.history == vae.history
    assert again.path == kept
    assert not again.model.training


def test_the_optimizers_state_is_kept_beside(vae: Run, tmp_path: Path) -> None:
    moments = {"0.exp_avg": torch.ones(3)}
    vae.save(tmp_path / "run", moments)
    assert torch.equal(
        load_file(tmp_path / "run" / "optimizer.safetensors")["0.exp_avg"], torch.ones(3)
    )


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    about = json.loads(path.read_text())
    change(about)
    path.write_text(json.dumps(about))


def test_no_run_is_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist; train one"):
        load(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="holds no run"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.update(recipe="os.system"), "no recipe is called 'os.system'"),
        (lambda a: a.update(recipe="vea"), "Did you mean vae"),
        (lambda a: a.update(recipe=5), "recipe is missing or of another type"),
        (lambda a: a.update(recipe=["vae"]), "recipe is missing or of another type"),
        (lambda a: a.update(arguments=[]), "arguments is missing or of another type"),
        (lambda a: a.pop("data"), "data is missing or of another type"),
        (lambda a: a.pop("training"), "training is missing or of another type"),
        (lambda a: a.update(format=99), "has format 99; this version reads 1"),
        (lambda a: a["arguments"].update(latent="__import__('os')"), "expected a whole number"),
        (lambda a: a["arguments"].update(gamma=2.0), "no argument gamma"),
        (lambda a: a["arguments"].update(data={}), "no argument data"),
        (lambda a: a["arguments"].update(latent=0), "latent is 0"),
        (lambda a: a["arguments"].update(design="vaelab.commands.main.main"), "expected Design"),
        (lambda a: a["arguments"]["design"].update(net="exec"), "design.net is 'exec'"),
        (lambda a: a["arguments"]["design"].update(hook="print"), "no field hook"),
        (lambda a: a["data"].update(shape=[]), "shape should be"),
        (lambda a: a["data"].update(shares=[math.inf] * 10), r"shares\[0\] is inf; expected a fin"),
        (lambda a: a["training"].update(best_epoch=[1]), r"best_epoch is \[1\]; expected a whole"),
        (lambda a: a["training"].update(best_epoch=1000), "best_epoch is 1000; .* at most"),
        (lambda a: a["training"].update(best_epoch=0), "best_epoch is 0; .* at least 1"),
        (lambda a: a["training"].update(batch_size=[128]), r"training.batch_size is \[128\]"),
        (lambda a: a["training"].update(ending=None), "training.ending is None; expected text"),
        (lambda a: a["data"].update(code="print"), "data spec: unknown keys: code"),
        (lambda a: a["data"].pop("scale"), "data spec: .*missing keys: scale"),
    ],
)
def test_a_recipe_file_that_names_something_else(
    kept: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    rewrite(kept / RECIPE, change)
    with pytest.raises(ValueError, match=message) as error:
        load(kept)
    assert RECIPE in str(error.value)


def test_numbers_of_codes_are_floats_of_one_length(kept: Path) -> None:
    rewrite(kept / CODES, lambda c: c.update(mean=[0] * len(c["mean"])))
    with pytest.raises(ValueError, match=r"codes\.json is not the file that recipe"):
        load(kept)
    rewrite(kept / RECIPE, lambda about: about.pop("sha256"))
    run = load(kept)
    assert [type(mean) for mean in run.codes.mean] == [float] * run.latent
    assert run.traverse([0], steps=3).shape[:2] == (1, 3)
    for change, message in (
        ({"spread": [1.0]}, "mean, spread and rate differ in length"),
        ({"spread": "wide"}, "codes.spread is 'wide'; expected a list"),
        ({"mean": [0.0, math.inf, 1.0]}, r"codes.mean\[1\] is inf; expected a finite number"),
        ({"colour": 1}, "codes has no field colour"),
    ):
        shutil.copy(kept / CODES, kept / "backup")
        rewrite(kept / CODES, lambda c, change=change: c.update(change))
        with pytest.raises(ValueError, match=f"{CODES}: {message}"):
            load(kept)
        shutil.move(kept / "backup", kept / CODES)


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", "not json", '{"format": 1}'])
def test_a_recipe_file_that_is_none(kept: Path, text: str) -> None:
    (kept / RECIPE).write_text(text)
    with pytest.raises(ValueError, match=RECIPE):
        load(kept)


def test_keys_that_are_not_known_are_ignored_and_never_run(kept: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    code = f"open({str(trap)!r}, 'w')"
    rewrite(
        kept / RECIPE,
        lambda a: a.update({"__reduce__": code, "module": code, "likelihood": code}),
    )
    assert load(kept).recipe.name == "vae"
    assert not trap.exists()


def damaged(path: Path, kind: str) -> None:
    whole = path.read_bytes()
    weights = load_file(path)
    name = "generator.decoder.net.0.weight"
    if kind == "missing":
        path.unlink()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "garbage":
        path.write_bytes(os.urandom(200))
    elif kind == "pickle":
        torch.save({"w": torch.zeros(1)}, path)
    elif kind == "foreign":
        save_file({"layer.weight": torch.zeros(3)}, path)
    elif kind == "lacking":
        save_file({k: t for k, t in weights.items() if k != name}, path)
    elif kind == "reshaped":
        save_file(weights | {name: weights[name].T.contiguous()}, path)
    elif kind == "not finite":
        weights[name][0, 0] = math.nan
        save_file(weights, path)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "is missing; the run cannot be used"),
        ("empty", "is damaged"),
        ("truncated", "is damaged"),
        ("garbage", "is damaged"),
        ("pickle", "is damaged"),
        ("foreign", "does not belong to this run"),
        ("lacking", "1 tensors are missing.*first 'generator.decoder.net.0.weight'"),
        ("reshaped", "of another shape, the first 'generator.decoder.net.0.weight'"),
        ("not finite", "not finite, in 'generator.decoder.net.0.weight'"),
    ],
)
def test_weights_that_cannot_be_used(kept: Path, kind: str, message: str) -> None:
    damaged(kept / WEIGHTS, kind)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
        load(kept)
    assert WEIGHTS in str(error.value)


def test_of_a_run_of_an_earlier_version_it_is_said_what_changed(kept: Path) -> None:
    damaged(kept / WEIGHTS, "lacking")
    with pytest.raises(ValueError, match="an earlier version, which built vae otherwise"):
        load(kept)
    about = json.loads((kept / RECIPE).read_text())
    now = about["likelihood"]
    (kept / RECIPE).write_text(json.dumps(about | {"likelihood": "mixed: columns differ"}))
    with pytest.raises(ValueError, match="took another likelihood for this data") as error:
        load(kept)
    assert f"'mixed: columns differ', where it is {now!r} now: train it anew" in str(error.value)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[1, 2]",
        "{}",
        '{"mean": [0, 0, 0], "spread": [1, 1, 1]}',
        '{"mean": "abc", "spread": [1, 1, 1], "rate": null}',
        '{"mean": [0, 0, "x"], "spread": [1, 1, 1], "rate": null}',
        '{"mean": [0, 0, 0], "spread": [1, 1], "rate": null}',
        '{"mean": [0, 0, 0], "spread": [1, 1, 1], "rate": [1]}',
        '{"mean": [0, 0], "spread": [1, 1], "rate": null}',
        '{"mean": [0, 0, 0], "spread": [1, 1, 1], "rate": null, "code": "print"}',
    ],
)
def test_codes_that_are_damaged(kept: Path, content: str) -> None:
    (kept / CODES).write_text(content)
    with pytest.raises(ValueError, match=CODES):
        load(kept)


def test_codes_or_history_that_are_missing(kept: Path) -> None:
    (kept / METRICS).unlink()
    assert load(kept).history == []
    (kept / METRICS).write_text('{"epoch": 1}\n{"epo')
    with pytest.raises(ValueError, match=f"{METRICS}, line 2 is not JSON"):
        load(kept)
    (kept / METRICS).unlink()
    (kept / CODES).unlink()
    with pytest.raises(FileNotFoundError, match=f"{CODES} is missing"):
        load(kept)


# Files


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_failure_while_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "weights"
    atomic_files.write(path, b"old")

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise OSError(28, "No space left on device")

    class Full:
        def __init__(self, handle: int, mode: str) -> None:
            self.file = real_fdopen(handle, mode)

        def __enter__(self) -> Full:
            return self

        def __exit__(self, *args: object) -> None:
            self.file.close()

        write = fail

    real_fdopen = os.fdopen
    if step == "write":
        monkeypatch.setattr(os, "fdopen", Full)
    else:
        monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        atomic_files.write(path, b"new and longer")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["weights"]  # and nothing half-written


@pytest.mark.parametrize("fails", range(1, 5))
def test_a_failure_half_way_leaves_the_run_that_was_there(
    fails: int, ladder: Run, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {p.name: p.read_bytes() for p in kept.iterdir()}
    real, seen = atomic_files.write, list[str]()

    def one_fails(path: Path, content: str | bytes) -> None:
        seen.append(path.name)
        if len(seen) == fails:
            raise OSError(28, "No space left on device")
        real(path, content)

    monkeypatch.setattr(atomic_files, "write", one_fails)
    with pytest.raises(OSError, match="No space left"):
        ladder.save(kept)
    assert {p.name: p.read_bytes() for p in kept.iterdir()} == before
    assert load(kept).recipe.name == "vae"
    monkeypatch.setattr(atomic_files, "write", real)
    ladder.save(kept)
    assert load(kept).recipe.name == "ladder"


def test_files_are_shared_like_any_other(tmp_path: Path) -> None:
    atomic_files.write(tmp_path / "a", "x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_appended_lines_are_whole(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    atomic_files.append(path, '{"epoch": 1}\n')
    atomic_files.append(path, '{"epoch": 2, "σ": 0.5}\n')
    assert [row["epoch"] for row in atomic_files.read_rows(path)] == [1, 2]


def test_json_goes_there_and_back(tmp_path: Path) -> None:
    value = {"σ": [1, 2.5, None], "text": "é"}
    atomic_files.write_json(tmp_path / "a.json", value)
    assert atomic_files.read_json(tmp_path / "a.json") == value
    (tmp_path / "a.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="is not JSON"):
        atomic_files.read_json(tmp_path / "a.json")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_run_on_a_gpu_gives_what_it_gives_on_the_cpu(vae: Run, digits: Data) -> None:
    raw = digits.test.x[:5]
    codes, again = vae.encode(raw), vae.reconstruct(raw)
    before = torch.cuda.get_rng_state()
    try:
        vae.to("cuda")
        assert vae.device.type == "cuda"
        for found, expected in ((vae.encode(raw), codes), (vae.reconstruct(raw), again)):
            torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)
        assert torch.equal(vae.encode(raw.cuda()), vae.encode(raw))
        assert torch.equal(vae.decode(codes.cuda()), vae.decode(codes))
        assert torch.equal(vae.sample(1030, seed=3), vae.sample(1030, seed=3))
        assert torch.equal(before, torch.cuda.get_rng_state())
    finally:
        vae.to("cpu")


def test_a_run_and_its_data_print_as_a_few_lines(vae: Run, digits: Data) -> None:
    judged = replace(vae, training={"best_epoch": 2})
    for found in (vae, judged, digits):
        assert len(repr(found).splitlines()) <= 3
        assert len(repr(found)) < 300
    assert "1,437 training" in repr(digits)
    assert f"3 epochs; validation loss {vae.history[1]['valid_loss']:.2f}" in repr(judged)


def test_what_a_run_gives_is_drawn_in_one_line(vae: Run, digits: Data, tmp_path: Path) -> None:
    path = vaelab.picture(vae, digits.test.x[:4], tmp_path / "four.png")
    drawn = np.asarray(Image.open(path).convert("RGB"))[..., 0]
    scale = round(cells.CELL / 8)  # 2 × 2 images of 8 × 8, above a caption
    pixels = slice(scale // 2, 8 * scale, scale)
    raw = digits.test.x[0, 0].float() * 255 / 16
    assert np.abs(drawn[pixels, pixels] - raw.numpy()).max() <= 1


def test_variations_are_drawn_with_a_line_for_each(vae: Run, digits: Data, tmp_path: Path) -> None:
    made = vae.vary(digits.test.x[:3], n=5)
    side = 8 * round(cells.CELL / 8)
    heights = []
    for images in (made, made[:1]):
        with Image.open(picture(vae, images, tmp_path / "a.png")) as drawn:
            heights.append(drawn.height)
    pitch = (heights[0] - heights[1]) // 2
    assert side <= pitch <= side + 4
    with Image.open(picture(vae, made, tmp_path / "a.png")) as drawn:
        grey = np.asarray(drawn.convert("L"))
    half = side // 16
    last = grey[2 * pitch + half :: side // 8, 4 * pitch + half :: side // 8]
    expected = made[2, 4, 0].numpy() / 16 * 255
    assert np.abs(last[:8, :8] - expected).max() <= 1
