"""A second trace of a function, by torch's own recorder, in a form that compares with ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx

SAME = (torch.ops.aten.detach.default, torch.ops.aten.alias.default)
"""Operators that give a tensor another name; torch 2.14 traces the second for the first."""


def lines(graph: fx.Graph) -> list[str]:
    """The operators of a graph with their arguments; nodes by number, constants by kind."""
    graph.eliminate_dead_code()
    number: dict[fx.Node, str] = {}
    found = []
    for node in graph.nodes:
        if node.op in ("placeholder", "get_attr"):
            places = sum(name.startswith(node.op) for name in number.values())
            number[node] = f"{node.op}{places}"
        elif node.target in SAME:  # the same values, by another name
            number[node] = number[node.args[0]]
        elif node.op == "call_function":
            # One records the lifting of a constant as such, the other as a copy.
            target = str(node.target).replace("lift_fresh_copy", "lift_fresh")
            arguments = fx.node.map_arg((node.args, node.kwargs), lambda n: number[n])
            number[node] = f"n{len(found)}"
            if (written := written_in_place(node)) is not None:
                number[node] = number[written]  # ours goes on under the name before the write
            found.append(f"{target}{arguments}")
    return found


def written_in_place(node: fx.Node) -> fx.Node | None:
    """The argument that an operator changes in place and returns, or None."""
    if not hasattr(node.target, "_schema") or len(node.target._schema.returns) != 1:
        return None
    arguments = node.target._schema.arguments
    given = dict(zip((a.name for a in arguments), node.args, strict=False)) | node.kwargs
    written = [a.name for a in arguments if a.alias_info is not None and a.alias_info.is_write]
    return given[written[0]] if len(written) == 1 else None


def independent_trace(
    function: Callable[..., Any], inputs: Sequence[Tensor], captured: Sequence[Tensor]
) -> list[str]:
    """The operators of a call, as make_fx records them, with captured tensors as placeholders."""

    def called(*tensors: Tensor) -> Any:
        return function(*tensors[: len(inputs)])

    return lines(make_fx(called)(*inputs, *captured).graph)
