"""What the commands that use a run write: the run's own rows, whole pictures."""

import numpy as np
import pytest
import torch
from PIL import Image

from vaelab.commands import main as cli
from vaelab.data import read_inputs
from vaelab.plots import cells
from vaelab.runs.load import load

FLAGS = ["--overwrite", "--device", "cpu"]
QUICK = ["--epochs", "2", "--width", "16", "--data", "digits8x8"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imagine") / "run"
    assert cli.main(["train", "vae", "--latent", "3", *QUICK, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def rows(folder, tmp_path):
    """Runs a command and returns the rows that it wrote."""

    def write(*args, suffix=".npy"):
        out = tmp_path / f"out{suffix}"
        name, *rest = map(str, args)
        assert cli.main([name, str(folder), *rest, "--out", str(out), *FLAGS]) == 0
        return np.load(out) if suffix != ".png" else Image.open(out)

    return write


@pytest.fixture
def run(folder):
    return load(folder)


@pytest.fixture
def inputs(run):
    return read_inputs("test:0-3", run.spec)[0]


def test_sample(rows, run):
    found = rows("sample", "-n", 5, "--seed", 2, "--temperature", 0.5)
    np.testing.assert_array_equal(found, run.sample(5, seed=2, temperature=0.5).numpy())
    assert found.dtype == np.float32
    np.testing.assert_array_equal(
        rows("sample", "-n", 5, "--seed", 2, suffix=".npz")["x"], run.sample(5, seed=2).numpy()
    )


def test_draws_have_the_datas_own_levels(rows):
    found = rows("sample", "-n", 5, "--draw")
    assert found.dtype == np.uint8
    assert set(np.unique(found)) == {0, 16}  # a Bernoulli draws black or white


def test_reconstruct(rows, run, inputs):
    expected = run.reconstruct(inputs).numpy()
    np.testing.assert_allclose(rows("reconstruct", "test:0-3"), expected, atol=1e-4)


def test_vary(rows, run, inputs):
    found = rows("vary", "test:0-3", "-n", 3, "--seed", 1)
    np.testing.assert_allclose(found, run.vary(inputs, 3, seed=1).numpy(), atol=1e-4)
    cold = rows("vary", "test:0-3", "-n", 2, "--temperature", 0)
    np.testing.assert_allclose(cold[:, 0], run.reconstruct(inputs).numpy(), atol=1e-4)


@pytest.mark.parametrize("flags", [[], ["--spherical"]])
def test_interpolate_begins_and_ends_at_its_ends(rows, run, inputs, flags):
    found = rows("interpolate", "test:0-1", "test:2-3", "--steps", 5, *flags)
    assert found.shape == (2, 5, 1, 8, 8)
    ends = run.reconstruct(inputs).numpy()
    np.testing.assert_allclose(found[:, 0], ends[:2], atol=1e-3)
    np.testing.assert_allclose(found[:, -1], ends[2:], atol=1e-3)
    assert rows("interpolate", "test:0-1", "test:2").shape == (2, 10, 1, 8, 8)


def test_traverse_is_sorted_by_rate(rows, run, inputs):
    found = rows("traverse", "--steps", 5)
    np.testing.assert_allclose(found, run.traverse(run.codes.order, 5).numpy(), atol=1e-4)
    rates = [run.codes.rate[j] for j in run.codes.order]
    assert rates == sorted(rates, reverse=True)
    start = run.encode(inputs)[1]
    one = rows("traverse", "--steps", 5, "--most", 1, "--input", "test:1")
    expected = run.traverse(run.codes.order[:1], 5, start=start).numpy()
    np.testing.assert_allclose(one, expected, atol=1e-4)


def test_encode(rows, run, inputs, folder, tmp_path):
    codes = run.encode(inputs).numpy()
    np.testing.assert_allclose(rows("encode", "test:0-3"), codes, atol=1e-5)
    drawn = rows("encode", "test:0-3", "--temperature", 1, "--seed", 5)
    assert np.abs(drawn - codes).min() > 0
    out = tmp_path / "codes.csv"
    assert cli.main(["encode", str(folder), "test:0-3", "--out", str(out)]) == 0
    assert out.read_text().startswith("z0,z1,z2\n")
    np.testing.assert_allclose(np.loadtxt(out, delimiter=",", skiprows=1), codes, rtol=1e-5)


def test_a_file_is_read_back_as_input(rows, run, inputs, tmp_path):
    np.save(tmp_path / "x.npy", inputs.numpy())
    found = rows("encode", tmp_path / "x.npy")
    np.testing.assert_allclose(found, run.encode(inputs).numpy(), atol=1e-5)


def test_a_picture_is_exact_to_the_pixel(rows, run):
    picture = rows("sample", "-n", 1, suffix=".png")
    pixels = np.asarray(picture.convert("L"))
    scale = round(cells.CELL / 8)
    expected = np.floor(run.sample(1)[0, 0].numpy() / 16 * 255 + 0.5)
    half, side = scale // 2, 8 * scale
    np.testing.assert_allclose(pixels[half:side:scale, half:side:scale], expected, atol=1)
    assert pixels[side:].min() < 255  # the caption


@pytest.mark.parametrize(
    "args",
    [
        ("sample",),
        ("reconstruct", "test:0-3"),
        ("vary", "test:0-3"),
        ("interpolate", "test:0", "test:1"),
        ("traverse",),
    ],
)
def test_every_command_draws(rows, args):
    picture = rows(*args, suffix=".png")
    assert min(picture.size) >= 56
    assert np.asarray(picture.convert("L")).std() > 5


@pytest.mark.parametrize("recipe", ["ae", "ladder"])
def test_other_families(recipe, tmp_path, capsys):
    run = str(tmp_path / "run")
    assert cli.main(["train", recipe, "--latent", "2", *QUICK, "--out", run]) == 0
    for i, args in enumerate([["sample"], ["vary", "test:0-1"], ["traverse"]]):
        out = str(tmp_path / f"{i}.png")
        assert cli.main([args[0], run, *args[1:], "--out", out]) == 0
    said = capsys.readouterr().err
    assert ("posteriors are points" in said) == (recipe == "ae")
    assert ("no trained prior" in said) == (recipe == "ae")


def test_a_table_draws_strips(tmp_path):
    x = np.random.default_rng(0).normal([0, 500], [1, 90], (60, 2)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    run = str(tmp_path / "run")
    data = ["--data", str(tmp_path / "x.npy")]
    assert cli.main(["train", "vae", "--latent", "1", *QUICK, *data, "--out", run]) == 0
    for args in (["sample"], ["reconstruct", "test:0-2"], ["interpolate", "test:0", "test:1"]):
        out = tmp_path / f"{args[0]}.png"
        assert cli.main([args[0], run, *args[1:], "--out", str(out)]) == 0
        assert out.stat().st_size > 100
    assert torch.isfinite(load(run).sample(3)).all()


def test_a_run_that_is_not_there_is_named_before_the_file_that_is(tmp_path, capsys):
    out = tmp_path / "samples.png"
    out.write_bytes(b"kept")
    assert cli.main(["sample", str(tmp_path / "nothing"), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "nothing does not exist" in said
    assert "samples.png" not in said
