"""Low-precision copies of weights, kept from one call to the next.

w̃ = bf16(w);  y = f(x, w̃);  w ← g(w)      becomes      y = f(x, w̃);  w ← g(w), w̃ ← bf16(g(w))

Autocast reads every weight once more in each call; here the pass that writes a weight also writes
its copy.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx

from vaelab.compile.recording import may_change

aten = torch.ops.aten


class LowPrecisionCopies:
    """Copies of tensors in another dtype, made anew whenever other code has written their sources.

    Writes are noticed by version counters and addresses. A write through `.data` counts as none:
    whoever makes one, or lets other code run, calls `forget`.

    Args:
        sources: tensors that a program changes together with their copies.
        dtypes: dtype of each copy.

    Attributes:
        kept: the copies, as of the last `refresh`.
    """

    def __init__(self, sources: Sequence[Tensor], dtypes: Sequence[torch.dtype]) -> None:
        self.sources = sources
        self.kept = [t.detach().to(d) for t, d in zip(sources, dtypes, strict=True)]
        self.seen: list[tuple[int, int]] | None = self._states()

    def refresh(self) -> None:
        """Copy the sources again if other code than the program has changed them."""
        if (now := self._states()) != self.seen:
            for kept, source in zip(self.kept, self.sources, strict=True):
                kept.copy_(source.detach())
            self.seen = now

    def forget(self) -> None:
        """Make the next `refresh` copy all sources."""
        self.seen = None

    def _states(self) -> list[tuple[int, int]]:
        # `_version` is private to torch: its count of writes to a tensor. If it goes, copy in every
        # `refresh`; test_a_copy_follows_a_weight_that_other_code_writes fails first.
        return [(t._version, t.data_ptr()) for t in self.sources]


def keep_copies(graph: fx.Graph, tensors: Sequence[Tensor]) -> LowPrecisionCopies:
    """Turn casts of tensors that a graph writes into placeholders, after all others.

    Args:
        graph: has a placeholder for each tensor; changed in place.
        tensors: values of the placeholders.
    """
    places = list(graph.find_nodes(op="placeholder"))
    tensor_of = dict(zip(places, tensors, strict=True))
    last, sources, dtypes = places[-1], list[Tensor](), list[torch.dtype]()
    for node in graph.find_nodes(op="call_function", target=aten._to_copy.default):
        source = node.args[0]
        written = _written_last(source) if source in tensor_of else None
        if written is None or set(node.kwargs) != {"dtype"}:
            continue
        with graph.inserting_after(last):
            last = graph.placeholder(f"copy_{len(sources)}")
        with graph.inserting_after(written):
            cast = graph.call_function(aten._to_copy.default, (written.args[1],), node.kwargs)
        with graph.inserting_after(cast):
            graph.call_function(aten.copy_.default, (last, cast))
        node.replace_all_uses_with(last)
        graph.erase_node(node)
        sources.append(tensor_of[source])
        dtypes.append(node.kwargs["dtype"])
    return LowPrecisionCopies(sources, dtypes)


def _written_last(place: fx.Node) -> fx.Node | None:
    """The copy into a placeholder after all its other uses, or None if it is changed otherwise.

    Stricter than results need: a copy is rewritten right behind its weight, so that a weight that
    is read again after the write would be read correctly, too.
    """
    changes = [use for use in place.users if may_change(use, place)]
    if len(changes) != 1 or changes[0].target is not aten.copy_.default:
        return None
    return changes[0] if changes[0] is next(reversed(place.users)) else None
