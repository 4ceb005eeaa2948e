"""Draws that come from a seed and leave the caller's random state alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

CPU = torch.device("cpu")


@contextmanager
def fork_rng(seed: int, device: torch.device = CPU) -> Iterator[None]:
    """Draws inside come from a seed; the caller's random states are left alone.

    Args:
        seed: of all draws.
        device: where draws are made, beside the CPU.
    """
    with torch.random.fork_rng(devices=_cards(device)):
        torch.manual_seed(seed)
        yield


def map_chunks(
    make: Callable[[int], Tensor], starts: Iterable[int], seed: int, device: torch.device = CPU
) -> Iterator[Tensor]:
    """Parts drawn one after another from one seed; in between, the caller's draws are its own.

    Args:
        make: a part, from where it starts.
        starts: of the parts.
        seed: of all draws.
        device: where draws are made, beside the CPU.
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
    """The numbers 0 to n − 1 in an order that a seed decides, (n,)."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def _cards(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
