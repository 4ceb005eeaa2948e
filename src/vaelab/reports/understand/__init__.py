"""The page of `vaelab understand`: one file in two languages, with nothing to load.

`templates/understand.html` is its order, the TOML files beside it are its texts, `values` what they
say of a study, `figures` its pictures and charts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaelab.reports.page import render
from vaelab.reports.understand.figures import FIGURES, Gallery
from vaelab.reports.understand.values import MARKS, MODELS, Values, state_of
from vaelab.utils import atomic_files

__all__ = ["write_page"]


def write_page(document: Mapping[str, Any], figures: Path, out: Path, lang: str = "en") -> Path:
    """Write index.html, complete in itself, and return its path.

    Args:
        document: the content of understand.json.
        figures: the folder of the pictures it names.
        out: the folder to write to.
        lang: "en" or "zh": the language the page opens in; it holds both.

    Raises:
        ValueError: for another language.
        FileNotFoundError: if a picture named in the document is missing.
    """
    values = Values(document, out.resolve().name, lang)
    page = render(
        "understand.html",
        values.texts,
        lang,
        study=values,
        gallery=Gallery(values, figures),
        figures=FIGURES,
        models=MODELS,
        marks=MARKS,
        state_of=state_of,
    )
    path = out / "index.html"
    atomic_files.write(path, page)
    return path
