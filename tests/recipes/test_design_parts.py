"""Networks and likelihoods of one's own in the families of the library."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import vaelab
from vaelab.data import Data
from vaelab.distributions import Normal
from vaelab.parts.likelihoods import Likelihood
from vaelab.recipes import parts_by_name
from vaelab.recipes.registry import RECIPES, find


class Encoder(nn.Module):
    def __init__(self, shape: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(torch.Size(shape).numel(), outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Decoder(nn.Module):
    def __init__(self, inputs: int, shape: tuple[int, ...], params: int) -> None:
        super().__init__()
        first, *rest = shape
        size = params * torch.Size(shape).numel()
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(inputs, size), nn.Unflatten(1, (params * first, *rest))
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)


class Narrow(Likelihood):
    def forward(self, *given: Tensor) -> Normal:
        return Normal(given[0], torch.full_like(given[0], -1.5))


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_by_name, "REGISTERED", {kind: {} for kind in parts_by_name.KINDS})


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_family_uses_given_networks_or_refuses_them(name: str, digits: Data) -> None:
    own = vaelab.Design(encoder=Encoder, decoder=Decoder)
    if name in ("ladder", "deep_ladder", "vq2"):
        with pytest.raises(ValueError, match="encoder is given, but the networks of"):
            find(name)(digits.spec, design=own)
        return
    kinds = {type(part) for part in find(name)(digits.spec, design=own).model.modules()}
    assert {Encoder, Decoder} <= kinds


def test_an_instance_is_a_template(digits: Data) -> None:
    template = nn.Sequential(nn.Flatten(), nn.Linear(64, 6))
    before = template[1].weight.clone()
    run = vaelab.train("vae", digits, latent=3, encoder=template, likelihood=Narrow(), epochs=1)
    assert torch.equal(template[1].weight, before)
    assert run.recipe.reason == "Narrow: as asked"
    x = digits.test.x[:4]
    expected = run.model.encoder(run.spec.prepare(x))[:, :3]
    torch.testing.assert_close(run.encode(x), expected.detach())


def test_sizes_that_do_not_fit_are_named(digits: Data) -> None:
    def refused(match: str, **parts: object) -> None:
        with pytest.raises((TypeError, ValueError), match=match):
            vaelab.recipes.vae(digits, latent=3, **parts)

    flat = nn.Flatten()
    refused(r"gives \(N, 5\); expected \(N, 6\)", encoder=nn.Sequential(flat, nn.Linear(64, 5)))
    refused(r"does not take \(N, 1, 8, 8\)", encoder=nn.Linear(9, 6))
    refused(
        r"decoder gives \(N, 64\); expected \(N, 2, 8, 8\).*asks for 2",
        decoder=nn.Linear(3, 64),
        likelihood="gaussian-heteroscedastic",
    )
    refused("returns a int; expected .*module", encoder=lambda shape, outputs: 3)
    refused("likelihood is a Linear; expected a subclass", likelihood=nn.Linear(3, 3))
    refused("net='mlp' would choose both", encoder="mlp")
    refused(r"Did you mean gaussian\?", likelihood="mse")


def test_a_run_with_parts_is_saved_and_loaded(digits: Data, tmp_path: Path) -> None:
    run = vaelab.train("vae", digits, latent=3, encoder=Encoder, epochs=1, out=tmp_path / "run")
    place = f"{Encoder.__module__}:Encoder"
    about = json.loads((tmp_path / "run" / "recipe.json").read_text())
    assert about["arguments"]["design"]["encoder"] == place
    assert about["code"] == [place]
    with pytest.raises(ValueError, match=r"pass it: vaelab\.load\(path, encoder=…\)"):
        vaelab.load(tmp_path / "run")
    again = vaelab.load(tmp_path / "run", encoder=Encoder)
    assert torch.equal(again.encode(digits.test.x[:4]), run.encode(digits.test.x[:4]))


def test_a_registered_name_loads_by_itself(digits: Data, tmp_path: Path) -> None:
    vaelab.register("likelihood", "narrow", Narrow)
    run = vaelab.train("vae", digits, latent=3, likelihood="narrow", epochs=1, out=tmp_path / "run")
    again = vaelab.load(tmp_path / "run")
    assert torch.equal(again.sample(2), run.sample(2))
    parts_by_name.REGISTERED["likelihood"].clear()
    with pytest.raises(ValueError, match=r"likelihood narrow needs `.*:Narrow`.*import"):
        vaelab.load(tmp_path / "run")


def test_a_taken_name_is_refused() -> None:
    vaelab.register("encoder", "mine", Encoder)
    vaelab.register("encoder", "mine", Encoder)
    with pytest.raises(ValueError, match=r"test_design_parts:Encoder has the encoder mine"):
        vaelab.register("encoder", "mine", Decoder)
    with pytest.raises(ValueError, match="vaelab has the likelihood laplace"):
        vaelab.register("likelihood", "laplace", Narrow)
    with pytest.raises(TypeError, match="expected a factory"):
        vaelab.register("encoder", "other", nn.Linear(3, 3))
