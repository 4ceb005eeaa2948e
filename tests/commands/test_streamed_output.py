"""Samples and codes go to disk part by part: the same rows as in memory, one part at a time."""

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import vaelab
import vaelab.runs.inference as inference
from vaelab import Run
from vaelab.commands import generate
from vaelab.commands.output_files import as_array, as_table, write
from vaelab.data import Data, Rows
from vaelab.data import arrays as arrays_module
from vaelab.data.tabular.header import Heading

PART = 16


@pytest.fixture(scope="module")
def run(digits: Data, tmp_path_factory: pytest.TempPathFactory) -> Run:
    recipe = vaelab.recipes.vae(digits.spec, latent=3)
    plan = vaelab.Plan(epochs=1, batch_size=1024)
    return vaelab.train(recipe, digits, plan, out=tmp_path_factory.mktemp("runs") / "digits")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "ROWS", PART)
    monkeypatch.setattr(arrays_module, "MAPPED", 0)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("draw", [False, True])
def test_parts_are_the_whole_whatever_the_caller_draws(run: Run, draw: bool) -> None:
    whole = run.sample(5 * PART + 3, draw=draw, seed=2)
    torch.manual_seed(1)
    mine = [torch.rand(3) for _ in range(6)]
    torch.manual_seed(1)
    parts = []
    for part, expected in zip(
        run.stream_samples(5 * PART + 3, draw=draw, seed=2), mine, strict=True
    ):
        parts.append(part)
        assert torch.equal(torch.rand(3), expected)  # its own draws are as they would have been
    assert torch.equal(torch.cat(parts), whole)
    assert max(map(len, parts)) == PART


@pytest.mark.usefixtures("small")
def test_only_one_part_is_held(run: Run, tmp_path: Path) -> None:
    made: list[weakref.ref[torch.Tensor]] = []

    def watched(parts: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
        for part in parts:
            made.append(weakref.ref(part))
            yield part
            del part
            # What was written last may still have its name in the writer; nothing before it.
            assert sum(ref() is not None for ref in made) <= 1

    n = 20 * PART
    write(tmp_path / "x.npy", as_array(watched(run.stream_samples(n)), n))
    assert len(made) == 20
    assert np.array_equal(np.load(tmp_path / "x.npy"), run.sample(n).numpy())


@pytest.mark.usefixtures("small")
def test_the_commands_stream_from_and_to_files(run: Run, tmp_path: Path, digits: Data) -> None:
    assert run.path is not None
    samples, codes, again = (tmp_path / f"{name}.npy" for name in ("samples", "codes", "again"))
    generate.sample(run.path, n=100, out=samples, draw=True)
    made = np.load(samples)
    assert (made.shape, made.dtype) == ((100, *digits.spec.shape), np.uint8)
    assert np.array_equal(made, run.sample(100, draw=True).numpy())
    generate.encode(run.path, str(samples), out=codes)
    assert np.array_equal(np.load(codes), run.encode(made).numpy())
    rows = Rows(np.load(samples, mmap_mode="r"), np.dtype(np.uint8))
    write(again, as_array(run.stream_codes(rows), len(rows)))
    assert again.read_bytes() == codes.read_bytes()


def test_a_table_is_written_part_by_part(tmp_path: Path) -> None:
    codes = torch.arange(12.0).reshape(6, 2) / 7
    write(tmp_path / "z.csv", as_table(codes.split(4), [Heading("z0"), Heading("z1")]))
    lines = (tmp_path / "z.csv").read_text().splitlines()
    assert lines[0] == "z0,z1"
    assert np.allclose(np.loadtxt(lines[1:], delimiter=","), codes, rtol=1e-6)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_was_there_survives_a_failure(error: type[BaseException], tmp_path: Path) -> None:
    def failing() -> Iterator[torch.Tensor]:
        yield torch.zeros(3, 2)
        raise error

    out = tmp_path / "x.npy"
    write(out, as_array([torch.ones(2, 2)], 2))
    with pytest.raises(error):
        write(out, as_array(failing(), 6))
    assert np.array_equal(np.load(out), np.ones((2, 2)))
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]
