"""Every term in every setting: compiled, stacked, in either precision, in any batch."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from vaelab.core import VAE, Shallow
from vaelab.objectives import (
    MMD,
    Capacity,
    CodeNorm,
    CombinedBound,
    Constraint,
    DecoderPenalty,
    Diagonal,
    Distortion,
    DoublyReparameterised,
    FeatureDistortion,
    FreeBits,
    MultiplyImportanceWeighted,
    NormPenalisedPoint,
    Objective,
    OffDiagonal,
    PartiallyImportanceWeighted,
    Rate,
    ReweightedPosterior,
    Rise,
    SplitRate,
    StructuralDistortion,
)
from vaelab.objectives.regularise import Penalty, gradient_norm, weight_norm
from vaelab.parts.likelihoods import BernoulliLikelihood
from vaelab.parts.posteriors import DiagonalNormal
from vaelab.parts.priors import Standard

SHAPE, L, N = (1, 12, 12), 3, 40


class Decoder(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(L, 9), nn.GELU(), nn.Linear(9, 144), nn.Unflatten(1, SHAPE))


def normal() -> VAE:
    program = Shallow(Standard(L), DiagonalNormal(), Decoder(), BernoulliLikelihood())
    return VAE(nn.Sequential(nn.Flatten(), nn.Linear(144, 2 * L)), program)


def steered() -> VAE:
    vae = normal()
    vae.generator.posterior = ReweightedPosterior(vae.generator.posterior)
    return vae


def charged(penalty: Penalty) -> VAE:
    decoder, likelihood = Decoder(), BernoulliLikelihood()
    posterior = NormPenalisedPoint(decoder, likelihood, penalty)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(144, L))
    return VAE(encoder, Shallow(Standard(L), posterior, decoder, likelihood))


def everything() -> Objective:
    terms = [
        Distortion(),
        0.3 * Rate(),
        FreeBits(0.2, None),
        FreeBits(0.2, by_example=True),
        2.0 * Capacity(Rise(0.0, 3.0)),
        Constraint(Distortion(), 90.0),
        SplitRate(N, total_correlation=3.0),
        OffDiagonal(within=True),
        Diagonal(within=False),
        5.0 * MMD(),
        CodeNorm(),
        StructuralDistortion(),
        FeatureDistortion(nn.Sequential(nn.Flatten(), nn.Linear(144, 4))),
    ]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


CASES: dict[str, tuple[Callable[[], VAE], Callable[[], Objective]]] = {
    "terms": (normal, everything),
    "l2": (lambda: charged(weight_norm), lambda: Distortion() + DecoderPenalty()),
    "gradient": (lambda: charged(gradient_norm), lambda: Distortion() + DecoderPenalty()),
    "miwae": (normal, lambda: MultiplyImportanceWeighted(2, 2)),
    "ciwae": (normal, lambda: CombinedBound(4)),
    "dreg": (steered, lambda: DoublyReparameterised(4)),
    "piwae": (steered, lambda: PartiallyImportanceWeighted(2, 2)),
}


def made(name: str, seed: int = 0) -> tuple[VAE, Objective]:
    torch.manual_seed(seed)
    model, objective = CASES[name]
    vae = model()
    torch.manual_seed(5)
    return vae, objective()


def data(n: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(n, *SHAPE, generator=generator).round()


# Fifteen terms in one graph take long to be traced, and no time once they are.
COMPILED = [pytest.param(n, marks=[pytest.mark.slow] * (n == "terms")) for n in CASES]


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_whole_it_is_the_same(name: str) -> None:
    vae, objective = made(name)
    x = data()

    def mean(x: Tensor) -> Tensor:
        return objective(vae(x, objective.samples), x).mean

    torch._dynamo.reset()
    found = {}
    for kind, run in (
        ("eager", mean),
        # The graphs that are captured, forwards and backwards, without the time to compile them.
        ("compiled", torch.compile(mean, fullgraph=True, backend="aot_eager")),
    ):
        torch.manual_seed(3)
        loss = run(x)
        gradients = torch.autograd.grad(loss, list(vae.parameters()))
        found[kind] = [loss, *gradients]
    for a, b in zip(found["eager"], found["compiled"], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_stacked_it_is_each_alone(name: str) -> None:
    members = [made(name, seed) for seed in (0, 1)]
    x = data()
    stacked, buffers = stack_module_state([vae for vae, _ in members])
    stacked = {key: t.detach().requires_grad_() for key, t in stacked.items()}
    vae, objective = members[0]

    def loss(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
        trace = functional_call(vae, (parameters, buffers), (x, objective.samples))
        return objective(trace, x).mean

    # The same noise for all, so that each can be had alone.
    torch.manual_seed(3)
    means = vmap(loss, randomness="same")(stacked, buffers)
    found = torch.autograd.grad(means.sum(), list(stacked.values()))
    for i, (vae, objective) in enumerate(members):
        torch.manual_seed(3)
        alone = objective(vae(x, objective.samples), x).mean
        torch.testing.assert_close(means[i], alone, rtol=1e-4, atol=1e-4)
        named = dict(vae.named_parameters())
        gradients = torch.autograd.grad(alone, [named[key] for key in stacked])
        for a, b in zip(found, gradients, strict=True):
            torch.testing.assert_close(a[i], b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_either_precision_gives_its_own(name: str) -> None:
    vae, objective = made(name)
    x = data()
    single = objective(vae(x, objective.samples, temperature=0.0), x)
    vae, objective = copy.deepcopy(vae).double(), copy.deepcopy(objective).double()
    double = objective(vae(x.double(), objective.samples, temperature=0.0), x.double())
    assert single.total.dtype == torch.float32
    assert double.total.dtype == torch.float64
    assert all(t.dtype == torch.float64 for t in double.parts.values())
    for key, part in double.parts.items():
        assert part.shape == (8,)
        if key not in ("mmd", "decoder_penalty"):  # draws of their own
            torch.testing.assert_close(single.parts[key].double(), part, rtol=1e-4, atol=1e-4)


POOLED = {
    *("free_bits", "index_code", "total_correlation", "dimension_wise"),
    *("off_diagonal", "diagonal", "mmd", "decoder_penalty"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_not_pooled_is_the_same_in_any_batch(name: str) -> None:
    vae, objective = made(name)
    vae, objective = vae.double(), objective.double()
    x = data(9).double()

    def parts(x: Tensor) -> dict[str, Tensor]:
        return objective(vae(x, objective.samples, temperature=0.0), x).parts

    whole = parts(x)
    for size in (1, 4):
        pieces = [parts(part) for part in x.split(size)]
        for key, nats in whole.items():
            if key not in POOLED:
                torch.testing.assert_close(torch.cat([piece[key] for piece in pieces]), nats)
    assert objective.batch_coupled == bool(set(whole) & POOLED - {"decoder_penalty"})


@pytest.mark.parametrize("name", CASES)
def test_in_half_precision_networks_the_loss_is_whole(name: str) -> None:
    vae, objective = made(name)
    x = data()
    with torch.autocast("cpu", torch.bfloat16):
        trace = vae(x, objective.samples)
    loss = objective(trace, x)
    assert loss.total.dtype == torch.float32
    loss.mean.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in vae.parameters())
