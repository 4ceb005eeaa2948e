"""Models, objectives and recipes of one's own, in this process and in another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import vaelab
from vaelab import Data
from vaelab.core import Conditional
from vaelab.distributions import FromTorch
from vaelab.nets import MLPDecoder, MLPEncoder
from vaelab.parts.likelihoods import LaplaceLikelihood, LogisticLevels
from vaelab.parts.posteriors import DiagonalNormal
from vaelab.parts.priors import Standard

BOUND = vaelab.Distortion() + vaelab.Rate()


def own(encoder: nn.Module, prior: Conditional | None = None, size: int = 8) -> vaelab.VAE:
    decoder = MLPDecoder(4, (1, 8, size), 2, hidden=(16,))
    prior = prior or Standard(4)
    return vaelab.VAE(encoder, vaelab.Shallow(prior, DiagonalNormal(), decoder, LogisticLevels(17)))


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = x.flatten(1)[:, :4]
        return h, h


class TorchPrior(Conditional):
    def forward(self, *given: Tensor):  # type: ignore[no-untyped-def]
        return torch.distributions.Normal(torch.zeros(1, 4), torch.ones(1, 4))


class Wrapped(Conditional):
    def forward(self, *given: Tensor) -> FromTorch:
        return FromTorch(torch.distributions.StudentT(torch.full((1, 4), 5.0)))


def test_a_model_of_ones_own_does_what_a_run_does(digits: Data, tmp_path: Path) -> None:
    model = own(MLPEncoder((1, 8, 8), 8, hidden=(16,)))
    run = vaelab.train(model=model, objective=BOUND, data=digits, epochs=2, out=tmp_path / "run")
    assert run.sample(3).shape == (3, 1, 8, 8)
    assert run.history["valid_loss"][1] < run.history["valid_loss"][0]
    assert "nll" in vaelab.evaluate(run, samples=2, parts=["likelihood"], limit=9).figures
    with pytest.raises(ValueError, match=r"pass it: vaelab\.load\(path, model=…"):
        vaelab.load(tmp_path / "run")
    again = vaelab.load(
        tmp_path / "run", model=own(MLPEncoder((1, 8, 8), 8, hidden=(16,))), objective=BOUND
    )
    x = digits.test.x[:5]
    assert torch.equal(again.encode(x), run.encode(x))
    wrapped = vaelab.Run.from_model(model, BOUND, digits)
    assert torch.equal(wrapped.encode(x), run.encode(x))


def test_an_objective_may_be_a_function(digits: Data) -> None:
    def bound(trace, x):  # type: ignore[no-untyped-def]
        return -trace.log_weights(x).mean(0)

    model = own(MLPEncoder((1, 8, 8), 8, hidden=(16,)))
    run = vaelab.train(model=model, objective=bound, data=digits, epochs=1)
    assert run.history[0]["bound"] == run.history[0]["loss"]
    with pytest.raises(ValueError, match="nats of each example, not their mean"):
        vaelab.train(model=model, objective=lambda t, x: bound(t, x).mean(), data=digits)


def test_parts_that_do_not_fit_are_named_with_both_shapes(digits: Data) -> None:
    def refused(model: object, match: str) -> None:
        with pytest.raises((TypeError, ValueError), match=match):
            vaelab.train(model=model, objective=BOUND, data=digits, epochs=1)  # type: ignore[arg-type]

    refused(own(Pair()), r"pair of \(N, 4\); DiagonalNormal reads one tensor \(N, 8\)")
    refused(own(MLPEncoder((1, 8, 8), 6)), r"gives \(N, 6\).*asks for 8 numbers for 4 latent")
    refused(own(MLPEncoder((1, 8, 7), 8)), r"does not take x of shape \(N, 1, 8, 8\)")
    refused(own(MLPEncoder((1, 8, 8), 8), size=7), r"\(N, 1, 8, 7\), the data are \(N, 1, 8, 8\)")
    refused(own(MLPEncoder((1, 8, 8), 8), TorchPrior()), r"Wrap one of torch: FromTorch")
    refused(nn.Linear(3, 3), r"expected a vaelab\.VAE\(encoder, generator\)")
    with pytest.raises(TypeError, match="needs its objective"):
        vaelab.train(model=own(MLPEncoder((1, 8, 8), 8)), data=digits)


def test_a_distribution_of_torch_serves_as_a_prior(digits: Data) -> None:
    model = own(MLPEncoder((1, 8, 8), 8, hidden=(16,)), Wrapped())
    run = vaelab.train(model=model, objective=BOUND, data=digits, epochs=1)
    assert run.sample(5).shape == (5, 1, 8, 8)
    z = torch.randn(3, 4)
    expected = torch.distributions.StudentT(5.0).log_prob(z).sum(1)
    torch.testing.assert_close(Wrapped()().log_prob(z), expected)


def test_a_likelihood_that_does_not_accept_the_data_is_refused(digits: Data) -> None:
    table = vaelab.load_data(torch.randn(60, 5).numpy() * 3 + 7)
    decoder = nn.Linear(2, 5)
    generator = vaelab.Shallow(Standard(2), DiagonalNormal(), decoder, LogisticLevels(17))
    model = vaelab.VAE(nn.Linear(5, 4), generator)
    with pytest.raises(
        ValueError, match="LogisticLevels is for binary or levels data, but this data is real"
    ):
        vaelab.Run.from_model(model, BOUND, table)
    generator = vaelab.Shallow(Standard(2), DiagonalNormal(), decoder, LaplaceLikelihood())
    run = vaelab.Run.from_model(vaelab.VAE(nn.Linear(5, 4), generator), BOUND, table)
    assert run.encode(table.test.x).shape == (len(table.test), 2)


def test_a_taken_name_is_refused() -> None:
    before = vaelab.recipes.vae

    def vae(data, design=None):  # type: ignore[no-untyped-def]
        raise NotImplementedError

    with pytest.raises(ValueError, match=r"called vae already, vaelab\.recipes\.basic:vae"):
        vaelab.recipe(vae)
    assert vaelab.recipes.vae is before


PLUGIN = '''
import vaelab
from vaelab.data import DataSpec
from vaelab.parts.posteriors import DiagonalNormal
from vaelab.recipes.building import shallow
from vaelab.recipes.design import Design
from vaelab.recipes.registry import Built


@vaelab.recipe
def ring(data: DataSpec, latent: int = 3, weight: float = 0.5, design: Design = Design()) -> Built:
    """The VAE on a ring.

    Args:
        latent: dimensions of z.
        weight: weight of the rate.
    """
    objective = vaelab.Distortion() + weight * vaelab.Rate()
    return shallow(data, latent, DiagonalNormal(), objective, design)
'''


@pytest.mark.slow
def test_an_installed_package_offers_a_recipe_to_new_processes(tmp_path: Path) -> None:
    site = tmp_path / "site"
    (site / "ringed-1.0.dist-info").mkdir(parents=True)
    (site / "ringed.py").write_text(PLUGIN)
    (site / "ringed-1.0.dist-info" / "METADATA").write_text("Name: ringed\nVersion: 1.0\n")
    entry = "[vaelab.recipes]\nring = ringed:ring\n"
    (site / "ringed-1.0.dist-info" / "entry_points.txt").write_text(entry)
    out = tmp_path / "run"

    def vaelab_command(*words: str, path: Path | None = site) -> subprocess.CompletedProcess[str]:
        env = os.environ | ({} if path is None else {"PYTHONPATH": str(path)})
        return subprocess.run(
            [sys.executable, "-m", "vaelab", *map(str, words)],
            env=env,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    made = vaelab_command(
        "train",
        "ring",
        "--data",
        "digits8x8",
        "--weight",
        "0.7",
        "--epochs",
        "1",
        "--out",
        str(out),
    )
    assert made.returncode == 0, made.stderr
    assert vaelab_command("sample", str(out), "-n", "3", "--out", "s.npy").returncode == 0
    without = vaelab_command("sample", str(out), "--out", "t.npy", path=None)
    assert without.returncode == 2
    assert "`ringed:ring`" in without.stderr
    assert "--module ringed" in without.stderr
    (tmp_path / "ringed.py").write_text(PLUGIN)
    named = vaelab_command("--module", "ringed", "sample", str(out), "--out", "t.npy", path=None)
    assert named.returncode == 0, named.stderr
