"""The explorer as one HTML file: template, style, scripts, texts, models and codes.

The file asks for nothing: it runs from disk, without network and without Python. Its content
security policy allows inline code, WebAssembly and workers from blobs, and no request at all.
"""

from __future__ import annotations

import base64
import gzip
import json
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from vaelab.explore.program import Pool
from vaelab.version import __version__

LANGUAGES = {"en": "en", "zh": "zh-Hans"}
SCRIPTS = ("arrays.js", "engine.js", "paint.js", "space.js", "map.js", "panels.js", "main.js")
WORKER = ("arrays.js", "kernels.js", "worker.js")
CSP = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; worker-src blob:; connect-src data: blob:"
)
SERVED = f"{CSP} 'self'"


def render(
    content: Mapping[str, Any],
    programs: Sequence[Mapping[str, Any] | None],
    pool: Pool,
    *,
    lang: str = "en",
    policy: str = CSP,
) -> str:
    """The page.

    Args:
        content: description of the data, the runs and the sweep, JSON values.
        programs: programs of every run by name, or None for a run that a server executes.
        pool: constants of the programs and arrays of the description.
        lang: language in which the page opens; it holds both.
        policy: content security policy.

    Raises:
        ValueError: for an unknown language.
    """
    if lang not in LANGUAGES:
        raise ValueError(f"lang is {lang!r}; the page is in {' and '.join(LANGUAGES)}")
    layout, blob = pool.layout()
    payload = {
        **content,
        "version": __version__,
        "programs": programs,
        "layout": layout,
        "texts": {tag: texts(name) for name, tag in LANGUAGES.items()},
        "wasm": base64.b64encode(_bytes("gemm.wasm")).decode(),
    }
    parts = {
        "lang": LANGUAGES[lang],
        "policy": policy,
        "style": _text("style.css"),
        "first": _text("first.js"),
        "worker": "\n".join(map(_text, WORKER)),
        "script": "\n".join(map(_text, SCRIPTS)),
        # No "</script>" or "<!--" inside a script, whatever a file's names contain.
        "payload": json.dumps(payload, separators=(",", ":")).replace("<", "\\u003c"),
        "blob": base64.b64encode(gzip.compress(blob, 6, mtime=0)).decode(),
    }
    page = _text("index.html")
    head, *rest = page.split("<!--=")
    return head + "".join(_filled(part, parts) for part in rest)


def _filled(part: str, parts: Mapping[str, str]) -> str:
    name, _, after = part.partition("-->")
    return parts[name] + after


@cache
def texts(language: str) -> dict[str, str]:
    """Texts of the page by key.

    >>> texts("en").keys() == texts("zh").keys()
    True
    """
    found: dict[str, str] = tomllib.loads(_text(f"{language}.toml"))
    return found


def _text(name: str) -> str:
    return _bytes(name).decode("utf-8")


@cache
def _bytes(name: str) -> bytes:
    return (resources.files("vaelab.explore") / "page" / name).read_bytes()
