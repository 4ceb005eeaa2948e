"""Every row once; the same black and white at every batch size."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vaelab.data import Batches, DataSpec
from vaelab.data.loading.batches import bernoulli

N = 2500  # more than two of the chunks in which `fixed` draws
SPEC = DataSpec("array", (4,), "uint8", 256, 0, 255, (0.0,), (255.0,))
RAW = torch.randint(0, 256, (N, 4), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
DYNAMIC = Batches(RAW, replace(SPEC, binarize="dynamic"))
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.mark.parametrize("device", DEVICES)
@given(size=st.integers(1, 40), n=st.integers(1, 60))
@settings(max_examples=20, deadline=None)
def test_an_epoch_has_every_row_once(device: str, size: int, n: int) -> None:
    raw = torch.arange(n, dtype=torch.uint8)[:, None].expand(n, 4)
    seen = [batch.x for batch in Batches(raw, SPEC, device).epoch(size)]
    assert [len(x) for x in seen[:-1]] == [size] * (len(seen) - 1)
    assert len(seen[-1]) == (n - 1) % size + 1
    rows = (torch.cat(seen)[:, 0] * 255).round().int().cpu()
    assert rows.sort().values.tolist() == list(range(n))


@pytest.mark.parametrize("device", DEVICES)
def test_orders_are_fresh_but_repeatable(device: str) -> None:
    batches = Batches(RAW, SPEC, device)
    g = torch.Generator(device).manual_seed(3)
    first, second = (torch.cat([b.x for b in batches.epoch(64, g)]) for _ in range(2))
    again = torch.cat([b.x for b in batches.epoch(64, torch.Generator(device).manual_seed(3))])
    assert not torch.equal(first, second)
    assert torch.equal(first, again)
    assert first.dtype == torch.float32
    assert first.device.type == device


@given(size=st.integers(1, N + 10), seed=st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_fixed_does_not_depend_on_the_batch_size(size: int, seed: int) -> None:
    whole = next(DYNAMIC.fixed(N, seed))
    assert torch.equal(torch.cat(list(DYNAMIC.fixed(size, seed))), whole)


def test_fixed_depends_on_the_seed_alone() -> None:
    one = next(DYNAMIC.fixed(N, 1))
    other = next(DYNAMIC.fixed(N, 2))
    assert not torch.equal(one, other)
    assert torch.equal(next(Batches(RAW, DYNAMIC.spec).fixed(N, 1)), one)
    assert set(one.unique().tolist()) == {0.0, 1.0}


@pytest.mark.skipif(len(DEVICES) == 1, reason="no second device")
def test_fixed_is_the_same_on_every_device() -> None:
    other = Batches(RAW, DYNAMIC.spec, DEVICES[1])
    assert torch.equal(next(other.fixed(N, 1)).cpu(), next(DYNAMIC.fixed(N, 1)))


def test_binarization_has_the_right_mean() -> None:
    raw = torch.full((4000, 4), 51, dtype=torch.uint8)  # x = 0.2
    batches = Batches(raw, DYNAMIC.spec)
    for x in (next(batches.fixed(4000, 0)), next(batches.epoch(4000)).x):
        # The standard error is √(0.2 · 0.8 / 16,000) = 0.0032.
        assert float(x.mean()) == pytest.approx(0.2, abs=0.016)


def test_black_and_white_stay_black_and_white() -> None:
    raw = torch.tensor([[0, 255, 0, 255]] * 3000, dtype=torch.uint8)
    batches = Batches(raw, DYNAMIC.spec)
    for x in (next(batches.fixed(3000, 0)), next(batches.epoch(3000)).x):
        assert torch.equal(x, raw.float() / 255)


def test_dynamic_binarization_is_fresh_each_epoch() -> None:
    one_row = Batches(torch.full((1, 4), 128, dtype=torch.uint8), DYNAMIC.spec)
    g = torch.Generator().manual_seed(0)
    drawn = {tuple(next(one_row.epoch(1, g)).x[0].tolist()) for _ in range(50)}
    assert len(drawn) > 5


def test_without_binarization_fixed_is_prepared_rows_in_order() -> None:
    batches = Batches(RAW, SPEC)
    assert torch.equal(torch.cat(list(batches.fixed(7, 0))), SPEC.prepare(RAW))
    assert len(batches) == N


def test_wrong_rows_and_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="are expected"):
        Batches(torch.zeros(3, 5), SPEC)
    with pytest.raises(ValueError, match="are expected"):
        Batches(torch.zeros(0, 4), SPEC)
    with pytest.raises(ValueError, match="batch_size should be at least 1"):
        next(Batches(RAW, SPEC).epoch(0))
    with pytest.raises(ValueError, match="batch_size should be at least 1"):
        next(Batches(RAW, SPEC).fixed(-1, 0))


def test_drawn_bits_follow_the_law_exactly_at_both_ends() -> None:
    x = torch.tensor([0.0, 1 / 255, 0.25, 0.5, 254 / 255, 1.0]).repeat(200_000, 1)
    b = bernoulli(x, torch.Generator().manual_seed(0))
    assert set(b.unique().tolist()) == {0.0, 1.0}
    seen, p = b.mean(0), x[0]
    assert seen[0] == 0
    assert seen[-1] == 1
    assert ((seen - p).abs() <= 4 * (p * (1 - p) / len(x)).sqrt() + 2**-16).all()
