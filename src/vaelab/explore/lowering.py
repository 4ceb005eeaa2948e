"""Lowering of a traced call to a program of the page's operators.

The call runs once on an example, and every operator that ran is replaced by one or a few of the
fourteen in `program.py`. Whatever does not depend on the inputs is a constant. An operator without
a rule is refused by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import getitem
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._pytree import tree_leaves, tree_map_only

from vaelab.compile.recording import Recording
from vaelab.explore.program import Pool, Program, Value
from vaelab.explore.rules import RULES, Unsupported, strided

NOISE = {"randn_like": "normal", "randn": "normal", "rand_like": "uniform", "rand": "uniform"}
MADE = {
    *("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "arange"),
    *("zeros", "ones", "full", "eye", "scalar_tensor", "empty_like"),
}
COPIES = {"clone", "_to_copy", "_unsafe_view", "lift_fresh_copy", "copy"}
LAYOUT = {"dtype", "layout", "device", "pin_memory", "memory_format", "non_blocking"}


@torch.no_grad()
def lower(
    function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], pool: Pool
) -> Program:
    """Trace a function of one example and lower it.

    Args:
        function: maps tensors to tensors, batch of 1 each; it may draw normal or uniform noise.
        inputs: an example of its arguments.
        pool: place of the constants.

    Raises:
        Unsupported: if the call cannot be traced, or uses an operator that has no kernel.
    """
    inputs = [t.clone() for t in inputs]
    recording = Recording(inputs)
    with recording:
        # A copy, as an output may be an input itself.
        outputs = [y * 1 for y in function(*inputs)]
    recording.close(outputs)
    if recording.unsupported_reason is not None:
        raise Unsupported(f"the model cannot be traced: {recording.unsupported_reason}")
    return _Lowering(recording, pool).program


class _Lowering:
    def __init__(self, recording: Recording, pool: Pool) -> None:
        self.program = Program(pool)
        self.values: dict[fx.Node, Any] = {}
        places = list(recording.graph.find_nodes(op="placeholder"))
        for i, (place, t) in enumerate(zip(places, recording.tensors, strict=True)):
            is_input = i < len(recording.inputs)
            self.values[place] = self.program.input(t) if is_input else Value(t.detach())
        for node in recording.graph.nodes:
            if node.op == "get_attr":
                self.values[node] = Value(recording.constants[node.target])
            elif node.op == "call_function":
                self.values[node] = self._call(node)
            elif node.op == "output":
                self.program.finish([self.values[n] for n in node.args[0]])

    def _call(self, node: fx.Node) -> Any:
        args, kwargs = tree_map_only(fx.Node, self.values.__getitem__, (node.args, node.kwargs))
        if node.target is getitem:
            return args[0][args[1]]
        op: Any = node.target
        name = op._schema.name.removeprefix("aten::")
        if op._schema.is_mutable:
            return self._in_place(node, op, name, args, kwargs)
        out = op(*tree_map_only(Value, lambda v: v.tensor, args), **_tensors(kwargs))
        given = [v for v in tree_leaves((args, kwargs)) if isinstance(v, Value)]
        if name in NOISE:
            return self.program.step(NOISE[name], out, [])
        if name in MADE or all(v.slot is None for v in given):
            return tree_map_only(Tensor, Value, out)
        if op.is_view or name in COPIES:
            return self._view(op, out, args, kwargs)
        if name not in RULES:
            raise Unsupported(
                f"the model uses the operator {name}, for which the page has no kernel"
            )
        return RULES[name](self.program, out, *args, **kwargs)

    def _in_place(self, node: fx.Node, op: Any, name: str, args: Any, kwargs: Any) -> Any:
        """An update of a fresh value is a new value under the old name."""
        target: Any = node.args[0]
        plain = name.removesuffix("_")
        fresh = target.op == "call_function" and not _aliases(target)
        earlier = [user for user in target.users if user in self.values]
        if plain not in RULES or not fresh or any(map(_aliases, earlier)):
            raise Unsupported(f"the model changes a tensor in place, by {name}")
        functional = getattr(torch.ops.aten, plain)
        out = functional(*tree_map_only(Value, lambda v: v.tensor, args), **_tensors(kwargs))
        self.values[target] = RULES[plain](self.program, out, *args, **kwargs)
        return self.values[target]

    def _view(self, op: Any, out: Any, args: Any, kwargs: Any) -> Any:
        """Any view, read off what it does to the numbers 0, 1, 2, …"""
        x: Value = args[0]
        numbers = torch.arange(x.tensor.numel()).reshape(x.shape)
        moved = op(numbers, *args[1:], **{k: v for k, v in kwargs.items() if k not in LAYOUT})
        if isinstance(moved, Tensor):
            made = strided(self.program, x, numbers, moved, out)
            integers = not out.dtype.is_floating_point and x.tensor.dtype.is_floating_point
            return self.program.step("unary", out, [made], f="trunc") if integers else made
        return [strided(self.program, x, numbers, m, o) for m, o in zip(moved, out, strict=True)]


def _aliases(node: fx.Node) -> bool:
    """Return True if a call returns a view of memory that another name refers to."""
    schema = getattr(node.target, "_schema", None)
    return schema is None or (node.target.is_view and not schema.is_mutable)  # type: ignore[union-attr]


def _tensors(kwargs: Any) -> Any:
    return tree_map_only(Value, lambda v: v.tensor, kwargs)
