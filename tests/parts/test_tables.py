"""Tables: columns that differ, counts, what an encoder is shown of them, and the design."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributions as td
from scipy import stats
from torch import nn

from vaelab.data import Batches, Column, Data, DataSpec, load, read_inputs, with_columns
from vaelab.distributions import Bernoulli, Joint, Normal
from vaelab.nets.column_encodings import LogCounts, OneHotEncoding, Views
from vaelab.parts.likelihoods import BernoulliLikelihood, LearnedGaussian
from vaelab.parts.posteriors import bounded
from vaelab.parts.tables import Categories, Mixed, NegativeBinomialCounts, PoissonCounts
from vaelab.recipes.design import Design, compared, fit_likelihood, networks

B = 6


KINDS = ["real", "binary", "categories", "counts", "real"]


def table(n: int = 300, seed: int = 0) -> Data:
    rng = np.random.default_rng(seed)
    columns = [
        rng.normal(5, 2, n),
        rng.integers(0, 2, n),
        rng.integers(0, 4, n),
        rng.negative_binomial(2, 0.02, n),
        rng.normal(0, 50, n),
    ]
    return with_columns(load(np.stack(columns, 1)), KINDS)


def test_a_mixed_likelihood_is_the_sum_of_its_columns() -> None:
    parts = (LearnedGaussian(2), BernoulliLikelihood(), Categories(4), PoissonCounts([3.0]))
    mixed = Mixed(list(zip(parts, ([0, 4], [1], [2], [3]), strict=True)))
    assert not mixed.discrete
    assert mixed.params == 2  # 8 numbers for 5 columns
    h = torch.randn(B, 10)
    x = torch.tensor([[0.3, 1.0, 2.0, 7.0, -1.2]]).expand(B, -1)
    p = mixed(h)
    assert isinstance(p, Joint)
    sigma = bounded(torch.tensor(-1.0)).exp().expand(B, 2)
    expected = td.Normal(h[:, :2], sigma).log_prob(x[:, [0, 4]]).sum(1)
    expected += td.Bernoulli(logits=h[:, 2]).log_prob(x[:, 1])
    expected += td.Categorical(logits=h[:, 3:7]).log_prob(x[:, 2])
    expected += td.Poisson(3 * bounded(h[:, 7]).exp()).log_prob(x[:, 3])
    torch.testing.assert_close(p.log_prob(x), expected)
    for row in (p.mean, p.sample(), p.sample(0.0)):
        assert row.shape == (B, 5)
        assert torch.equal(row[:, 2], row[:, 2].round())
    torch.testing.assert_close(p.mean[:, [0, 4]], h[:, :2])
    assert p.mean[:, 2].tolist() == h[:, 3:7].argmax(1).tolist()
    torch.testing.assert_close(p.mean[:, 3], 3 * bounded(h[:, 7]).exp())
    drawn = mixed(h[:1]).expand(4000).sample()
    p_one = float(torch.sigmoid(h[0, 2].detach()))
    assert float(drawn[:, 1].detach().mean()) == pytest.approx(p_one, abs=0.03)
    assert len(p.tensors()) == 5
    discrete = Mixed([(BernoulliLikelihood(), [1]), (Categories(3), [0])])
    assert discrete.discrete


@pytest.mark.parametrize("places", [([0, 1], [1]), ([0], [2]), ([], [])])
def test_every_column_has_one_likelihood(places: tuple[list[int], list[int]]) -> None:
    with pytest.raises(ValueError, match="each of 0, 1"):
        Mixed([(LearnedGaussian(), places[0]), (BernoulliLikelihood(), places[1])])


def test_columns_of_a_table_are_scaled_or_left_whole() -> None:
    data = table()
    assert data.spec.domain == "mixed"
    assert data.spec.columns == (
        Column("real"), Column("binary"), Column("categories", 4), Column("counts"), Column("real")
    )  # fmt: skip
    raw = data.train.x[:]
    x = data.spec.prepare(raw)
    assert torch.equal(x[:, 1:4], raw[:, 1:4])
    torch.testing.assert_close(x[:, [0, 4]].mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(x[:, [0, 4]].std(0, correction=0), torch.ones(2))
    torch.testing.assert_close(data.spec.restore(x), raw, atol=1e-3, rtol=1e-5)
    torch.testing.assert_close(data.spec.restore(x + 0.2)[:, 1:4], raw[:, 1:4])
    assert DataSpec.from_json(json.loads(json.dumps(data.spec.to_json()))) == data.spec
    old = {k: v for k, v in data.spec.to_json().items() if k != "columns"}
    assert DataSpec.from_json(old).columns == ()


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (KINDS[:4], "4 kinds of columns were given"),
        (["text", *KINDS[1:]], "unknown kinds of columns: text"),
        (["binary", *KINDS[1:]], r"column 0 holds .*; it is of binary, .* from 0 to 1"),
        ([*KINDS[:4], "counts"], r"column 4 holds -.*; it is of counts, .* from 0 on"),
    ],
)
def test_columns_that_are_not_what_is_said_are_refused(kinds: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_columns(table(), kinds)


def test_rows_that_a_run_could_not_have_seen_are_refused() -> None:
    spec = table().spec
    good = np.array([[1.0, 1, 3, 900, -4]], dtype=np.float32)
    assert torch.equal(read_inputs(good, spec)[0], torch.from_numpy(good))
    for place, value in ((1, 2.0), (2, 4.0), (3, -1.0), (3, 0.5)):
        bad = good.copy()
        bad[0, place] = value
        with pytest.raises(ValueError, match=f"column {place} holds"):
            read_inputs(bad, spec)


def test_spec_refuses_columns_that_contradict_it() -> None:
    spec = table().spec
    for columns, message in (
        ((Column("real"),) * 2, "one for all or 5"),
        ((Column("text"),) * 5, "'text'"),
        ((Column("categories", 1),) * 5, "2 or more categories"),
        ((Column("real", 3),) * 5, "2 or more categories"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(spec, columns=columns)
    with pytest.raises(ValueError, match=r"these are mixed values"):
        replace(spec, binarize="dynamic")
    with pytest.raises(ValueError, match="columns"):
        DataSpec.from_json(spec.to_json() | {"columns": ["real"]})


def test_an_encoder_is_shown_what_it_can_read() -> None:
    k = torch.from_numpy(np.random.default_rng(0).lognormal(4, 1, (5000, 2)).round()).float()
    seen = LogCounts(k.mean(0).tolist(), k.std(0).tolist())(k)
    torch.testing.assert_close(seen.mean(0), torch.zeros(2), atol=0.15, rtol=0)
    torch.testing.assert_close(seen.std(0), torch.ones(2), atol=0.15, rtol=0)
    assert OneHotEncoding(3)(torch.tensor([[2.0, 0.0]])).tolist() == [[0, 0, 1, 1, 0, 0]]
    shown = Views([(nn.Identity(), [1]), (OneHotEncoding(2), [0])])(torch.tensor([[1.0, 5.0]]))
    assert shown.tolist() == [[5, 0, 1]]


def count_table(n: int = 200) -> Data:
    return load(np.random.default_rng(1).negative_binomial(2, 0.02, (n, 3)).astype(np.float32))


def test_whole_numbers_of_a_table_are_counts_and_stay_so() -> None:
    data = count_table()
    assert data.spec.domain == "counts"
    raw = data.train.x[:5]
    assert torch.equal(data.spec.prepare(raw), raw)
    assert torch.equal(data.spec.restore(raw + 0.3), raw)
    assert load(data.train.x[:] - 1).spec.domain == "real"
    assert load(data.train.x[:] + 0.5).spec.domain == "real"


def test_counts_get_a_negative_binomial_and_say_why() -> None:
    fitted = fit_likelihood(Design(), count_table().spec)
    assert isinstance(fitted.likelihood, NegativeBinomialCounts)
    assert fitted.likelihood.discrete
    assert fitted.data.domain == "counts"
    # It begins with the variance of the data, where that is above the mean.
    m, s = (torch.tensor(numbers) for numbers in (fitted.data.offset, fitted.data.scale))
    wide = s**2 > 1.1 * m
    assert wide.any()
    r = fitted.likelihood.log_r.detach().exp()
    assert torch.allclose((m + m**2 / r)[wide], (s**2)[wide], rtol=1e-4)
    assert "the data is counts (whole numbers, 0 to" in fitted.reason
    years = np.random.default_rng(0).integers(1950, 2020, (100, 2))
    other = fit_likelihood(Design(), load(years).spec)
    assert other.reason.startswith("gaussian: ")
    assert "too little for counts" in other.reason
    x = other.data.prepare(load(years).train.x)
    assert float(x.std()) == pytest.approx(1, abs=0.05)  # standardised, as to any gaussian


def test_a_table_of_different_columns_gets_a_likelihood_for_each_kind() -> None:
    fitted = fit_likelihood(Design(), table().spec)
    assert isinstance(fitted.likelihood, Mixed)
    assert fitted.reason.endswith("(2 real, 1 binary, 1 categories, 1 counts)")
    assert fitted.likelihood.columns == ((0, 4), (1,), (2,), (3,))
    pair = networks(Design(width=8), fitted.data)
    x = next(Batches(table().train.x, fitted.data).fixed(4, 0))
    assert pair.encoder(fitted.data.shape, 6)(x).shape == (4, 6)
    h = pair.decoder(2, fitted.data.shape, fitted.likelihood.params)(torch.randn(4, 2))
    assert fitted.likelihood(h).log_prob(x).isfinite().all()


def incomes(n: int = 400) -> Data:
    x = np.exp(np.random.default_rng(2).normal([10, -2], [0.8, 1.5], (n, 2)))
    return with_columns(load(x), ["positive", "positive"])


def test_positive_columns_keep_their_own_units() -> None:
    data = incomes()
    raw = data.train.x[:]
    x = data.spec.prepare(raw)
    assert torch.equal(x, raw)
    assert torch.equal(data.spec.restore(x), raw)
    logs = np.log(raw.numpy().astype(np.float64))
    assert data.spec.offset == pytest.approx(logs.mean(0).tolist(), rel=1e-6)
    assert data.spec.scale == pytest.approx(logs.std(0).tolist(), rel=1e-6)
    fitted = fit_likelihood(Design(), data.spec)
    h = torch.randn(len(x), 2)
    p = fitted.likelihood(h)
    centre = logs.mean(0) + logs.std(0) * (10 * np.tanh(h.numpy() / 10))
    sigma = logs.std(0) * np.exp(10 * np.tanh(-0.1))
    reference = stats.lognorm(sigma, scale=np.exp(centre)).logpdf(raw.numpy()).sum(1)
    assert np.allclose(p.log_prob(x).detach(), reference, rtol=1e-4, atol=1e-3)
    assert float(p.sample(3.0).detach().min()) > 0
    seen = networks(Design(width=8), data.spec).encoder((2,), 2)[0](x)  # type: ignore[index]
    torch.testing.assert_close(seen.mean(0), torch.zeros(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen.std(0, correction=0), torch.ones(2), atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="column 1 holds -1; it is of positive numbers"):
        read_inputs(np.array([[1.0, -1.0]], dtype=np.float32), data.spec)
    assert DataSpec.from_json(json.loads(json.dumps(data.spec.to_json()))) == data.spec


def test_the_same_density_whatever_the_units() -> None:
    """Incomes in pence: 100 times as much, so log 100 nats less dense in each column."""
    pounds, pence = incomes(), with_columns(load(100 * incomes().train.x[:]), ["positive"] * 2)
    h, x = torch.randn(5, 2), pounds.train.x[:5]
    density = [
        fit_likelihood(Design(), replace(d.spec, offset=offset, scale=(1.0, 1.0)))
        .likelihood(h)
        .log_prob(k * x)
        for d, k, offset in (
            (pounds, 1.0, (10.0, -2.0)),
            (pence, 100.0, (10 + math.log(100), -2 + math.log(100))),
        )
    ]
    torch.testing.assert_close(density[0] - density[1], torch.full((5,), 2 * math.log(100)))


@pytest.mark.parametrize("name", ["auto", "gaussian", "laplace", "student"])
def test_columns_that_are_all_real_take_any_density(name: str) -> None:
    x = np.random.default_rng(0).normal([0, 50], [1, 9], (100, 2))
    data = with_columns(load(x), ["real", "real"])
    assert data.spec.domain == "real"
    fitted = fit_likelihood(Design(likelihood=name), data.spec)  # type: ignore[arg-type]
    # Each column is as sharp as it is.
    assert {tuple(p.shape) for p in fitted.likelihood.parameters()} == {(2,)}
    assert fitted.likelihood(torch.zeros(3, 2)).log_prob(torch.zeros(3, 2)).shape == (3,)
    assert fitted.reason.startswith("gaussian: all columns are real" if name == "auto" else name)


def test_a_table_of_one_column_stays_whole() -> None:
    data = with_columns(load(np.arange(60)[:, None] % 3), ["categories"])
    raw = data.train.x[:]
    assert torch.equal(data.spec.prepare(raw), raw)


def test_what_is_compared_costs_alike_in_every_column() -> None:
    rng = np.random.default_rng(0)
    n = 4000
    columns = [rng.normal(5, 2, n), rng.lognormal(3, 1, n), rng.negative_binomial(2, 0.02, n)]
    columns += [rng.integers(0, 2, n), rng.integers(0, 4, n)]
    kinds = ["real", "positive", "counts", "binary", "categories"]
    data = with_columns(load(np.stack(columns, 1)), kinds)
    view = compared(data.spec)
    x = data.spec.prepare(data.train.x[:])
    seen = view(x)
    apart = (seen - seen.roll(1, 0)).square().mean(0)
    assert seen.shape[1] == 3 + 2 + 4
    # Of numbers, the mean square between two rows is twice the variance; of names, 2 where they
    # differ, whichever they are.
    torch.testing.assert_close(apart[:2], torch.full((2,), 2.0), atol=0.3, rtol=0)
    assert 1 < float(apart[2]) < 4  # of counts about so, by their moments
    row = x[:1].repeat(4, 1)
    row[:, 4] = torch.arange(4.0)
    assert torch.equal(torch.cdist(view(row), view(row)).square().round(), 2 - 2 * torch.eye(4))
    row[:, 4], row[:2, 3], row[2:, 3] = 0, 0, 1
    assert float((view(row)[0] - view(row)[3]).square().sum()) == 2
    images = load(rng.integers(0, 255, (50, 4, 4), dtype=np.uint8)).spec
    assert isinstance(compared(images), nn.Identity)


@pytest.mark.parametrize(
    ("likelihood", "kind", "message"),
    [
        ("poisson", "real", "for counts data, but this data is real.*taken for counts"),
        ("negative-binomial", "grey", r"this data is levels.*Use one of: .*logistic-mixture"),
        ("zero-inflated", "mixed", r"this data is mixed.*Use one of: mixed\."),
        ("bernoulli", "counts", r"Use one of: .*student, poisson, negative-binomial"),
        ("logistic-mixture", "counts", "this data is counts"),
        ("gaussian", "mixed", r"Use one of: mixed\."),
        ("laplace", "positive", r"this data is mixed.*Use one of: mixed\."),
        ("mixed", "real", "this data is real.*with_columns says what each column"),
    ],
)
def test_a_likelihood_that_does_not_fit_is_refused(
    likelihood: str, kind: str, message: str
) -> None:
    rng = np.random.default_rng(0)
    specs = {
        "real": lambda: load(rng.normal(size=(50, 2))).spec,
        "grey": lambda: load(rng.integers(0, 256, (50, 4, 4), dtype=np.uint8)).spec,
        "mixed": lambda: table().spec,
        "counts": lambda: count_table().spec,
        "positive": lambda: incomes().spec,
    }
    with pytest.raises(ValueError, match=message):
        fit_likelihood(Design(likelihood=likelihood), specs[kind]())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["poisson", "zero-inflated", "auto"])
def test_a_model_of_counts_finds_what_generated_them(name: str) -> None:
    """Two sorts of rows whose means differ: the distortion comes near the counts' own entropy."""
    rng = np.random.default_rng(0)
    sort = rng.integers(0, 2, (400, 1))
    rates = np.where(sort == 0, [[3.0, 60.0, 9.0]], [[30.0, 6.0, 9.0]])
    data = load(rng.poisson(rates).astype(np.float32))
    fitted = fit_likelihood(Design(likelihood=name), data.spec)  # type: ignore[arg-type]
    x = fitted.data.prepare(data.train.x[:])
    encoder = networks(Design(width=16), fitted.data).encoder((3,), 1)
    decoder = nn.Sequential(
        nn.Linear(1, 16), nn.GELU(), nn.Linear(16, 3 * fitted.likelihood.params)
    )
    model = nn.ModuleList([encoder, decoder, fitted.likelihood])
    optimizer = torch.optim.Adam(model.parameters(), 2e-2)
    for _ in range(120):
        loss = -fitted.likelihood(decoder(torch.tanh(encoder(x)))).log_prob(x).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    entropy = -stats.poisson(rates).logpmf(rng.poisson(rates)).sum(1).mean()
    assert entropy - 0.5 < float(loss.detach()) < entropy + 0.5


def test_normals_are_still_one_sigma_for_all() -> None:
    mu = torch.zeros(2, 3)
    p = LearnedGaussian()(mu)
    assert isinstance(p, Normal)
    assert LearnedGaussian().log_sigma.shape == ()
    assert isinstance(BernoulliLikelihood()(mu), Bernoulli)
