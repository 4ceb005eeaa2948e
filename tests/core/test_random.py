"""Draws from a seed, and the caller's own random state beside them."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from vaelab.core import random
from vaelab.core.random import fork_rng, map_chunks, permutation


def drawn(seed: int, n: int) -> Tensor:
    return torch.randn(n, generator=torch.Generator().manual_seed(seed))


def test_fork_rng_draws_from_the_seed_and_leaves_the_callers_state() -> None:
    torch.manual_seed(3)
    expected = torch.randn(2)
    torch.manual_seed(3)
    first = torch.randn(1)
    with fork_rng(7):
        assert torch.equal(torch.randn(4), drawn(7, 4))
    assert torch.equal(torch.cat([first, torch.randn(1)]), expected)


def test_map_chunks_is_one_sequence_of_draws_whatever_happens_in_between() -> None:
    torch.manual_seed(3)
    expected = torch.randn(3)
    torch.manual_seed(3)
    weight = torch.ones((), requires_grad=True)
    parts, own = [], []
    for part in map_chunks(lambda start: start + weight * torch.randn(2), (0, 10, 20), 7):
        parts.append(part)
        own.append(torch.randn(1))
    with fork_rng(7):
        whole = torch.cat([start + torch.randn(2) for start in (0, 10, 20)])
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(torch.cat(own), expected)
    assert not any(part.requires_grad for part in parts)


def test_map_chunks_goes_on_from_the_state_of_its_card(monkeypatch: pytest.MonkeyPatch) -> None:
    state = torch.tensor([0])  # of the card: the number of draws so far
    monkeypatch.setattr(random, "_cards", lambda device: [device])
    monkeypatch.setattr(random, "fork_rng", lambda seed, device: nullcontext(state.zero_()))
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda card: state.clone())
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda kept, card: state.copy_(kept))
    device = torch.device("cuda", 0)
    parts = list(map_chunks(lambda start: state.add_(1).clone(), (0, 5, 10), 7, device))
    assert torch.cat(parts).tolist() == [1, 2, 3]


def test_permutation_is_one_of_all_numbers_and_the_seeds_own() -> None:
    order = permutation(50, 1)
    assert order.sort().values.tolist() == list(range(50))
    assert torch.equal(order, torch.randperm(50, generator=torch.Generator().manual_seed(1)))
    assert order.tolist() != permutation(50, 2).tolist()


def test_fork_rng_leaves_every_device_alone_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(seed: int) -> None:
        raise AssertionError("every device was seeded, and its lazy start was formatted as a stack")

    for module in (torch.cuda, torch.xpu):
        monkeypatch.setattr(module, "manual_seed_all", fail)
    with fork_rng(7):
        assert torch.equal(torch.randn(4), drawn(7, 4))
