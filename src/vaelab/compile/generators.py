"""State of random generators: torch's, to repeat a call; Python's and NumPy's, to notice draws."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class GeneratorState:
    """State of torch's default generators when it is made.

    Args:
        tensors: the generators of the CPU and of their devices.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.devices = {t.device for t in tensors if t.device.type == "cuda"}
        self.mps = any(t.device.type == "mps" for t in tensors)
        self.states = self._read()

    def restore(self) -> None:
        """Set the generators back."""
        cpu, *rest = self.states
        torch.set_rng_state(cpu)
        if self.mps:
            torch.mps.set_rng_state(rest.pop())
        for device, state in zip(self.devices, rest, strict=True):
            torch.cuda.set_rng_state(state, device)

    def equals(self, other: GeneratorState) -> bool:
        """Return True if both states give the same draws."""
        return all(torch.equal(a, b) for a, b in zip(self.states, other.states, strict=True))

    def _read(self) -> list[Tensor]:
        states = [torch.get_rng_state(), *(torch.cuda.get_rng_state(d) for d in self.devices)]
        return [*states, torch.mps.get_rng_state()] if self.mps else states


class HostGenerators:
    """State of the global generators of Python and NumPy when it is made."""

    def __init__(self) -> None:
        self.states = _host_states()

    def advanced(self) -> str | None:
        """The name of a generator that was drawn from since, or None."""
        now = _host_states()
        return next((name for name, state in self.states.items() if now[name] != state), None)


def _host_states() -> dict[str, Any]:
    found: dict[str, Any] = {"Python's random": random.getstate()}
    if (numpy := sys.modules.get("numpy.random")) is not None:
        kind, keys, *rest = numpy.get_state()
        found["numpy.random"] = (kind, keys.tobytes(), *rest)
    return found
