"""Seeded random draws that leave the caller's random state unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

CPU = torch.device("cpu")


@contextmanager
def fork_rng(seed: int, device: torch.device = CPU) -> Iterator[None]:
    """Seed all draws inside the context and restore the caller's random states afterwards.

    >>> with fork_rng(0):
    ...     first = torch.rand(1)
    >>> with fork_rng(0):
    ...     assert torch.equal(torch.rand(1), first)

    Args:
        seed: seed of all draws.
        device: device of the draws, besides the CPU.
    """
    with torch.random.fork_rng(devices=_cards(device)):
        _seed(seed, device)
        yield


def map_chunks(
    make: Callable[[int], Tensor], starts: Iterable[int], seed: int, device: torch.device = CPU
) -> Iterator[Tensor]:
    """Yield chunks drawn in sequence from one seed, apart from the caller's draws in between.

    Args:
        make: function from the start of a chunk to the chunk.
        starts: starts of the chunks.
        seed: seed of all draws.
        device: device of the draws, besides the CPU.
    """
    cards, states = _cards(device), None
    for start in starts:
        with torch.no_grad(), fork_rng(seed, device):
            if states is not None:
                torch.set_rng_state(states[0])
                for card, state in zip(cards, states[1:], strict=True):
                    torch.cuda.set_rng_state(state, card)
            part = make(start)
            states = [torch.get_rng_state(), *(torch.cuda.get_rng_state(card) for card in cards)]
        yield part


def permutation(n: int, seed: int) -> Tensor:
    """Permutation of 0, …, n − 1 determined by a seed, (n,).

    >>> sorted(permutation(4, seed=0).tolist())
    [0, 1, 2, 3]
    """
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def _seed(seed: int, device: torch.device) -> None:
    # torch.manual_seed formats the stack for every backend that has not started, 2 ms a call, and
    # seeds devices whose states nobody restores.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def _cards(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
