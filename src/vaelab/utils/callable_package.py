"""Packages with a call, `vaelab.sweep(…)`, or an order, `list(vaelab.recipes)`.

Importing any module of a package binds the package in its parent, so a function of the same name
would come and go with the order of imports.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """Package whose call is that of its function, imported when it is called."""

    called: str

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        module, _, name = self.called.partition(":")
        return getattr(importlib.import_module(module), name)(*args, **kwargs)


def make_callable(package: str, function: str) -> None:
    """Let a package be called.

    Args:
        package: its name, `__name__`.
        function: function to call, as `module:name`.
    """
    module = sys.modules[package]
    module.called = function  # type: ignore[attr-defined]
    module.__class__ = _Callable


class _Listed(ModuleType):
    """Package whose items are its public names."""

    __all__: list[str]

    def __iter__(self) -> Iterator[str]:
        return iter(self.__all__)

    def __len__(self) -> int:
        return len(self.__all__)


def make_listed(package: str) -> None:
    """Let the public names of a package, `__all__`, be iterated."""
    sys.modules[package].__class__ = _Listed
