"""The temperature of draws: 1 by default, of every distribution."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vaelab.distributions import (
    Bernoulli,
    Categorical,
    Concrete,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Distribution,
    Laplace,
    LogisticMixture,
    LogNormal,
    Mixture,
    NegativeBinomial,
    Normal,
    OneHotCategorical,
    Poisson,
    StudentT,
    VonMisesFisher,
    ZeroInflated,
)

B, D, K = 4, 3, 5


def draw(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


MU, SCALE, LOGITS = draw(B, D, seed=1), draw(B, D, seed=2), draw(B, D, K, seed=3)
WEIGHTS = torch.log_softmax(draw(1, K, seed=4), 1)
DISTRIBUTIONS: dict[str, Distribution] = {
    "normal": Normal(MU, SCALE),
    "log-normal": LogNormal(MU, SCALE),
    "bernoulli": Bernoulli(MU),
    "continuous Bernoulli": ContinuousBernoulli(2 * MU),
    "laplace": Laplace(MU, SCALE),
    "student": StudentT(MU, SCALE, SCALE.abs() + 1),
    "logistic": DiscretizedLogistic(0.5 + 0.1 * MU, SCALE - 2, 17),
    "categorical": Categorical(LOGITS),
    "logistic mixture": LogisticMixture(LOGITS, 0.5 + 0.1 * LOGITS, LOGITS - 2, 17),
    "poisson": Poisson(MU + 2),
    "negative binomial": NegativeBinomial(MU + 2, SCALE),
    "zero-inflated": ZeroInflated(MU + 2, SCALE, draw(B, D, seed=5)),
    "one-hot": OneHotCategorical(LOGITS, torch.full((1, 1, 1), 0.7)),
    "concrete": Concrete(LOGITS, torch.full((1, 1, 1), 0.7)),
    "mixture": Mixture(WEIGHTS.expand(B, K), Normal(draw(K, D, seed=6), draw(K, D, seed=7))),
    "von Mises-Fisher": VonMisesFisher(
        torch.nn.functional.normalize(MU, dim=1), torch.full((B,), 3.0)
    ),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_sample_is_at_temperature_one_by_default(name: str) -> None:
    distribution = DISTRIBUTIONS[name]
    drawn = []
    for temperature in ((), (1.0,)):
        torch.manual_seed(8)
        drawn.append(torch.cat([distribution.sample(*temperature) for _ in range(20)]))
    assert torch.equal(*drawn)
    torch.manual_seed(8)
    cold = torch.cat([distribution.sample(0.3) for _ in range(20)])
    assert not torch.equal(cold, drawn[0])
