"""Models that are told a vector of every example: whence it comes, and what it is worth."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import vaelab.recipes  # noqa: F401  (its functions register themselves)
from vaelab.commands import main as cli
from vaelab.data import Batch, Batches, Data, DataSpec, load, with_columns
from vaelab.data.command_inputs import reload
from vaelab.recipes.design import Design
from vaelab.recipes.registry import RECIPES, find
from vaelab.runs.load import load as load_run
from vaelab.runs.run import Run
from vaelab.runs.train import train
from vaelab.training import Plan

N, C = 400, 2


@cache
def arrays() -> tuple[np.ndarray, np.ndarray]:
    """Rows whose mean is a function of what is known, c, in units of its own."""
    rng = np.random.default_rng(0)
    c = np.stack([rng.normal(1000, 50, N), rng.uniform(-1, 1, N)], 1)
    centre = np.stack([(c[:, 0] - 1000) / 25, 3 * c[:, 1], -2 * c[:, 1]], 1)
    return (centre + 0.3 * rng.normal(size=(N, 3))).astype(np.float32), c.astype(np.float32)


@cache
def data() -> Data:
    x, c = arrays()
    return load(x, vectors=c)


@cache
def trained(condition: str) -> Run:
    design = Design(width=32, condition=condition)  # type: ignore[arg-type]
    recipe = find("vae")(data().spec, latent=2, design=design)
    return train(recipe, data(), Plan(epochs=20, batch_size=32, lr=5e-3))


def same_rows(a: Data, b: Data) -> None:
    for one, other in zip((a.train, a.valid, a.test), (b.train, b.valid, b.test), strict=True):
        assert torch.equal(one.x[:], other.x[:])
        assert one.vectors is not None
        assert other.vectors is not None
        assert torch.equal(one.vectors, other.vectors)


def test_vectors_follow_their_rows_whatever_they_come_from(tmp_path: Path) -> None:
    x, c = arrays()
    for split in (data().train, data().valid, data().test):
        assert split.vectors is not None
        places = [int((x == row.numpy()).all(1).argmax()) for row in split.x]
        assert torch.equal(split.vectors, torch.from_numpy(c[places]))
    np.savez(tmp_path / "rows.npz", x=x, age=c)
    same_rows(load(tmp_path / "rows.npz", vectors="age"), data())
    np.save(tmp_path / "table.npy", np.stack([c[:, 0], *x.T, c[:, 1]], 1))
    table = load(tmp_path / "table.npy", vectors="0,4")
    same_rows(table, data())
    assert table.spec.shape == (3,)
    for absurd in ("0-3000000000000", "9000000000000-9000000000001,0", "0-" + "9" * 40):
        with pytest.raises(ValueError, match="of rows with 5 columns, 0 to 4; name some of these"):
            load(tmp_path / "table.npy", vectors=absurd)
    one = load(x, vectors=c[:, 1]).train.vectors
    assert torch.equal(one, data().train.vectors[:, 1:])  # type: ignore[arg-type, index]
    parts = {f"x_{part}": x[i::2] for i, part in enumerate(("train", "test"))}
    parts |= {f"c_{part}": c[i::2] for i, part in enumerate(("train", "test"))}
    np.savez(tmp_path / "parts.npz", **parts)
    test = load(tmp_path / "parts.npz", vectors="c").test
    assert torch.equal(test.vectors, torch.from_numpy(c[1::2]))  # type: ignore[arg-type]


def test_a_model_is_told_them_standardised_by_the_training_rows() -> None:
    spec = trained("vectors").spec
    told = torch.cat([c for (c,) in Batches(*rows(data(), "train")).conditions(64)])
    torch.testing.assert_close(told.mean(0), torch.zeros(C), atol=1e-4, rtol=0)
    torch.testing.assert_close(told.std(0, unbiased=False), torch.ones(C), atol=1e-4, rtol=0)
    shuffled = Batches(*rows(data(), "train")).epoch(64, torch.Generator().manual_seed(0))
    for batch in shuffled:
        assert isinstance(batch, Batch)
        off = (batch.condition[0][:, 1] - batch.x[:, 1] * 1.0).abs().mean()
        assert off < 0.3  # the second column is its second number, up to noise
    assert DataSpec.from_json(spec.to_json()) == spec
    assert with_columns(data(), ["real"] * 3).spec.vectors == data().spec.vectors


def rows(found: Data, part: str) -> tuple[Tensor, DataSpec, str, Tensor]:
    spec = trained("vectors").spec
    split = getattr(found, part)
    known = split.known(spec)
    assert known is not None
    return split.x, spec, "cpu", known


def test_a_vector_is_worth_nats_and_samples_follow_it(tmp_path: Path) -> None:
    told, untold = trained("vectors"), trained("none")
    assert told.history[-1]["valid_loss"] < untold.history[-1]["valid_loss"] - 1
    for c in ([950.0, -0.5], [1050.0, 0.5]):
        expected = torch.tensor([(c[0] - 1000) / 25, 3 * c[1], -2 * c[1]])
        torch.testing.assert_close(
            told.conditioned_on(c).sample(200).mean(0), expected, atol=0.35, rtol=0
        )
    c = data().test.vectors
    assert c is not None
    many = told.conditioned_on(c)
    codes = many.encode(data().test.x)
    torch.testing.assert_close(told.conditioned_on(c[3:4]).encode(data().test.x[3:4]), codes[3:4])
    torch.testing.assert_close(many.decode(codes), many.reconstruct(data().test.x))
    assert torch.equal(
        told.conditioned_on(c[:1].numpy()).sample(2), told.conditioned_on(c[0].tolist()).sample(2)
    )
    again = load_run(told.save(tmp_path / "run"))
    assert torch.equal(
        again.conditioned_on([1000, 0]).sample(3), told.conditioned_on([1000, 0]).sample(3)
    )


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_any_family_takes_a_vector(name: str) -> None:
    """Of images, by any network: what differs is only how many numbers it is told."""
    digits = load("digits8x8")
    ink = load(digits.train.x.numpy(), vectors=digits.train.x.float().mean((1, 2, 3)).numpy())
    recipe = find(name)(ink.spec, design=Design(width=8, condition="vectors"))
    x, (c,) = recipe.data.prepare(ink.valid.x[:6]), recipe.data.tell(ink.valid.vectors[:6])  # type: ignore[index]
    trace = recipe.model(x, recipe.objective.samples, condition=(c,))
    assert recipe.objective(trace, x).total.shape == (6,)
    made = []
    for value in (-1.0, 1.0):
        torch.manual_seed(0)
        told = torch.full((4, 1), value)
        made.append(recipe.model.sample(4, condition=(told,)).likelihood.mean)
    assert not torch.allclose(*made, atol=1e-6)


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    x, c = arrays()
    run = trained("vectors")
    for call, message in (
        (lambda: run.sample(3), "give the condition of the examples, a vector of 2 numbers"),
        (lambda: run.conditioned_on([1.0]), r"vectors of \(1, 1\); expected \(N, 2\)"),
        (lambda: run.conditioned_on("cat"), "told vectors of 2 numbers, not 'cat'"),
        (lambda: run.conditioned_on([1.0, float("nan")]), "not finite"),
        (
            lambda: run.conditioned_on(c[:3]).sample(5),
            "3 vectors were given for 5 examples; give 1 or 5",
        ),
        (lambda: load(x, vectors=c[:5]), r"shape \(5, 2\) .* for 400 rows"),
        (lambda: load(x, vectors=np.array(["a"] * N)), "expected numbers"),
        (lambda: load(x, vectors="age"), "an array of that name is looked for in an .npz"),
        (lambda: load(x, vectors="0,7"), "rows with 3 columns, 0 to 2"),
        (lambda: load(x, vectors="0-2"), "leave at least one to be modelled"),
        (lambda: load("digits8x8", vectors="0"), "no table"),
        (
            lambda: find("vae")(load(x).spec, design=Design(condition="vectors")),
            "name them with vectors",
        ),
        (lambda: Batches(x=data().test.x, spec=run.spec), "and these come without"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    broken = c.copy()
    broken[7, 1] = np.inf
    with pytest.raises(ValueError, match="row 7 is not finite"):
        load(x, vectors=broken)
    np.savez(tmp_path / "rows.npz", x=x, age=c)
    with pytest.raises(ValueError, match="has no array height; it has x, age"):
        load(tmp_path / "rows.npz", vectors="height")
    in_memory = load(tmp_path / "rows.npz", vectors=c).spec
    with pytest.raises(ValueError, match=r"train it on an \.npz"):
        reload(in_memory)


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, c = arrays()
    source, run, out = tmp_path / "rows.npz", tmp_path / "run", tmp_path / "out.npy"
    np.savez(source, x=x, age=c)
    how = [
        "--data",
        str(source),
        "--condition-columns",
        "age",
        "--condition",
        "vectors",
        "--epochs",
        "2",
    ]
    assert (
        cli.main(["train", "vae", *how, "--width", "16", "--latent", "2", "--out", str(run)]) == 0
    )
    said = capsys.readouterr()
    assert "a vector of 2" in said.err
    given = said.out.rsplit(" --condition-values ", 1)[1].split(
        ","
    )  # a first sample must be told something
    assert np.allclose([float(number) for number in given], c.mean(0), atol=0.3)
    again = load_run(run)

    def written(name: str, *args: str) -> Tensor:
        done = cli.main([name, str(run), *args, "--out", str(out), "--overwrite"])
        assert done == 0, capsys.readouterr().err
        return torch.from_numpy(np.load(out))

    assert torch.equal(
        written("sample", "-n", "4", "--condition-values", "950,-0.5"),
        again.conditioned_on([950, -0.5]).sample(4),
    )
    assert "standard deviations" not in capsys.readouterr().err
    written("sample", "-n", "4", "--condition-values", "3000,0")
    assert "standard deviations from the mean of what training saw" in capsys.readouterr().err
    np.save(tmp_path / "some.npy", c[:3])
    three = written("encode", "test:0-2", "--condition-values", str(tmp_path / "some.npy"))
    torch.testing.assert_close(
        three, again.conditioned_on(c[:3]).encode(load(source, vectors="age").test.x[:3])
    )
    again_to = ["--out", str(out), "--overwrite"]
    absurd = tmp_path / "absurd.npy"
    with open(absurd, "wb") as file:
        about = {"descr": "<f4", "fortran_order": False, "shape": (10**14, 2)}
        np.lib.format.write_array_header_1_0(file, about)
    wrongs = [("a,b", "is no vector"), ("no.npy", "does not exist"), ("1", "(N, 2)")]
    for wrong, message in [*wrongs, (str(absurd), "absurd.npy cannot be read as an array file")]:
        assert cli.main(["sample", str(run), "--condition-values", wrong, *again_to]) == 2
        assert message in capsys.readouterr().err
    assert cli.main(["sample", str(run), "--out", str(tmp_path / "x.npy")]) == 2
    assert "with --condition-values" in capsys.readouterr().err
    assert cli.main(["evaluate", str(run), "--samples", "4", "--features", "pixels"]) == 0
    assert "NLL" in capsys.readouterr().out
