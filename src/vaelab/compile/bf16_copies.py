"""Casts of weights, kept from one call to the next.

w̃ = bf16(w);  y = f(x, w̃);  w ← g(w)      becomes      y = f(x, w̃);  w ← g(w), w̃ ← bf16(g(w))

Where autocast reads every weight once more in each call, the pass that writes it writes its cast.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx

from vaelab.compile.recording import may_change

aten = torch.ops.aten


class Casts:
    """Tensors beside those that they are casts of.

    Args:
        sources: that a program changes together with their casts.
        dtypes: what each is cast to.

    Attributes:
        kept: the casts, as of the last `refresh`.
    """

    def __init__(self, sources: Sequence[Tensor], dtypes: Sequence[torch.dtype]) -> None:
        self.sources = sources
        self.kept = [t.detach().to(d) for t, d in zip(sources, dtypes, strict=True)]
        self.seen = self._states()

    def refresh(self) -> None:
        """Casts anew what others than the program have changed, as a step outside of it does."""
        if (now := self._states()) != self.seen:
            for cast, source in zip(self.kept, self.sources, strict=True):
                cast.copy_(source.detach())
            self.seen = now

    def _states(self) -> list[tuple[int, int]]:
        return [(t._version, t.data_ptr()) for t in self.sources]


def keep_casts(graph: fx.Graph, tensors: Sequence[Tensor]) -> Casts:
    """Makes placeholders, behind all others, of the casts of tensors that a graph changes.

    Args:
        graph: with a placeholder for each tensor; changed in place.
        tensors: of the placeholders.
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
            last = graph.placeholder(f"cast_{len(sources)}")
        with graph.inserting_after(written):
            cast = graph.call_function(aten._to_copy.default, (written.args[1],), node.kwargs)
        with graph.inserting_after(cast):
            graph.call_function(aten.copy_.default, (last, cast))
        node.replace_all_uses_with(last)
        graph.erase_node(node)
        sources.append(tensor_of[source])
        dtypes.append(node.kwargs["dtype"])
    return Casts(sources, dtypes)


def _written_last(place: fx.Node) -> fx.Node | None:
    """The copy into a placeholder behind all its other uses; None where it is otherwise changed."""
    changes = [use for use in place.users if may_change(use, place)]
    if len(changes) != 1 or changes[0].target is not aten.copy_.default:
        return None
    return changes[0] if changes[0] is next(reversed(place.users)) else None
