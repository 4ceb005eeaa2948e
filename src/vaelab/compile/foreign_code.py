"""Code that is not vaelab's own, and names in it whose results no comparison of values predicts."""

from __future__ import annotations

import dis
import sys
import types
from itertools import chain
from typing import Any

from torch import nn

TRUSTED = frozenset({"vaelab", "torch", "zuko"})
"""Packages whose code is not read: its effects are tensors, or attributes, which are compared."""

IMPURE = frozenset(
    {
        *("time", "random", "secrets", "uuid", "datetime", "numpy.random", "_random"),
        *("_datetime", "socket", "subprocess", "multiprocessing", "threading", "ctypes"),
        *("contextvars", "gc"),
    }
)
"""Modules whose functions may return another value at every call."""

IMPURE_NAMES = frozenset(
    {
        *("manual_seed", "initial_seed", "get_rng_state", "set_rng_state", "fork_rng"),
        *("to_dlpack", "_to_dlpack", "urandom", "getrandom", "memmap", "_getframe"),
    }
)
"""Functions of other modules that read or steer hidden state, or hand out memory unobserved."""

IMPURE_BUILTINS = frozenset({"open", "input", "eval", "exec", "globals", "locals", "__import__"})


class Names:
    """The names that code refers to, functions defined inside it included.

    Args:
        code: compiled code of a function.

    Attributes:
        all: every name, of variables, attributes and modules.
        variables: names of globals and builtins.
        imported: modules that the code itself imports.
    """

    def __init__(self, code: types.CodeType) -> None:
        self.all, self.variables, self.imported = set[str](), set[str](), set[str]()
        todo = [code]
        while todo:
            code = todo.pop()
            self.all |= set(code.co_names)
            for line in dis.get_instructions(code):
                if line.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                    self.variables.add(line.argval)
                elif line.opname == "IMPORT_NAME":
                    self.imported.add(line.argval)
            todo += [c for c in code.co_consts if isinstance(c, types.CodeType)]


def is_foreign(found: Any) -> bool:
    """Return True for a function, class or module that is neither trusted nor part of Python."""
    named = found.__name__ if isinstance(found, types.ModuleType) else found.__module__
    root = (named or "").split(".")[0]
    return root not in TRUSTED and root != "numpy" and root not in sys.stdlib_module_names


def foreign_part(*modules: nn.Module) -> str | None:
    """The name of the first class among modules and their submodules that is not trusted."""
    for module in chain.from_iterable(m.modules() for m in modules):
        if not within(type(module).__module__, TRUSTED):
            return type(module).__name__
    return None


def within(module: str | None, packages: frozenset[str]) -> bool:
    """Return True for a module that is one of these packages, or inside one."""
    parts = (module or "").split(".")
    return any(".".join(parts[: i + 1]) in packages for i in range(len(parts)))
