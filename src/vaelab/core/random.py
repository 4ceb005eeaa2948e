"""Seeded random draws that leave the caller's random state unchanged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

CPU = torch.device("cpu")

ORDER, NOISE = 0, 1
"""Streams of a training: orders by epoch, noise by step."""

_GOLDEN, _WORD = 0x9E3779B97F4A7C15, 2**64


def derive_seed(seed: int, stream: int, index: int) -> int:
    """Seed of one draw of a stream, a function of its number alone.

    Seeds of a stream differ in their lower 32 bits, all that torch's generator on a CPU takes, for
    2³² numbers in a row.

    >>> derive_seed(0, NOISE, 1) == derive_seed(0, NOISE, 1) != derive_seed(0, NOISE, 2)
    True

    Args:
        seed: seed of the training.
        stream: number of the stream.
        index: number of the draw.
    """
    return (_mix(_mix(seed % _WORD) + stream) + index * _GOLDEN) % _WORD


def _mix(x: int) -> int:
    """A permutation of 64-bit words: splitmix64 (Steele, Lea & Flood 2014)."""
    x = (x + _GOLDEN) % _WORD
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % _WORD
    x = (x ^ x >> 27) * 0x94D049BB133111EB % _WORD
    return x ^ x >> 31


def seed_draws(seed: int, device: torch.device = CPU) -> None:
    """Seed torch's generator of the CPU, and that of a device, which costs some microseconds."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


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
