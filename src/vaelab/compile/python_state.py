"""Python state that a function may read: attributes, containers, closures, globals.

A trace fixes every decision that a call makes in Python. The decisions stay valid as long as the
objects that the function can reach hold the same values, so these values are listed when a call is
traced and compared before every compiled call. Code that is not `TRUSTED` is also read for names
whose results no comparison of values can predict, such as the clock.
"""

from __future__ import annotations

import enum
import functools
import logging
import numbers
import pathlib
import re
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from operator import attrgetter, call, is_, itemgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from vaelab.compile.foreign_code import (
    IMPURE,
    IMPURE_BUILTINS,
    IMPURE_NAMES,
    TRUSTED,
    Names,
    is_foreign,
    within,
)

MOST = 20_000
"""Values to compare before each call; beyond these the comparison would cost more than it saves."""

UNGUARDED = "unguarded"
"""Class attribute that names attributes which a compiled function never reads in Python."""

IMMUTABLE = (
    *(numbers.Number, str, bytes, type(None), type(...), type(NotImplemented), range, slice),
    *(torch.dtype, torch.device, torch.layout, torch.memory_format, enum.Enum, pathlib.PurePath),
)
IGNORED = (
    *(torch.Generator, logging.Logger, re.Pattern, types.GetSetDescriptorType),
    *(types.MemberDescriptorType, types.WrapperDescriptorType, types.MethodDescriptorType),
    *(types.ClassMethodDescriptorType, types.MethodWrapperType, types.CodeType),
)
"""Types without state, or with state that is observed as operators run."""

CLASS_NOISE = frozenset(
    {
        *("__annotations__", "__doc__", "__module__", "__dict__", "__weakref__"),
        *("__orig_bases__", "__parameters__", "__abstractmethods__", "_abc_impl"),
        *("__dataclass_fields__", "__dataclass_params__", "__match_args__"),
        *("__static_attributes__", "__firstlineno__", "__annotate_func__"),
        *("__annotations_cache__", "__slots__"),
    }
)
"""Entries of a class that no call reads."""

CONSTRUCTION = frozenset({"__init__", "__new__", "__post_init__", "__repr__", "extra_repr"})
"""Methods that no call of an instance runs; of a class that code names, they count."""

HOOKS = frozenset(vars(nn.Module())) - {"training"}
"""Attributes of every module: dictionaries, compared by their contents."""

# Private to torch: hooks of all modules, which no module lists. If they go, such hooks are missed
# until the next trace; test_hooks_are_seen_that_are_added_later fails first.
_GLOBAL_HOOKS = [
    value
    for name, value in vars(nn.modules.module).items()
    if name.startswith("_global_") and isinstance(value, dict)
]

Leaf = tuple[type, str] | int


class PythonState:
    """The values of everything that a function can reach through Python.

    Args:
        function: its attributes, closures, default arguments and globals are followed.
        skip: types whose instances are not followed.

    Attributes:
        tensors: the tensors reached.
        unguarded: identities of tensors in attributes that are `UNGUARDED`.
        facts: every value by its path; plain values by type and text, objects by identity.
        names: a readable name for every path, such as `WarmRate.n`.
        unsupported_reason: why the function cannot be guarded, or None.
    """

    def __init__(self, function: Callable[..., Any], skip: tuple[type, ...] = ()) -> None:
        self.skip = skip
        self.tensors: list[Tensor] = []
        self.unguarded: set[int] = set()
        self.facts: dict[str, Leaf] = {}
        self.names: dict[str, str] = {}
        self.unsupported_reason: str | None = None
        self._seen: dict[int, Any] = {}
        self._classes: set[tuple[type, frozenset[str]]] = set()
        self._modules: set[tuple[int, int]] = set()
        self._sized: list[Any] = []
        self._keyed: list[tuple[Callable[[Any], Any], Any]] = []
        self._listed: list[Any] = []
        self._todo: list[tuple[Any, str, str, bool]] = [(function, "f", "the function", False)]
        for i, hooks in enumerate(_GLOBAL_HOOKS):
            self._todo.append((hooks, f"hooks{i}", "the global hooks of modules", False))
        while self._todo and len(self.facts) <= MOST:
            self._visit(*self._todo.pop())
        if self._todo:
            self._refuse(f"it can reach more than {MOST:,} values in Python")
        self._empty = [c for c in self._sized if not c]
        self._sized = [c for c in self._sized if c]
        self._sizes = list(map(len, self._sized))
        self._getters = [getter for getter, _ in self._keyed]
        self._owners = [owner for _, owner in self._keyed]
        self._values = list(self._read())

    def _read(self) -> Iterator[Any]:
        keyed = chain.from_iterable(map(call, self._getters, self._owners))
        return chain(keyed, chain.from_iterable(self._listed))

    def unchanged(self) -> bool:
        """Return True if every value is still the same object: the comparison before each call."""
        try:
            return (
                not any(self._empty)
                and list(map(len, self._sized)) == self._sizes
                and all(map(is_, self._read(), self._values))
            )
        except Exception:  # an attribute that was deleted, a cell that was emptied
            return False

    def difference(self, other: PythonState) -> str | None:
        """The name of the first value that differs from another state, or None."""
        if self.facts == other.facts:
            return None
        for path, fact in self.facts.items():
            if other.facts.get(path) != fact:
                return self.names[path]
        return next(other.names[path] for path in other.facts if path not in self.facts)

    def _refuse(self, reason: str) -> None:
        self.unsupported_reason = self.unsupported_reason or reason

    def _keep(self, container: Any, keys: Iterable[str]) -> None:
        """Compare the values of these keys of a mapping."""
        keys = list(keys)
        if keys:
            # Two keys at least, as the getter of one returns a value in place of a tuple.
            self._keyed.append((itemgetter(*keys, keys[-1]), container))

    def _visit(self, value: Any, path: str, name: str, foreign: bool) -> None:
        self.names[path] = name
        if isinstance(value, IMMUTABLE):
            self.facts[path] = (type(value), repr(value))
            return
        # Equal tuples may be other objects: their elements count.
        self.facts[path] = (tuple, str(len(value))) if isinstance(value, tuple) else id(value)
        if isinstance(value, (*self.skip, *IGNORED)) or id(value) in self._seen:
            return
        self._seen[id(value)] = value  # alive, so that its identity stays its own
        visit = next((v for kind, v in VISITS if isinstance(value, kind)), PythonState._instance)
        visit(self, value, path, name, foreign)

    def _push(self, items: Iterable[tuple[Any, str, str]], foreign: bool) -> None:
        self._todo += [(value, path, name, foreign) for value, path, name in items]

    def _tensor(self, t: Tensor, path: str, name: str, foreign: bool) -> None:
        self.tensors.append(t)
        self._mapping(t.__dict__, f"{path}.__dict__", name, foreign)
        if t.requires_grad and t._backward_hooks:
            self._mapping(t._backward_hooks, f"{path}.hooks", f"the hooks of {name}", True)

    def _mapping(self, found: Mapping[Any, Any], path: str, name: str, foreign: bool) -> None:
        self._sized.append(found)
        self._keep(found, found)
        values = ((v, f"{path}[{_text(k)}]", f"{name}[{k!r:.80}]") for k, v in found.items())
        self._push(values, foreign)
        self._push(((k, f"{path}<{i}>", name) for i, k in enumerate(found)), foreign)

    def _sequence(self, found: Any, path: str, name: str, foreign: bool) -> None:
        if not isinstance(found, tuple | frozenset):  # whose elements cannot be exchanged
            self._sized.append(found)
            self._listed.append(found)
        self._push(((v, f"{path}[{i}]", f"{name}[{i}]") for i, v in enumerate(found)), foreign)

    def _cell(self, cell: types.CellType, path: str, name: str, foreign: bool) -> None:
        try:
            content = cell.cell_contents
        except ValueError:  # empty, as of a function that refers to itself
            return
        self._keyed.append((_contents, cell))
        self._push([(content, f"{path}.cell", name)], foreign)

    def _weak(self, found: Any, path: str, name: str, foreign: bool) -> None:
        self._push([(found(), f"{path}()", name)], foreign)

    def _method(self, found: types.MethodType, path: str, name: str, foreign: bool) -> None:
        self._push(
            [(found.__self__, f"{path}.self", name), (found.__func__, f"{path}.func", name)],
            foreign,
        )

    def _partial(self, found: Any, path: str, name: str, foreign: bool) -> None:
        parts = {"func": found.func, "args": found.args, "keywords": found.keywords}
        self._push(((v, f"{path}.{k}", name) for k, v in parts.items()), foreign)

    def _descriptor(self, found: Any, path: str, name: str, foreign: bool) -> None:
        parts = [getattr(found, k, None) for k in ("fget", "__func__", "func", "__wrapped__")]
        self._push(((v, f"{path}.{i}", name) for i, v in enumerate(parts)), foreign)

    def _builtin(self, found: Any, path: str, name: str, foreign: bool) -> None:
        owner = found.__self__
        if foreign and (within(found.__module__, IMPURE) or found.__name__ in IMPURE_NAMES):
            self._refuse(f"it calls {found.__module__}.{found.__name__}")
        elif not isinstance(owner, types.ModuleType | type):
            self._push([(owner, f"{path}.self", name)], foreign)

    def _class(self, found: type, path: str, name: str, foreign: bool) -> None:
        if foreign and within(found.__module__, IMPURE):
            self._refuse(f"it uses {found.__module__}.{found.__qualname__}")
        self._members(found, path, CLASS_NOISE)

    def _members(self, found: type, path: str, unread: frozenset[str]) -> None:
        """Compare the attributes of foreign classes among a class and its bases."""
        for kind in found.__mro__:
            if is_foreign(kind) and (kind, unread) not in self._classes:
                self._classes.add((kind, unread))
                inner = {k: v for k, v in vars(kind).items() if k not in unread}
                self._sized.append(vars(kind))
                self._keep(vars(kind), inner)
                self._push(
                    ((v, f"{path}:{k}", f"{kind.__name__}.{k}") for k, v in inner.items()), True
                )

    def _function(self, f: types.FunctionType, path: str, name: str, foreign: bool) -> None:
        foreign = is_foreign(f)
        variables = zip(f.__code__.co_freevars, f.__closure__ or (), strict=True)
        where = f.__qualname__
        cells = ((c, f"{path}.{k}", f"the variable {k} of {where}") for k, c in variables)
        self._push(cells, foreign)
        for value, part in zip(
            _rebindable(f), ("code", "default arguments", "keywords"), strict=True
        ):
            self._push([(value, f"{path}.{part}", f"the {part} of {where}")], foreign)
        self._mapping(f.__dict__, f"{path}.__dict__", where, foreign)
        self._keyed.append((_rebindable, f))
        if foreign:
            self._code(f, path)

    def _code(self, f: types.FunctionType, path: str) -> None:
        """Read foreign code for the globals that it refers to."""
        code = Names(f.__code__)
        for module in sorted(m for m in code.imported if within(m, IMPURE)):
            self._refuse(f"{f.__qualname__} uses the module {module}")
        for name in sorted(code.all & IMPURE_NAMES):
            self._refuse(f"{f.__qualname__} uses {name}")
        for name in sorted(code.variables):
            if name in f.__globals__:
                self._global(f.__globals__, name, code.all, f, f"{path}.{name}")
            elif name in IMPURE_BUILTINS:
                self._refuse(f"{f.__qualname__} calls {name}")

    def _global(
        self, scope: dict[str, Any], name: str, names: set[str], f: types.FunctionType, path: str
    ) -> None:
        value = scope[name]
        if not isinstance(value, types.ModuleType):
            self._keep(scope, [name])
            self._push([(value, path, f"the global variable {name}")], True)
        elif within(value.__name__, IMPURE):
            self._refuse(f"{f.__qualname__} uses the module {value.__name__}")
        elif (id(value), id(f)) not in self._modules:
            self._modules.add((id(value), id(f)))
            inner = vars(value)
            for attribute in sorted(names & inner.keys()):
                found = inner[attribute]
                nested = isinstance(found, types.ModuleType) or attribute == "environ"
                if nested or is_foreign(value):
                    self._global(inner, attribute, names, f, f"{path}.{attribute}")

    def _instance(self, found: Any, path: str, name: str, foreign: bool) -> None:
        kind = type(found)
        own = getattr(found, "__dict__", None)
        slots = [slot for slot in _slots(kind) if hasattr(found, slot)]
        if foreign and within(kind.__module__, IMPURE):
            self._refuse(f"{name} is a {kind.__module__}.{kind.__name__}")
        elif (
            foreign
            and own is None
            and not slots
            and kind is not object
            and not isinstance(found, CONTAINERS)
        ):
            self._refuse(f"{name} is a {kind.__name__}, whose state cannot be compared")
        foreign = is_foreign(kind) or (foreign and not within(kind.__module__, TRUSTED))
        unguarded = frozenset(getattr(kind, UNGUARDED, ()))
        if own is not None:
            module = isinstance(found, nn.Module)
            compared = [k for k in own if k not in unguarded and not (module and k in HOOKS)]
            self._sized.append(own)
            self._keep(own, compared)
            exempt = tree_leaves([own[k] for k in unguarded & own.keys()])
            self.unguarded |= {id(t) for t in exempt if isinstance(t, Tensor)}
            self._push(((own[k], f"{path}.{k}", f"{kind.__name__}.{k}") for k in compared), foreign)
            for k in sorted(HOOKS & own.keys()) if module else ():
                if isinstance(own[k], Mapping):
                    self._mapping(own[k], f"{path}.{k}", kind.__name__, foreign)
        for slot in slots:
            if slot not in unguarded:
                self._keyed.append((functools.partial(_slot, slot), found))
                value = getattr(found, slot)
                self._push([(value, f"{path}.{slot}", f"{kind.__name__}.{slot}")], foreign)
        if isinstance(found, dict | types.MappingProxyType):
            self._mapping(found, f"{path}{{}}", name, foreign)
        elif isinstance(found, CONTAINERS):
            self._sequence(found, f"{path}[]", name, foreign)
        self._members(kind, f"{path}:class", CLASS_NOISE | CONSTRUCTION)


CONTAINERS = (dict, types.MappingProxyType, list, tuple, set, frozenset, deque)

DESCRIPTORS = (
    *(property, staticmethod, classmethod, functools.cached_property, functools.partialmethod),
    type(functools.cache(lambda: None)),
)

VISITS: tuple[tuple[Any, Callable[..., None]], ...] = (
    (Tensor, PythonState._tensor),
    (types.FunctionType, PythonState._function),
    (types.MethodType, PythonState._method),
    (types.BuiltinFunctionType, PythonState._builtin),
    (types.CellType, PythonState._cell),
    (functools.partial, PythonState._partial),
    (DESCRIPTORS, PythonState._descriptor),
    (weakref.ref, PythonState._weak),
    (type, PythonState._class),
)


_rebindable = attrgetter("__code__", "__defaults__", "__kwdefaults__")


def _slots(kind: type) -> list[str]:
    """The attributes that instances keep outside of a dictionary."""
    return [
        name
        for base in kind.__mro__
        for name, value in vars(base).items()
        if "__slots__" in vars(base) and isinstance(value, types.MemberDescriptorType)
    ]


def _slot(name: str, owner: Any) -> tuple[Any]:
    return (getattr(owner, name),)


def _contents(cell: types.CellType) -> tuple[Any]:
    return (cell.cell_contents,)


def _text(key: Any) -> str:
    return key if isinstance(key, str) else repr(key)[:80]
