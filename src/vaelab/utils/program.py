"""The name under which the program was called, for commands in messages that work as printed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

VERBS = (
    *("understand", "train", "sweep", "evaluate", "compare", "explore", "doctor", "fit-prior"),
    *("sample", "score", "reconstruct", "vary", "interpolate", "traverse", "encode"),
    "impute",
)
"""Commands of the program; the word `vaelab` before one of them is the program's name."""

_CALL = re.compile(rf"(?<![\w./-])vaelab(?= (?:{'|'.join(VERBS)}|--help|[A-Z]+ --help)\b)")


def program() -> str:
    """The word that calls this program from the current folder.

    It is `vaelab` if that is on the path and is this program, or if this is no installed script;
    otherwise the script's path, relative if it lies below the current folder.
    """
    called = Path(sys.argv[0])
    if called.stem != "vaelab" or not called.is_file():
        return "vaelab"
    there = shutil.which("vaelab")
    if there is not None and os.path.samefile(there, called):
        return "vaelab"
    path = Path(os.path.abspath(called))
    below = path.is_relative_to(Path.cwd())
    return shlex.quote(str(path.relative_to(Path.cwd()) if below else path))


def as_called(text: str) -> str:
    """The text with its commands, `vaelab train …` and the like, as they can be typed here."""
    name = program()
    return text if name == "vaelab" else _CALL.sub(lambda _: name, text)
