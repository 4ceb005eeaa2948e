"""What a function of tensors does: the operators that a call of it comes to, written down.

Below autograd, autocast and vmap there are only operators on tensors, and what a call decided in
Python is decided. The list of them, forwards and backwards, is a function of the same tensors.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from operator import getitem
from typing import Any

import torch
from torch import Generator, Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_any, tree_leaves, tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

aten = torch.ops.aten

LOOKS = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
"""What an operator is tagged with that makes numbers, or shapes, of the values of tensors."""

TAKES = (Tensor.tolist, Tensor.numpy, Tensor.__array__)
"""What hands out the values of tensors without an operator."""

Layout = tuple[torch.Size, tuple[int, ...], torch.dtype, torch.device]


class Recording(TorchDispatchMode):
    """While it is entered, every operator runs and is written down.

    Args:
        inputs: of the call; other tensors that the call finds are taken from outside.

    Attributes:
        graph: the operators, with a placeholder for every input and for every tensor from outside.
        outside: those tensors, in the order of their placeholders, after the inputs.
        given: how the inputs are laid out.
        text: what is written, once it is closed.
        why: the first thing that no program could do, in words; None where there is nothing.
    """

    active = 0

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = fx.Graph()
        self.nodes = WeakTensorKeyDictionary()
        self.outside: list[Tensor] = []
        self.constants: dict[str, Tensor] = {}
        self.layouts: list[Layout] = []
        self.last: fx.Node | None = None
        self.why: str | None = None
        self.text = ""
        self.takes = Takes()
        for x in inputs:
            self._place(x)
        self.given = list(self.layouts)
        if len(self.nodes) < len(inputs):
            self.why = "it is given one tensor twice"

    def __enter__(self) -> Recording:
        Recording.active += 1
        self.takes.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        Recording.active -= 1
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self.takes.__exit__(*error)  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # To have itself left out of what is compiled, a mode imports the whole compiler.
        return False

    def __torch_dispatch__(
        self, op: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        given = self._written(op, args, kwargs) if self.why is None else None
        found = op(*args, **kwargs)
        if given is not None:
            self._write(op, given, found)
        return found

    def close(self, outputs: Sequence[Any]) -> None:
        """The last line: what the call returned."""
        self.why = self.why or self.takes.why
        if self.why is None and not all(isinstance(y, Tensor) and y in self.nodes for y in outputs):
            self.why = "it returns what it did not compute"
        if self.why is None:
            self.graph.output([self.nodes[y] for y in outputs])
            self.text = self.written()
            self.why = self._shared()

    def _shared(self) -> str | None:
        """Whether it changes memory that it knows by two names, in words."""
        named = Counter(t.untyped_storage().data_ptr() for t in self.outside if t.numel())
        for t in self.outside:
            place = self.nodes[t]
            if named[t.untyped_storage().data_ptr()] > 1 and any(
                may_change(use, place) for use in place.users
            ):
                return "it changes one of two tensors that share their memory"
        return None

    def differs(self, other: Recording) -> str | None:
        """Why this is not what another call did, in words; None where it is."""
        if self.text != other.text:
            return "it does not do the same at every call"
        if any(a is not b for a, b in zip(self.outside, other.outside, strict=True)):
            return "it replaces tensors of its own, rather than change them in place"
        return None

    def written(self) -> str:
        """The operators, the numbers in them, and how the tensors they are given are laid out."""
        constants = [(name, layout(t), t.tolist()) for name, t in self.constants.items()]
        return f"{self.graph}{self.layouts}{constants}"

    def digest(self) -> str:
        """Of what is written."""
        return hashlib.sha256(self.written().encode()).hexdigest()

    def module(self) -> fx.GraphModule:
        """The operators as a function of the inputs and of the tensors from outside."""
        return fx.GraphModule(dict(self.constants), self.graph)

    def bound(self) -> fx.GraphModule:
        """The operators as a function of the inputs alone; the tensors from outside are its own."""
        own = dict(self.constants)
        graph, known = fx.Graph(), dict[fx.Node, fx.Node]()
        places = list(self.graph.find_nodes(op="placeholder"))
        split = len(places) - len(self.outside)
        for place in places[:split]:
            known[place] = graph.placeholder(place.name)
        for place, t in zip(places[split:], self.outside, strict=True):
            own[place.name] = t.detach()
            known[place] = graph.get_attr(place.name)
        graph.output(graph.graph_copy(self.graph, known))
        module = nn.Module()
        for name, t in own.items():
            module.register_buffer(name, t)
        return fx.GraphModule(module, graph)

    def _written(self, op: Any, args: Any, kwargs: Any) -> Any:
        """The arguments as the graph has them; None where there can be no graph."""
        if any(tag in op.tags for tag in LOOKS) and not _by_number(op, args):
            self.why = f"it looks at the values of its tensors, by {op}"
        elif tree_any(lambda a: isinstance(a, Generator), (args, kwargs)):
            self.why = f"it draws from a random generator of its own, by {op}"
        if self.why is not None:
            return None
        # What Python had made a tensor of: a number, and no tensor that may change.
        if op is aten.lift_fresh.default and args[0] not in self.nodes:
            name = f"constant_{len(self.constants)}"
            self.constants[name] = args[0].clone()
            # A copy, so that what is added to it in place is not there in the next call.
            number = (self.graph.get_attr(name),)
            self.nodes[args[0]] = self.graph.call_function(aten.lift_fresh_copy.default, number)
        return tree_map_only(Tensor, self._node, (args, kwargs))

    def _write(self, op: Any, given: Any, found: Any) -> None:
        leaves = tree_leaves(found)
        if not any(isinstance(leaf, Tensor) for leaf in leaves) and not op._schema.is_mutable:
            return
        node = self.graph.call_function(op, *given)
        if isinstance(found, Tensor):
            self._name(found, node)
        elif isinstance(found, tuple | list):
            for i, part in enumerate(found):
                if isinstance(part, Tensor):
                    self._name(part, self.graph.call_function(getitem, (node, i)))

    def _name(self, t: Tensor, node: fx.Node) -> None:
        # What an operator changed in place keeps its first name, under which the change is seen.
        if t not in self.nodes:
            self.nodes[t] = node

    def _node(self, t: Tensor) -> fx.Node:
        if t not in self.nodes:
            self.outside.append(t)
            self._place(t)
        return self.nodes[t]

    def _place(self, t: Tensor) -> None:
        if t.layout is not torch.strided:
            self.why = "it is given a sparse tensor"
        where = self.graph._root if self.last is None else self.last
        with self.graph.inserting_after(where):
            self.last = self.graph.placeholder(f"t{len(self.layouts)}")
        self.nodes[t] = self.last
        self.layouts.append(layout(t))


class Takes(TorchFunctionMode):
    """While it is entered, what takes values out of tensors is noticed.

    Attributes:
        why: what was taken first, in words; None where nothing was.
    """

    why: str | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in TAKES and self.why is None:
            self.why = f"it looks at the values of its tensors, by {func.__name__}"
        return func(*args, **(kwargs or {}))


def may_change(use: fx.Node, place: fx.Node) -> bool:
    """Whether a use writes into a placeholder, or gives a view of it, which may be written into."""
    if use.op != "call_function":
        return False
    arguments = use.target._schema.arguments  # type: ignore[union-attr]
    given = dict(zip((a.name for a in arguments), use.args, strict=False)) | use.kwargs
    shared = [given.get(a.name) for a in arguments if a.alias_info is not None]
    return place in tree_leaves(shared)


def _by_number(op: Any, args: Any) -> bool:
    """Whether rows are indexed by their numbers, not by a mask that decides how many they are."""
    masks = (torch.bool, torch.uint8)
    return op is aten.index.Tensor and not any(
        isinstance(t, Tensor) and t.dtype in masks for t in args[1]
    )


def layout(t: Tensor) -> Layout:
    """All that a program takes for granted of a tensor."""
    return t.shape, t.stride(), t.dtype, t.device


def recording() -> bool:
    """Whether what runs now is being written down."""
    return Recording.active > 0
