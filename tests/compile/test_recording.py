"""What a function does, written down: the same list is the same function, and reasons are said."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vaelab.compile.recording import Recording, recording

X = torch.linspace(-1, 1, 6).view(2, 3)


def record(function: Callable[[Tensor], Tensor], x: Tensor = X) -> tuple[Recording, Tensor]:
    seen = Recording([x])
    with seen:
        found = function(x)
    seen.close([found])
    return seen, found


def trained(layer: nn.Linear, x: Tensor) -> Tensor:
    """Forwards, backwards and a step, with noise: all that a program has to do."""
    with torch.autocast("cpu", torch.bfloat16):
        y = torch.sigmoid(layer(x))
    loss = ((y.float() + torch.randn_like(x[:, :2])) ** 2).mean()
    gradients = torch.autograd.grad(loss, list(layer.parameters()))
    with torch.no_grad():
        for p, g in zip(layer.parameters(), gradients, strict=True):
            p.sub_(0.1 * g)
    return loss.detach()


def test_what_was_written_down_does_what_the_call_did() -> None:
    layer, again = nn.Linear(3, 2), nn.Linear(3, 2)
    again.load_state_dict(layer.state_dict())
    torch.manual_seed(1)
    seen, loss = record(lambda x: trained(layer, x))
    assert seen.unsupported_reason is None
    assert {id(t) for t in seen.captured} == {id(p) for p in layer.parameters()}
    torch.manual_seed(1)
    with torch.no_grad():
        (other,) = seen.module()(X, *(again.get_parameter(n) for n in named(seen, layer)))
    assert torch.equal(other, loss)
    for p, q in zip(layer.parameters(), again.parameters(), strict=True):
        assert torch.equal(p, q)


def test_a_number_that_is_added_to_in_place_is_itself_again_in_the_next_call() -> None:
    def summed(x: Tensor) -> Tensor:
        total = torch.tensor(0.5)
        for row in x:
            total += row.sum()
        return total

    seen, found = record(summed, X + 1)
    for _ in range(2):
        (again,) = seen.module()(X + 1)
        assert torch.equal(again, found)


def named(seen: Recording, layer: nn.Module) -> list[str]:
    names = {id(p): name for name, p in layer.named_parameters()}
    return [names[id(t)] for t in seen.captured]


def test_the_same_has_the_same_digest_and_anything_else_another() -> None:
    w, other = torch.ones(3), torch.ones(3)
    digest = record(lambda x: x * w + 2.0)[0].digest()
    assert record(lambda x: x * other + 2.0)[0].digest() == digest
    different: list[tuple[Callable[[Tensor], Tensor], Tensor]] = [
        (lambda x: x * w + 2.5, X),
        (lambda x: x + w * 2.0, X),
        (lambda x: x * w + 2.0, X.double()),
        (lambda x: x * w + 2.0, torch.ones(4, 3)),
        (lambda x: x * w + 2.0, X.T.contiguous().T),
        (lambda x: x * torch.ones(1, 3) + 2.0, X),
        (lambda x: x * w + torch.tensor(2.0), X),
    ]
    found = [record(function, x)[0].digest() for function, x in different]
    assert len({digest, *found}) == 1 + len(different)
    # A constant counts by its value.
    two = [record(lambda x, c=c: x + torch.tensor(c))[0].digest() for c in (1.0, 2.0, 1.0)]
    assert two[0] == two[2] != two[1]


def test_what_no_program_could_do_is_said_and_the_call_goes_on() -> None:
    generator = torch.Generator().manual_seed(0)
    w = torch.ones(4)
    reasons: dict[str, Callable[[Tensor], Tensor]] = {
        "reads the values": lambda x: x if float(x.sum()) > 0 else x + 1,
        "reads the values of": lambda x: x[x > 0],
        "by tolist": lambda x: x if x.sum(1).tolist()[0] > 0 else x + 1,
        "by numpy": lambda x: x if x.numpy().sum() > 0 else x + 1,
        "by __array__": lambda x: x if np.asarray(x).sum() > 0 else x + 1,
        "a random generator of its own": lambda x: x + torch.rand(3, generator=generator),
        "a sparse tensor": lambda x: torch.sparse.mm(SPARSE, x.T),
        "share memory": lambda x: x * A.mul_(1) + B,
        "did not compute": lambda x: w,
    }
    for reason, function in reasons.items():
        seen, found = record(function)
        assert seen.unsupported_reason is not None
        assert reason in seen.unsupported_reason
        assert isinstance(found, Tensor)


def test_tensors_that_share_their_memory_may_be_read() -> None:
    """As the offsets and scales of a table's columns."""
    seen, found = record(lambda x: x * A + B)
    assert seen.unsupported_reason is None
    (again,) = seen.module()(X, A, B)
    assert torch.equal(again, found)


A, B = torch.ones(4).split([3, 1])
SPARSE = torch.eye(3).to_sparse()


def test_one_tensor_in_two_places_is_told_from_two_that_may_differ() -> None:
    assert Recording([X, X]).unsupported_reason == "one tensor is passed twice"
    assert Recording([X, X + 1]).unsupported_reason is None


def test_calls_that_differ_are_told_apart() -> None:
    class Counting:
        n, kept = 0, torch.zeros(3)

        def grows(self, x: Tensor) -> Tensor:
            self.n += 1
            return x + self.n

        def multiplies(self, x: Tensor) -> Tensor:
            self.n += 1
            return x * torch.tensor(float(self.n))

        def replaces(self, x: Tensor) -> Tensor:
            self.kept = self.kept + 1
            return x + self.kept

        def stays(self, x: Tensor) -> Tensor:
            self.kept += 1
            return x + self.kept

    one = Counting()
    for function, why in (
        (one.grows, "operators differ"),
        (one.multiplies, "operators differ"),
        (one.replaces, "replaces tensors of its own"),
        (one.stays, None),
    ):
        first, second = record(function)[0], record(function)[0]
        found = second.difference(first)
        assert found is None if why is None else found is not None and why in found


def test_only_while_it_is_entered_something_is_recorded() -> None:
    assert not recording()
    with Recording([X]):
        assert recording()
    assert not recording()
    with pytest.raises(KeyError), Recording([X]):
        raise KeyError
    assert not recording()
