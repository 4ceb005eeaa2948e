"""Spell an option as its caller does: a flag on the command line, an argument in Python."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_COMMAND_LINE: ContextVar[bool] = ContextVar("command_line", default=False)

_IN_PYTHON = {
    "condition": "Design(condition={})",
    "likelihood": "Design(likelihood={})",
    "out": "out={}",
    "class": "run.conditioned_on({})",
    "data": "load_data({})",
}
"""Options that Python spells as more than an argument of the function that raised."""


@contextmanager
def command_line() -> Iterator[None]:
    """Within this context, messages name the flags of the command line."""
    token = _COMMAND_LINE.set(True)
    try:
        yield
    finally:
        _COMMAND_LINE.reset(token)


def on_command_line() -> bool:
    """True inside `command_line`."""
    return _COMMAND_LINE.get()


_FLAGS = {"vectors": "--condition-columns"}
"""Options that the command line calls otherwise."""


def option(name: str, value: Any = True) -> str:
    """An option with its value, ready to be typed.

    Args:
        name: the Python argument, as in "skip_unreadable".
        value: True for a switch; text, a number, a pair, or a mapping of NAME=KIND.

    >>> option("skip_unreadable"), option("columns", {"id": "out"})
    ('skip_unreadable=True', "columns={'id': 'out'}")
    >>> with command_line():
    ...     option("skip_unreadable"), option("columns", {"id": "out"})
    ('--skip-unreadable', '--columns id=out')
    """
    if not on_command_line():
        return _IN_PYTHON.get(name, name + "={}").format(repr(value))
    flag = argument(name)
    return flag if value is True else f"{flag} {shlex.quote(_flag_value(value))}"


def argument(name: str) -> str:
    """The bare name of an option: `--columns`, or `columns`."""
    if not on_command_line():
        return name
    return _FLAGS.get(name, "--" + name.replace("_", "-"))


def _flag_value(value: Any) -> str:
    if isinstance(value, Mapping):
        return _joined(f"{key}={kind}" for key, kind in value.items())
    if isinstance(value, tuple | list):
        return _joined(map(str, value))
    return str(value)


def _joined(parts: Any) -> str:
    """Parts with commas between them; a part with a comma or quotation mark is quoted."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(list(parts))
    return line.getvalue()
