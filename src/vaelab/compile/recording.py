"""Trace of a function of tensors: the operators that one call executes, as a graph.

Below autograd, autocast and vmap a call consists of operators on tensors, and every decision in
Python has been made. The list of operators, forward and backward, is a function of the same
tensors.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from operator import getitem
from typing import Any

import torch
from torch import Generator, Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_any, tree_leaves, tree_map_only
from torch.utils.weak import WeakTensorKeyDictionary

from vaelab.compile.generators import GeneratorState, HostGenerators

aten = torch.ops.aten

DATA_DEPENDENT = (torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape)
"""Tags of operators whose result in Python, or whose shape, depends on the values of tensors."""

READS = frozenset(
    {
        *(Tensor.tolist, Tensor.numpy, Tensor.__array__, Tensor.__dlpack__, Tensor.data_ptr),
        *(Tensor.untyped_storage, Tensor.storage, Tensor.__format__, Tensor.__repr__),
        *(Tensor.__deepcopy__, Tensor.__reduce_ex__, Tensor.share_memory_),
        Tensor.__cuda_array_interface__.__get__,
    }
)
"""Functions that expose the memory or the values of a tensor to Python without an operator."""

Layout = tuple[torch.Size, tuple[int, ...], torch.dtype, torch.device]


class Recording(TorchDispatchMode):
    """Context in which every operator runs and is added to a graph.

    Args:
        inputs: arguments of the call; every other tensor that the call uses counts as captured.

    Attributes:
        graph: the operators, with a placeholder for every input and every captured tensor.
        captured: tensors of the function's own, in the order of their placeholders.
        input_layouts: shape, strides, dtype and device of every input.
        before: values that written inputs and captured tensors had before the call, by placeholder.
        generators: state of torch's random generators before the call.
        ir: text of the graph, once the recording is closed.
        unsupported_reason: first property that rules out a compiled program, or None.
    """

    active = 0

    def __init__(self, inputs: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = fx.Graph()
        self.nodes = WeakTensorKeyDictionary()
        self.inputs = list(inputs)
        self.captured: list[Tensor] = []
        self.constants: dict[str, Tensor] = {}
        self.layouts: list[Layout] = []
        self.before: dict[int, Tensor] = {}
        self.last: fx.Node | None = None
        self.unsupported_reason: str | None = None
        self.ir = ""
        self.reads = Reads()
        self.generators = GeneratorState(inputs)
        self._first: list[Tensor] = []
        self._storages: defaultdict[int, list[int]] = defaultdict(list)
        for x in inputs:
            self._place(x)
        self.input_layouts = list(self.layouts)
        if len(self.nodes) < len(inputs):
            self.unsupported_reason = "one tensor is passed twice"

    @property
    def tensors(self) -> list[Tensor]:
        """Inputs and captured tensors, in the order of their placeholders."""
        return [*self.inputs, *self.captured]

    def __enter__(self) -> Recording:
        Recording.active += 1
        self.host = HostGenerators()
        self.reads.__enter__()  # type: ignore[no-untyped-call]
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        Recording.active -= 1
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self.reads.__exit__(*error)  # type: ignore[no-untyped-call]
        if name := self.host.advanced():
            self._rule_out(f"it draws from {name}, and a compiled step would repeat one draw")

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Private to torch: a mode that is hidden from dynamo imports the whole compiler. If the
        # method goes, delete this; test_recording_imports_no_compiler then decides.
        return False

    def __torch_dispatch__(
        self, op: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        with self._bookkeeping():
            given = self._arguments(op, args, kwargs)
        found = op(*args, **kwargs)
        with self._bookkeeping():
            self._add(op, given, found)
        return found

    @contextmanager
    def _bookkeeping(self) -> Iterator[None]:
        """End the recording, not the call, at an error of the recorder's own."""
        try:
            yield
        except Exception as error:
            self._rule_out(f"it cannot be traced ({type(error).__name__}: {error})")

    def _rule_out(self, reason: str) -> None:
        self.unsupported_reason = self.unsupported_reason or reason

    def close(self, outputs: Sequence[Any]) -> None:
        """Add the outputs of the call and check properties of the whole call."""
        # A function that hands out values says more than the operators that then read them.
        self.unsupported_reason = self.reads.unsupported_reason or self.unsupported_reason
        with self._bookkeeping():
            self._close(outputs)

    def _close(self, outputs: Sequence[Any]) -> None:
        if self.unsupported_reason is None and not all(
            isinstance(y, Tensor) and y in self.nodes for y in outputs
        ):
            self._rule_out("it returns a value that it did not compute")
        if self.unsupported_reason is not None:
            return
        if any(storage(y) in self._storages for y in outputs if y.numel()):
            self._rule_out("it returns memory of its inputs, or of a tensor that it keeps")
        elif any(y.requires_grad for y in outputs):
            self._rule_out("it returns a tensor that requires a gradient")
        self.graph.output([self.nodes[y] for y in outputs])
        self.ir = self.to_text()
        if not all(
            i in self.before or same_values(a, b)
            for i, (a, b) in enumerate(zip(self.tensors, self._first, strict=True))
        ):
            self._rule_out("one of its operators writes to a tensor without declaring so")
        if self.overlaps(captured_only=True):
            self._rule_out("it writes to one of two tensors that share memory")

    def overlaps(self, captured_only: bool = False) -> bool:
        """Return True if a tensor that is written shares its memory with another one."""
        first = len(self.inputs) if captured_only else 0
        written = {storage(self.tensors[i]) for i in self.before}
        shared = [storage(t) for t in self.tensors[first:] if t.numel()]
        return any(shared.count(place) > 1 for place in written)

    def undo(self) -> None:
        """Restore the tensors that the call wrote, and torch's random generators."""
        with torch.no_grad():
            for i, value in self.before.items():
                self.tensors[i].copy_(value)
        self.generators.restore()

    def release(self) -> None:
        """Free the values that were kept for comparison."""
        self.inputs, self.before, self._first = [], {}, []

    def difference(self, other: Recording) -> str | None:
        """Reason why another call was a different computation, or None."""
        if self.ir != other.ir:
            return "its operators differ from call to call"
        if any(a is not b for a, b in zip(self.captured, other.captured, strict=True)):
            return "it replaces tensors of its own instead of changing them in place"
        return None

    def to_text(self) -> str:
        """The operators, their constants, and the layout of every input and captured tensor."""
        constants = [(name, layout(t), t.tolist()) for name, t in self.constants.items()]
        return f"{self.graph}{self.layouts}{constants}"

    def digest(self) -> str:
        """SHA-256 of the graph."""
        return hashlib.sha256(self.to_text().encode()).hexdigest()

    def module(self) -> fx.GraphModule:
        """The graph as a function of the inputs and the captured tensors."""
        return fx.GraphModule(dict(self.constants), self.graph)

    def bound(self) -> fx.GraphModule:
        """The graph as a function of the inputs alone, with the captured tensors as its buffers."""
        own = dict(self.constants)
        graph, known = fx.Graph(), dict[fx.Node, fx.Node]()
        places = list(self.graph.find_nodes(op="placeholder"))
        split = len(places) - len(self.captured)
        for place in places[:split]:
            known[place] = graph.placeholder(place.name)
        for place, t in zip(places[split:], self.captured, strict=True):
            own[place.name] = t.detach()
            known[place] = graph.get_attr(place.name)
        graph.output(graph.graph_copy(self.graph, known))
        module = nn.Module()
        for name, t in own.items():
            module.register_buffer(name, t)
        return fx.GraphModule(module, graph)

    def _arguments(self, op: Any, args: Any, kwargs: Any) -> Any:
        """The arguments as nodes of the graph, or None if there is no graph."""
        if self.unsupported_reason is None:
            if any(tag in op.tags for tag in DATA_DEPENDENT) and not _by_number(op, args):
                self._rule_out(f"it reads the values of its tensors, by {op}")
            elif tree_any(lambda a: isinstance(a, Generator), (args, kwargs)):
                self._rule_out(f"it draws from a random generator of its own, by {op}")
        if self.unsupported_reason is not None:
            return None
        # A tensor made from a Python number: a constant, not a captured tensor.
        if op is aten.lift_fresh.default and args[0] not in self.nodes:
            name = f"constant_{len(self.constants)}"
            self.constants[name] = args[0].clone()
            # A copy, so that an in-place change does not reach the next call.
            number = (self.graph.get_attr(name),)
            self.nodes[args[0]] = self.graph.call_function(aten.lift_fresh_copy.default, number)
        given = tree_map_only(Tensor, self._node, (args, kwargs))
        if op._schema.is_mutable:
            for t in written_by(op, args, kwargs):
                self._keep(t)
        return given

    def _keep(self, t: Tensor) -> None:
        """Record the inputs and captured tensors whose memory an operator is about to write."""
        for i in self._storages.get(storage(t), ()) if t.numel() else ():
            self.before[i] = self._first[i]

    def _add(self, op: Any, given: Any, found: Any) -> None:
        if given is None:
            return
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
        # A tensor changed in place keeps its first node, under which later readers see the change.
        if t not in self.nodes:
            self.nodes[t] = node

    def _node(self, t: Tensor) -> fx.Node:
        if t not in self.nodes:
            self.captured.append(t)
            self._place(t)
        return self.nodes[t]

    def _place(self, t: Tensor) -> None:
        if t.layout is not torch.strided:
            self._rule_out("it uses a sparse tensor")
        if type(t) not in (Tensor, nn.Parameter):
            self._rule_out(f"it uses a {type(t).__name__}, a tensor of its own kind")
        where = self.graph._root if self.last is None else self.last
        with self.graph.inserting_after(where):
            self.last = self.graph.placeholder(f"t{len(self.layouts)}")
        self.nodes[t] = self.last
        if t.layout is torch.strided and t.numel():
            self._storages[storage(t)].append(len(self.layouts))
        self._first.append(copy_of(t) if t.layout is torch.strided else t)
        self.layouts.append(layout(t))


class Reads(TorchFunctionMode):
    """Context that notices functions which expose the values of a tensor to Python.

    Attributes:
        unsupported_reason: the first such function, in words, or None.
    """

    unsupported_reason: str | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in READS and self.unsupported_reason is None:
            name = getattr(func, "__name__", str(func))
            self.unsupported_reason = f"it reads the values of its tensors, by {name}"
        return func(*args, **(kwargs or {}))


def may_change(use: fx.Node, place: fx.Node) -> bool:
    """Return True if a use writes to a placeholder, or returns a view that may be written to."""
    if use.op != "call_function":
        return False
    arguments = use.target._schema.arguments  # type: ignore[union-attr]
    given = dict(zip((a.name for a in arguments), use.args, strict=False)) | use.kwargs
    shared = [given.get(a.name) for a in arguments if a.alias_info is not None]
    return place in tree_leaves(shared)


def written_by(op: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Tensor]:
    """The arguments that an operator writes to."""
    arguments = op._schema.arguments
    given = dict(zip((a.name for a in arguments), args, strict=False)) | kwargs
    names = [a.name for a in arguments if a.alias_info is not None and a.alias_info.is_write]
    return [t for t in tree_leaves([given.get(n) for n in names]) if isinstance(t, Tensor)]


def storage(t: Tensor) -> int:
    """Address of the memory that a tensor is a view of."""
    return t.untyped_storage().data_ptr()


def copy_of(t: Tensor) -> Tensor:
    """A copy with the same strides."""
    return torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device=t.device).copy_(
        t.detach()
    )


def same_values(a: Tensor, b: Tensor) -> bool:
    """Return True if two tensors are equal, NaN included."""
    return torch.equal(a, b) or bool(((a == b) | ((a != a) & (b != b))).all())


def _by_number(op: Any, args: Any) -> bool:
    """Return True if an index consists of row numbers: a mask's values would decide the shape."""
    masks = (torch.bool, torch.uint8)
    return op is aten.index.Tensor and not any(
        isinstance(t, Tensor) and t.dtype in masks for t in args[1]
    )


def layout(t: Tensor) -> Layout:
    """The properties of a tensor that a program is compiled for."""
    return t.shape, t.stride() if t.layout is torch.strided else (), t.dtype, t.device


def recording() -> bool:
    """Return True while the current call is being traced."""
    return Recording.active > 0
