"""Every operator of a program in the browser against PyTorch, and the models made of them."""

from __future__ import annotations

import base64
import shutil
import subprocess
from importlib import resources

import pytest
import torch
import torch.nn.functional as F
from chromium import launched
from small_runs import decoded, encoded, untrained

from vaelab.explore import model
from vaelab.explore.lowering import NOISE, lower
from vaelab.explore.program import Pool, broadcast, collapse
from vaelab.explore.rules import BINARY, RULES, UNARY, Unsupported
from vaelab.recipes.registry import RECIPES

CLOSE = 1 / 255

RUN = """async ([programs, layout, blob, wasm, calls]) => {
    const bytes = (s) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0));
    const made = await assemble(programs, layout, bytes(blob).buffer, bytes(wasm));
    return calls.map(([name, inputs, t, seed]) => made[name](inputs, t, seed).map((y) => [...y]));
}"""


def packaged(name):
    return (resources.files("vaelab.explore") / "page" / name).read_bytes()


@pytest.fixture(scope="module")
def execute():
    """Execute programs in the browser: calls are (name, inputs, temperature, seed)."""
    with launched() as browser:
        page = browser.new_page()
        page.add_script_tag(
            content=packaged("arrays.js").decode() + packaged("kernels.js").decode()
        )

        def call(programs, pool, calls, wasm=True):
            layout, blob = pool.layout()
            code = packaged("gemm.wasm") if wasm else b"none"
            listed = {name: p.to_json() for name, p in programs.items()}
            plain = [
                [name, [x.flatten().tolist() for x in xs], temperature, seed]
                for name, xs, temperature, seed in calls
            ]
            texts = [base64.b64encode(b).decode() for b in (blob, code)]
            return page.evaluate(RUN, [listed, layout, *texts, plain])

        yield call


def grid(*shape):
    """Uneven numbers between −1.6 and 1.9."""
    n = torch.Size(shape).numel()
    return (torch.arange(n) * 0.7548777).remainder(1).mul(3.5).sub(1.6).reshape(shape)


W, V = grid(5, 7).mul(0.3), grid(6, 3, 3, 3).flip(0).mul(0.2)
IMAGE, ROW, CUBE = (1, 3, 7, 5), (1, 5), (1, 4, 6)
POSITIVE = {"log", "sqrt", "rsqrt", "log1p"}
CASES = {
    "addmm": (lambda x: F.linear(x, W.T, grid(7)), ROW),
    "mm": (lambda x: x @ W, ROW),
    "bmm": (lambda x: x.mT @ x, CUBE),
    "conv": (lambda x: F.conv2d(x, V, grid(6), padding=1), IMAGE),
    "conv, stride": (lambda x: F.conv2d(x, V, None, stride=(2, 3), padding=(1, 2)), IMAGE),
    "conv, 1 x 1": (lambda x: F.conv2d(x, V[:, :, :1, :1], grid(6)), IMAGE),
    "upsample": (lambda x: F.interpolate(x, (11, 8), mode="nearest"), IMAGE),
    "group norm": (lambda x: F.group_norm(x, 3, grid(3), grid(3).flip(0)), IMAGE),
    "layer norm": (lambda x: F.layer_norm(x, (4, 6), grid(4, 6)), CUBE),
    "softmax": (lambda x: x.softmax(1), CUBE),
    "log softmax": (lambda x: x.log_softmax(-1), CUBE),
    "gelu": (F.gelu, ROW),
    "gelu, tanh": (lambda x: F.gelu(x, approximate="tanh"), ROW),
    "elu": (lambda x: F.elu(x, 0.7), ROW),
    "softplus": (lambda x: F.softplus(x, 2.0), ROW),
    "leaky relu": (lambda x: F.leaky_relu(x, 0.2), ROW),
    "log sigmoid": (F.logsigmoid, ROW),
    "clamp": (lambda x: x.clamp(-0.5, 0.75).clamp(min=-0.2) + F.hardtanh(x), ROW),
    "pow": (lambda x: x.abs() ** 1.5 + x**2, ROW),
    "permute": (lambda x: x.permute(0, 2, 3, 1)[:, 1:, ::2].flatten(1), IMAGE),
    "expand": (lambda x: x[:, :, None].expand(1, 4, 3, 6) + grid(3, 1), CUBE),
    "split": (lambda x: torch.cat(x.split([1, 3], 1)[::-1], 1) * x.chunk(2, 2)[1].sum(), CUBE),
    "cat": (lambda x: torch.cat([x, 2 * x, grid(1, 4, 2)], 2), CUBE),
    "stack": (lambda x: torch.stack([x, -x], 2), CUBE),
    "pad": (lambda x: F.pad(x, (1, 2, 0, 3), value=0.5), CUBE),
    "sum": (lambda x: x.sum((0, 2)) - x.mean(1).sum() + x.amax(1).sum(), CUBE),
    "norm": (lambda x: torch.linalg.vector_norm(x, dim=1), CUBE),
    "argmax": (lambda x: (x.argmax(1) - x.argmin(2).sum()).float(), CUBE),
    "take": (
        lambda x: (
            grid(6, 3)[x.argmax(2)] + grid(6, 3).index_select(1, x.argmax(1)[0, :3].clamp(max=2))[0]
        ),
        CUBE,
    ),
    "gather": (lambda x: x.gather(2, x.argmax(2)[..., None]), CUBE),
    "embedding": (lambda x: F.embedding(x.argmax(2), grid(6, 3)), CUBE),
    "where": (lambda x: torch.where(x > 0.1, x, grid(6)), CUBE),
    "compare": (lambda x: ((x >= 0) & (x != 0.5)).float() + (x < 1).float() + (x <= x.mT.mT), CUBE),
    "alpha": (lambda x: torch.add(x, x * x, alpha=3) - torch.sub(2, x, alpha=2), CUBE),
    "lerp": (lambda x: torch.lerp(x, x * x, 0.3), CUBE),
    "in place": (lambda x: (x + 1).mul_(grid(6)).div_(2), CUBE),
    **{f: (getattr(torch, f, getattr(F, f, None)), ROW) for f in UNARY},
    "maximum": (lambda x: torch.maximum(x, -x) + torch.minimum(x, x * x), ROW),
    "atan2": (lambda x: torch.atan2(x, x * x - 1), ROW),
}


@pytest.mark.parametrize("wasm", [True, False])
def test_operators_agree_with_torch(execute, wasm):
    pool, programs, calls, expected = Pool(), {}, [], {}
    for name, (function, shape) in CASES.items():
        make = (lambda x, f=function: f(x.abs() + 0.1)) if name in POSITIVE else function
        programs[name] = lower(lambda x, f=make: [f(x)], [torch.zeros(shape) + 0.3], pool)
        expected[name] = make(grid(*shape)).float().flatten()
        calls.append((name, [grid(*shape)], 1, None))
    for (name, *_), (result,) in zip(calls, execute(programs, pool, calls, wasm), strict=True):
        assert len(result) == len(expected[name]), name
        assert (torch.tensor(result) - expected[name]).abs().max() < 2e-3 < CLOSE, name
    used = {step[0] for p in programs.values() for step in p.steps}
    kernels = {
        k
        for k in packaged("kernels.js")
        .decode()
        .split("const KERNELS = {")[1]
        .split("\n};")[0]
        .split("\n  ")
        if ": (" in k
    }
    assert {k.partition(":")[0] for k in kernels} - used == {"normal", "uniform"}


def test_the_product_in_webassembly_is_that_of_its_source(tmp_path):
    assembler = shutil.which("wat2wasm")
    if assembler is None:
        pytest.skip("no wat2wasm is installed")
    source, made = tmp_path / "gemm.wat", tmp_path / "gemm.wasm"
    source.write_bytes(packaged("gemm.wat"))
    subprocess.run([assembler, source, "-o", made], check=True)
    assert made.read_bytes() == packaged("gemm.wasm")


def test_every_function_of_the_rules_has_a_kernel():
    source = packaged("kernels.js").decode()
    for name in (*UNARY, *BINARY, *NOISE.values()):
        assert f" {name}:" in source, name
    assert set(UNARY) | set(BINARY) < set(RULES)


def test_noise_is_seeded_and_scaled_by_the_temperature(execute):
    pool = Pool()
    shape = (1, 4000)
    programs = {
        "normal": lower(lambda x: [x + torch.randn_like(x)], [torch.zeros(shape)], pool),
        "uniform": lower(lambda x: [x + torch.rand_like(x)], [torch.zeros(shape)], pool),
    }
    x = torch.full(shape, 2.0)
    calls = [("normal", [x], 1, 3), ("normal", [x], 0.5, 3), ("normal", [x], 1, 4)]
    calls += [("uniform", [x], 1, 3)]
    one, half, other, uniform = (torch.tensor(r[0]) for r in execute(programs, pool, calls))
    assert torch.allclose(half - 2, (one - 2) / 2, atol=1e-6)
    assert not torch.equal(one, other)
    assert abs(one.mean() - 2) < 0.06
    assert abs(one.std() - 1) < 0.05
    assert 2 <= uniform.min() < uniform.max() < 3
    assert abs(uniform.mean() - 2.5) < 0.02


@pytest.mark.parametrize(
    ("name", "latent", "design"),
    [
        ("vae", 3, {}),
        ("vae", 2, {"net": "conv", "width": 8}),
        ("vae", 2, {"net": "resconv", "width": 8}),
        ("ladder", None, {}),
        ("vq", None, {}),
    ],
)
def test_models_agree_with_torch(execute, digits, name, latent, design):
    agree(execute, untrained(name, digits, latent, **design), digits)


def agree(execute, run, data):
    pool = Pool()
    programs = model.programs(run, pool)
    x, c = data.test.x[3:4].float(), run.example_condition
    z = encoded(run, x)
    calls = [("encode", [x, *c], 1, 0), ("decode", [z, *c], 1, 0), ("draw", [x, *c], 0.5, 1)]
    (mean, *_), (picture,), (draw,) = execute(programs, pool, calls)
    assert (torch.tensor(mean) - z[0]).abs().max() < 1e-2
    off = torch.tensor(picture) - decoded(run, z).flatten()
    assert off.abs().max() / (data.spec.high - data.spec.low) < CLOSE
    assert torch.tensor(draw).isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_runs_in_a_page(execute, digits, name):
    agree(execute, untrained(name, digits, None), digits)


def test_conditional_models_take_their_class(execute, digits):
    run = untrained("vae", digits, condition="labels")
    pool = Pool()
    programs = model.programs(run, pool)
    z = torch.tensor([[0.5, -1.0]])
    one, two = (run.conditioned_on(name).condition for name in ("2", "7"))
    results = execute(programs, pool, [("decode", [z, c], 1, 0) for c in (one, two)])
    for name, ((picture,),) in zip(("2", "7"), zip(results, strict=True), strict=True):
        expected = run.conditioned_on(name).decode(z).flatten()
        assert (torch.tensor(picture) - expected).abs().max() < 16 * CLOSE
    assert results[0] != results[1]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: torch.fft.rfft(x).real, "fft"),
        (lambda x: F.conv2d(x[..., None], grid(4, 1, 1, 1), groups=4), "grouped"),
        (lambda x: x * float(x.sum()), "reads the values"),
        (lambda x: torch.linalg.vector_norm(x, 1), "order 1"),
    ],
)
def test_unknown_operators_are_refused_by_name(function, message):
    with pytest.raises(Unsupported, match=message):
        lower(lambda x: [function(x)], [torch.ones(CUBE)], Pool())


def test_large_models_are_refused(monkeypatch, digits):
    monkeypatch.setattr(model, "LARGEST", 10)
    with pytest.raises(Unsupported, match="MiB"):
        model.programs(untrained("vae", digits), Pool())


def test_constants_are_shared_and_rounded_only_if_large():
    pool, big = Pool(), grid(30, 30)
    assert pool.add(big) == pool.add(big.clone()) == 0
    assert pool.add(big * 1e6) == 1
    assert pool.add(grid(5)) == 2
    layout, blob = pool.layout()
    assert layout == [(0, 900, 2), (1800, 900, 4), (5400, 5, 4)]
    assert len(blob) == 5420


def test_axes_are_merged_only_if_walked_as_one():
    x = torch.arange(60).reshape(3, 4, 5)
    for view in (x, x.mT, x[:, 1:3], x.expand(2, 3, 4, 5), x[:, :, ::2].permute(2, 0, 1)):
        axes, (by,) = collapse(view.shape, view.stride())
        again = torch.as_strided(x, axes, by, view.storage_offset())
        assert torch.equal(again.flatten(), view.flatten())
    assert broadcast((4, 1), (3, 4, 5)) == (0, 1, 0)
