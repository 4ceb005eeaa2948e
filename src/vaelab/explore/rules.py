"""Rules that replace an operator of torch by a few of the page's.

A rule takes the program in progress, the result of the traced call and the call's arguments,
appends steps and returns their value. Values are dense, so a rule sees shapes and never strides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from vaelab.explore.program import Program, Value, broadcast, collapse, dense

Rule = Callable[..., "Value | list[Value | None]"]


class Unsupported(ValueError):
    """Model that a page cannot execute; the message names the reason."""


def strided(p: Program, x: Value, numbers: Tensor, moved: Tensor, out: Tensor) -> Value:
    """Append the view that moves the numbers 0, 1, 2, … of x as it moved them."""
    shape, shared = (
        tuple(moved.shape),
        moved.data_ptr()
        and (moved.untyped_storage().data_ptr() == numbers.untyped_storage().data_ptr()),
    )
    strides, offset = (moved.stride(), moved.storage_offset()) if shared else (dense(shape), 0)
    axes, (by,) = collapse(shape, strides)
    if offset == 0 and out.numel() == x.tensor.numel() and by == list(dense(axes)):
        return Value(out, x.slot)
    return p.step("view", out, [x], shape=axes, strides=by, offset=offset)


def _constant(number: Any) -> Value:
    return number if isinstance(number, Value) else Value(torch.tensor(float(number)))


def binary(f: str, p: Program, out: Tensor, a: Any, b: Any) -> Value:
    """Append f(a, b) with broadcasting; a number counts as a tensor."""
    a, b = _constant(a), _constant(b)
    shape, strides = collapse(out.shape, *(broadcast(v.shape, out.shape) for v in (a, b)))
    return p.step("binary", out, [a, b], f=f, shape=shape, strides=list(strides))


def _binary(f: str) -> Rule:
    def rule(p: Program, out: Tensor, a: Any, b: Any, *, alpha: float = 1, **kwargs: Any) -> Value:
        if kwargs.get("rounding_mode") is not None:
            raise Unsupported("the model divides whole numbers, for which the page has no kernel")
        if alpha != 1:
            b = _constant(b)
            b = binary("mul", p, b.tensor * alpha, b, alpha)
        return binary(f, p, out, a, b)

    return rule


def _unary(f: str, *names: str, **defaults: float) -> Rule:
    def rule(p: Program, out: Tensor, x: Value, *args: Any, **kwargs: Any) -> Value:
        given = defaults | dict(zip(names, args, strict=False)) | kwargs
        numbers = {k: v for k, v in given.items() if k in names and v is not None}
        return p.step("unary", out, [x], f=f, **numbers)

    return rule


def _gelu(p: Program, out: Tensor, x: Value, *, approximate: str = "none") -> Value:
    return p.step("unary", out, [x], f="gelu" if approximate == "none" else "gelu_tanh")


def _matmul(p: Program, out: Tensor, a: Value, b: Value) -> Value:
    *_, m, k = a.shape
    groups = a.shape[0] if len(a.shape) == 3 else 1
    return p.step("matmul", out, [a, b], g=groups, m=m, k=k, n=b.shape[-1])


def _addmm(
    p: Program, out: Tensor, bias: Value, a: Value, b: Value, *, beta: float = 1, alpha: float = 1
) -> Value:
    if (beta, alpha) != (1, 1):
        raise Unsupported("the model scales a product by beta or alpha")
    m, k, n = *a.shape, b.shape[1]
    if bias.tensor.numel() == n:
        return p.step("matmul", out, [a, b, bias], g=1, m=m, k=k, n=n)
    return binary("add", p, out, _matmul(p, out, a, b), bias)


def _convolution(
    p: Program,
    out: Tensor,
    x: Value,
    weight: Value,
    bias: Value | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Value:
    if transposed or groups != 1 or set(dilation) != {1} or len(stride) != 2:
        raise Unsupported(
            "the model has a transposed, grouped, dilated or 1-d convolution; the page has a "
            "kernel for plain 2-d ones"
        )
    (_, c, h, w), (d, _, kh, kw), (_, _, oh, ow) = x.shape, weight.shape, out.shape
    settings = dict(zip("chwd", (c, h, w, d), strict=True))
    settings |= {"kh": kh, "kw": kw, "oh": oh, "ow": ow, "sy": stride[0], "sx": stride[1]}
    settings |= {"py": padding[0], "px": padding[1]}
    return p.step("conv", out, [x, weight] + ([] if bias is None else [bias]), **settings)


def _upsample(p: Program, out: Tensor, x: Value, *args: Any) -> Value:
    (_, c, h, w), (_, _, oh, ow) = x.shape, out.shape
    return p.step("upsample", out, [x], c=c, h=h, w=w, oh=oh, ow=ow)


def _normalized(
    p: Program, out: Tensor, x: Value, rows: int, eps: float, weight: Any, bias: Any, axes: Any
) -> Value:
    y = p.step("normalize", out, [x], rows=rows, eps=eps)
    for f, v in (("mul", weight), ("add", bias)):
        if v is not None:
            y = binary(f, p, out, y, Value(v.tensor.reshape(axes), v.slot))
    return y


def _group_norm(
    p: Program,
    out: Sequence[Tensor],
    x: Value,
    weight: Value | None,
    bias: Value | None,
    n: int,
    c: int,
    hw: int,
    groups: int,
    eps: float,
) -> list[Value | None]:
    axes = (c,) + (1,) * (len(x.shape) - 2)
    return [_normalized(p, out[0], x, n * groups, eps, weight, bias, axes), None, None]


def _layer_norm(
    p: Program,
    out: Sequence[Tensor],
    x: Value,
    shape: Sequence[int],
    weight: Value | None,
    bias: Value | None,
    eps: float,
) -> list[Value | None]:
    rows = x.tensor.numel() // torch.Size(shape).numel()
    return [_normalized(p, out[0], x, rows, eps, weight, bias, tuple(shape)), None, None]


def _last(p: Program, x: Value, dims: Sequence[int]) -> Value:
    """The value with some axes moved to the end."""
    axes = [d % max(1, len(x.shape)) for d in dims]
    order = [d for d in range(len(x.shape)) if d not in axes] + axes
    numbers = torch.arange(x.tensor.numel()).reshape(x.shape)
    moved = x.tensor.permute(order).contiguous()
    return strided(p, x, numbers, numbers.permute(order), moved)


def _reduce(f: str) -> Rule:
    def rule(p: Program, out: Tensor, x: Value, dims: Any = None, *_: Any, **kwargs: Any) -> Value:
        dims = [dims] if isinstance(dims, int) else list(dims or range(len(x.shape)))
        return p.step("reduce", out, [_last(p, x, dims)], f=f, rows=out.numel())

    return rule


def _norm(
    p: Program, out: Tensor, x: Value, order: float = 2, dims: Any = None, *_: Any, **kwargs: Any
) -> Value:
    if order != 2:
        raise Unsupported(f"the model takes a norm of order {order}; the page has order 2")
    made = _reduce("norm")(p, out, x, dims)
    assert isinstance(made, Value)
    return made


def _softmax(log: bool) -> Rule:
    def rule(p: Program, out: Tensor, x: Value, dim: int, half: bool) -> Value:
        n = x.shape[dim]
        moved = _last(p, x, [dim])
        y = p.step("softmax", moved.tensor, [moved], rows=out.numel() // n, log=int(log))
        numbers = torch.arange(out.numel()).reshape(moved.shape)
        return strided(p, y, numbers, numbers.movedim(-1, dim), out)

    return rule


def _concat(p: Program, out: Tensor, parts: Sequence[Value], dim: int = 0) -> Value:
    parts = [v for v in parts if v.tensor.numel()]
    dim %= len(out.shape)
    rows = torch.Size(out.shape[:dim]).numel()
    return p.step("concat", out, parts, rows=rows)


def _stack(p: Program, out: Tensor, parts: Sequence[Value], dim: int = 0) -> Value:
    dim %= len(out.shape)
    return _concat(p, out, [Value(v.tensor.unsqueeze(dim), v.slot) for v in parts], dim)


def _pad(p: Program, out: Tensor, x: Value, pad: Sequence[int], value: float = 0) -> Value:
    for axis, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=True)):
        dim = len(x.shape) - 1 - axis
        sides = []
        for n in (before, after):
            if n < 0:
                raise Unsupported("the model pads by a negative number")
            shape = (*x.shape[:dim], n, *x.shape[dim + 1 :])
            sides.append(Value(torch.full(shape, float(value))))
        joined = torch.cat([sides[0].tensor, x.tensor.float(), sides[1].tensor], dim)
        x = _concat(p, joined, [sides[0], x, sides[1]], dim) if before or after else x
    return x


def _take(p: Program, out: Tensor, table: Value, index: Value) -> Value:
    return p.step("take", out, [table, index], n=table.tensor.numel() // table.shape[0])


def _index(p: Program, out: Tensor, table: Value, indices: Sequence[Value | None]) -> Value:
    if all(i is None or i.slot is None for i in indices):
        numbers = torch.arange(table.tensor.numel()).reshape(table.shape)
        moved = numbers[tuple(slice(None) if i is None else i.tensor for i in indices)]
        return _take(p, out, Value(table.tensor.reshape(-1, 1), table.slot), Value(moved))
    if len(indices) != 1 or indices[0] is None or indices[0].tensor.dtype == torch.bool:
        raise Unsupported("the model indexes by several tensors at once, or by a mask")
    return _take(p, out, table, indices[0])


def _index_select(p: Program, out: Tensor, table: Value, dim: int, index: Value) -> Value:
    front = _last(p, table, [d for d in range(len(table.shape)) if d != dim % len(table.shape)])
    made = _take(p, out.movedim(dim, 0), front, index)
    numbers = torch.arange(out.numel()).reshape(made.shape)
    return strided(p, made, numbers, numbers.movedim(0, dim), out)


def _gather(p: Program, out: Tensor, x: Value, dim: int, index: Value, *_: Any) -> Value:
    dim %= len(x.shape)
    ranges = [torch.arange(n) for n in out.shape]
    ranges[dim] = torch.zeros(out.shape[dim], dtype=torch.int64)
    grid, by = torch.meshgrid(*ranges, indexing="ij"), dense(x.shape)
    base = Value(sum(g * s for g, s in zip(grid, by, strict=True)) + torch.zeros(out.shape))
    flat = binary("mul", p, index.tensor * by[dim], index, by[dim])
    return _take(
        p,
        out,
        Value(x.tensor.reshape(-1, 1), x.slot),
        binary("add", p, base.tensor, base, flat),
    )


def _where(p: Program, out: Tensor, *parts: Any) -> Value:
    full = []
    for part in map(_constant, parts):
        axes, (by,) = collapse(out.shape, broadcast(part.shape, out.shape))
        whole = part.tensor.numel() == out.numel()
        full.append(
            part if whole else p.step("view", out, [part], shape=axes, strides=by, offset=0)
        )
    return p.step("where", out, full)


def _lerp(p: Program, out: Tensor, a: Value, b: Value, weight: Any) -> Value:
    way = binary("sub", p, out, b, a)
    return binary("add", p, out, a, binary("mul", p, out, way, weight))


def _rsub(p: Program, out: Tensor, a: Value, b: Any, alpha: float = 1) -> Value:
    return _binary("sub")(p, out, b, a, alpha=alpha)  # type: ignore[return-value]


def _log_sigmoid(p: Program, out: Sequence[Tensor], x: Value) -> list[Value | None]:
    return [p.step("unary", out[0], [x], f="log_sigmoid"), None]


UNARY = [
    "abs",
    "neg",
    "exp",
    "expm1",
    "log",
    "log1p",
    "sqrt",
    "rsqrt",
    "reciprocal",
    "relu",
    "sigmoid",
    "tanh",
    "sin",
    "cos",
    "erf",
    "round",
    "floor",
    "ceil",
    "trunc",
    "sign",
    "silu",
    "softsign",
]
BINARY = [
    "add",
    "sub",
    "mul",
    "div",
    "maximum",
    "minimum",
    "pow",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "atan2",
    "bitwise_and",
    "bitwise_or",
]
RULES: dict[str, Rule] = {
    **{f: _unary(f) for f in UNARY},
    **{f: _binary(f) for f in BINARY},
    "gelu": _gelu,
    "elu": _unary("elu", "alpha", "scale", "input_scale", alpha=1, scale=1, input_scale=1),
    "softplus": _unary("softplus", "beta", "threshold", beta=1, threshold=20),
    "leaky_relu": _unary("leaky_relu", "slope", slope=0.01),
    "clamp": _unary("clamp", "min", "max"),
    "hardtanh": _unary("clamp", "min", "max", min=-1, max=1),
    "clamp_min": _unary("clamp", "min"),
    "clamp_max": _unary("clamp", "max"),
    "log_sigmoid_forward": _log_sigmoid,
    "mm": _matmul,
    "bmm": _matmul,
    "addmm": _addmm,
    "convolution": _convolution,
    "upsample_nearest2d": _upsample,
    "native_group_norm": _group_norm,
    "native_layer_norm": _layer_norm,
    "sum": _reduce("sum"),
    "mean": _reduce("mean"),
    "amax": _reduce("max"),
    "argmax": _reduce("argmax"),
    "argmin": _reduce("argmin"),
    "linalg_vector_norm": _norm,
    "_softmax": _softmax(False),
    "_log_softmax": _softmax(True),
    "cat": _concat,
    "stack": _stack,
    "constant_pad_nd": _pad,
    "embedding": lambda p, out, table, index, *_: _take(p, out, table, index),
    "index": _index,
    "index_select": _index_select,
    "gather": _gather,
    "where": _where,
    "lerp": _lerp,
    "rsub": _rsub,
}
