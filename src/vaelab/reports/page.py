"""One HTML file in two languages, complete in itself: templates, styles and scripts.

Templates extend `base.html`; autoescape is on, so that a name from a file is never read as HTML.
Every text stands on the page in both languages, marked by `lang`, and a line of CSS shows one.
"""

from __future__ import annotations

import base64
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from vaelab.reports.translations import LANGUAGES, TAGS, Texts

TYPES = {".png": "image/png", ".svg": "image/svg+xml"}


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vaelab.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals |= {"asset": asset, "tags": TAGS, "link": link}
    environment.filters |= {"plain": lambda html: escape(html).striptags(), "zip": zip}
    return environment


def render(template: str, texts: Mapping[str, Texts], lang: str, **values: Any) -> str:
    """A page from its template.

    Args:
        template: its file name.
        texts: by language.
        lang: the language the page opens in; it holds both.
        **values: whatever else the template names.

    Raises:
        ValueError: for an unknown language.
    """
    if lang not in LANGUAGES:
        raise ValueError(f"lang is {lang!r}; the page is in {' and '.join(LANGUAGES)}")
    opens = {"texts": list(texts.values()), "first": texts[lang]}
    return _environment().get_template(template).render(opens | values)


def asset(name: str) -> Markup:
    """A style sheet or a script, as it goes on a page."""
    return Markup(_read(name))


@cache
def tables(*names: str) -> dict[str, Any]:
    """The tables of TOML files beside the templates, in one dict."""
    found: dict[str, Any] = {}
    for name in names:
        found |= tomllib.loads(_read(name))
    return found


def _read(name: str) -> str:
    return (resources.files("vaelab.reports") / "templates" / name).read_text(encoding="utf-8")


def link(text: str, target: str, facts: str = "") -> Markup:
    """A number linked to its definition; a script shows that in place, with facts of its own."""
    return Markup('<a class="num" href="#{}" data-facts="{}">{}</a>').format(target, facts, text)


def data_uri(picture: Path | bytes) -> str:
    """A picture as a data URI: a file, or the bytes of a PNG.

    Raises:
        FileNotFoundError: if the file is missing.
    """
    if isinstance(picture, bytes):
        return f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    if not picture.is_file():
        raise FileNotFoundError(f"the figure {picture} is missing; run `vaelab understand` again")
    return f"data:{TYPES[picture.suffix]};base64,{base64.b64encode(picture.read_bytes()).decode()}"
