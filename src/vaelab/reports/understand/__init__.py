"""The page of `vaelab understand`: one file, two languages, nothing to load from elsewhere.

`page.html` says what stands where, in directives in double braces; the TOML files hold the words,
`pictures` the files of each figure, `tables` what is made of the numbers. Every text stands on the
page in both languages, marked by `lang`, and a line of CSS shows one of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from vaelab.reports.understand import figures as pictures
from vaelab.reports.understand import tables
from vaelab.reports.understand.curves import WIDTH, curves
from vaelab.reports.understand.translations import LANGUAGES, TAGS, Words, asset
from vaelab.reports.understand.values import Facts
from vaelab.utils import atomic_files

__all__ = ["write_page"]

GAP = 22  # pixels between pictures that stand side by side

_DIRECTIVE = re.compile(r"\{\{([\w.]+)([^}]*)\}\}")


def write_page(document: Mapping[str, Any], figures: Path, out: Path, lang: str = "en") -> Path:
    """Writes index.html, complete in itself, and returns its path.

    Args:
        document: the content of understand.json.
        figures: the folder of the pictures it names.
        out: the folder to write to.
        lang: "en" or "zh": the language the page opens with; it holds both.

    Raises:
        ValueError: for another language.
        FileNotFoundError: where a picture named in the document is not there.
    """
    if lang not in LANGUAGES:
        raise ValueError(f"lang is {lang!r}; the page speaks {' and '.join(LANGUAGES)}")
    page = _Page(Facts(document, out.resolve().name), figures, lang)
    path = out / "index.html"
    atomic_files.write(path, page.compose(asset("page.html")))
    return path


class _Page:
    def __init__(self, facts: Facts, figures: Path, lang: str) -> None:
        self.facts = facts
        self._figures = figures
        self._first = facts.words[lang]
        self._pictures = {picture["file"]: picture for picture in facts.document["pictures"]}
        self._directives: dict[str, Callable[..., str]] = {
            "tag": lambda: self._first.tag,
            "title": lambda: re.sub("<[^>]*>", "", self._first.line("page.title")),
            "css": lambda: asset("page.css"),
            "first": lambda: asset("first.js"),
            "js": lambda: asset("page.js"),
            "pressed": lambda language: str(TAGS[language] == self._first.tag).lower(),
            "text": self._text,
            "span": self._span,
            "contents": self._contents,
            "formula": lambda: self.compose(asset("formula.html")),
            "figure": self._figure,
            "codes": self._codes,
            "training": self._training,
            "contrast": lambda: self._both(lambda w: tables.contrast(facts, w)),
            "numbers": lambda *only: self._both(lambda w: tables.table(facts, w, only)),
            "table": lambda: self._both(lambda w: tables.table(facts, w)),
            "claims": self._claims,
            "verdict": lambda: self._both(lambda w: tables.verdict(facts, w)),
            "definitions": self._definitions,
            "setup": lambda: self._both(lambda w: tables.setup(facts, w)),
            "commands": lambda: tables.commands(facts),
        }

    def compose(self, template: str) -> str:
        """A template with its directives carried out."""
        return _DIRECTIVE.sub(lambda m: self._directives[m[1]](*m[2].split()), template)

    def _both(self, write: Callable[[Words], str]) -> str:
        return "\n".join(write(words) for words in self.facts.words.values())

    def _text(self, key: str, kind: str = "") -> str:
        name = f' class="{kind}"' if kind else ""
        return self._both(
            lambda words: "\n".join(
                f'<p{name} lang="{words.tag}">{text}</p>' for text in words.paragraphs(key)
            )
        )

    def _span(self, key: str, **more: str) -> str:
        return "".join(
            f'<span lang="{words.tag}">{words.line(key, more)}</span>'
            for words in self.facts.words.values()
        )

    def _contents(self) -> str:
        sections = re.findall(r'<section id="(\w+)"[^>]*>\s*<h2>', asset("page.html"))
        items = "".join(f'<li><a href="#{s}">{self._span(f"{s}.title")}</a></li>' for s in sections)
        return f"<ol>{items}</ol>"

    def _claims(self, section: str) -> str:
        chosen = [c for c in self.facts.document["claims"] if c["section"] == int(section)]
        return self._both(lambda words: tables.claims(self.facts, words, chosen))

    def _definitions(self) -> str:
        items = []
        for row in self.facts.rows:
            figure = row["figure"]
            names = "".join(
                f'<span lang="{words.tag}">{tables.measure_name(words, figure)}</span>'
                for words in self.facts.words.values()
            )
            says = "".join(
                f'<span lang="{words.tag}">{tables.definitions(self.facts, words, figure)}</span>'
                for words in self.facts.words.values()
            )
            items.append(f'<dt>{names}</dt><dd id="about-{figure}">{says}</dd>')
        return f"<dl>{''.join(items)}</dl>"

    def _figure(self, name: str) -> str:
        figure = pictures.FIGURES[name]
        panels = [
            self._panel(name, number, panel)
            for number, panel in enumerate(figure.panels)
            if panel.file in self._pictures
        ]
        if not panels:
            return ""
        first = [panel.file for panel in figure.panels if panel.file in self._pictures]
        widths = [self._shown(self._pictures[file])[0] for file in first[: figure.columns]]
        return self._framed(name, panels, widths, figure.narrow)

    def _framed(self, name: str, panels: list[str], widths: list[int], narrow: int) -> str:
        # Tracks in proportion to the pictures' widths: all of a row are scaled alike.
        tracks = " ".join(f"minmax(0, {width}fr)" for width in widths)
        room = sum(widths) + GAP * (len(widths) - 1)
        return (
            f'<figure id="{name}"><div class="panels" style="--tracks: {tracks}; '
            f'--room: {room}px; --gap: {GAP}px; --narrow: {narrow}">{"".join(panels)}</div>'
            f"<figcaption>{self._text(f'pictures.{name}.caption')}</figcaption></figure>"
        )

    def _panel(self, name: str, number: int, panel: pictures.Panel) -> str:
        picture = self._pictures[panel.file]
        latent = self.facts.latent(panel.size)
        alts, labels = {}, []
        for language, words in self.facts.words.items():
            blanks: dict[str, str | None] = {"latent": str(latent)}
            if panel.model:
                blanks["model"] = words.line(f"models.{panel.model}")
            alts[language] = escape(_one(words, f"pictures.{name}.alt", number, blanks))
            label = _one(words, f"pictures.{name}.label", number, blanks)
            label = label or blanks.get("model") or ""
            parts = ([f"<strong>{label}</strong>"] if label else []) + [
                self.facts.dims(latent, words)
            ]
            labels.append(f'<span lang="{words.tag}">{words.line("ui.comma").join(parts)}</span>')
        source = pictures.inlined(self._figures / panel.file)
        kind = picture["kind"]
        width, height = self._shown(picture)
        return (
            f'<div class="panel"><p>{"".join(labels)}</p>'
            f'<img class="{kind}" width="{width}" height="{height}" src="{source}" '
            f'alt="{alts[self._first.language]}" data-alt-en="{alts["en"]}" '
            f'data-alt-zh="{alts["zh"]}"></div>'
        )

    @staticmethod
    def _shown(picture: Mapping[str, Any]) -> tuple[int, int]:
        """Width and height on the page: drawings have two dots to a pixel, grids one."""
        scale = 2 if picture["kind"] == "drawing" else 1
        return round(picture["width"] / scale), round(picture["height"] / scale)

    def _codes(self) -> str:
        """What the wide encoder outputs for a few inputs, one small plot each."""
        panels = []
        inputs = self.facts.document["inputs"]
        classes = self.facts.document["data"]["classes"]
        for number, given in enumerate(inputs, 1):
            code = given["codes"].get(f"vae-{self.facts.wide}")
            if code is None:
                continue
            label = given.get("label")
            known = label is not None and label < len(classes)
            key, blanks = (
                ("class", {"name": escape(str(classes[label]))}) if known else ("input", {})
            )
            title = self._span(f"ui.{key}", n=str(number), **blanks)
            alts = {
                language: words.line("pictures.codes.alt", {"n": str(number)})
                for language, words in self.facts.words.items()
            }
            plot = pictures.code_plot(
                code["mean"], code["std"], alts["en"], alts["zh"], alts[self._first.language]
            )
            panels.append(f'<div class="panel"><p><strong>{title}</strong></p>{plot}</div>')
        return self._framed("codes", panels, [pictures.PLOT] * len(panels), 2) if panels else ""

    def _training(self) -> str:
        """Distortion and rate over the epochs at both sizes, a plot each."""
        panels = []
        history = self.facts.document["history"]
        first_last = sorted(self.facts.words.values(), key=lambda words: words is not self._first)
        for latent in self.facts.document["study"]["latents"]:
            for term in ("distortion", "rate"):
                lines = {m: history.get(f"{m}-{latent}", {}).get(term) for m in pictures.MODELS}
                known = {model: line for model, line in lines.items() if line}
                if not known:
                    continue
                titles, alts = [], {}
                for language, words in self.facts.words.items():
                    name = tables.measure_name(words, term)
                    dims = self.facts.dims(latent, words)
                    title = f"<strong>{name}</strong>{words.line('ui.comma')}{dims}"
                    titles.append(f'<span lang="{words.tag}">{title}</span>')
                    blanks: dict[str, str | None] = {"term": name, "latent": str(latent)}
                    alts[language] = words.line("pictures.training.alt", blanks)
                plot = curves(known, first_last, alts)
                panels.append(f'<div class="panel"><p>{"".join(titles)}</p>{plot}</div>')
        return self._framed("training", panels, [WIDTH] * 2, 1) if panels else ""


def _one(words: Words, key: str, number: int, blanks: dict[str, str | None]) -> str:
    """The words of one panel: its own, or those of all panels of the figure, or ""."""
    for candidate in (f"{key}_{number + 1}", key):
        if candidate in words:
            return words.line(candidate, blanks)
    return ""
