"""The words of the page: the same keys in two languages, and how their blanks are filled.

A text is lines, a line a sentence, a blank line a new paragraph. A line may open with conditions in
square brackets and hold blanks in braces:

    [labels] The classes are told apart by {vae-2.knn_accuracy}.

A line is left out where a condition is not met, or where a blank has no value on this data. So a
page about data without labels says less, and never "null".
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

LANGUAGES = ("en", "zh")
TAGS = {"en": "en", "zh": "zh-Hans"}

Fill = Callable[[str], str | None]

_BLANK = re.compile(r"\{([\w.-]+)\}")
_GLUED = re.compile(r"([（“(]?)(<math>(?:(?!</math>).)*</math>)([，。；：、？！）”,.;:)]*)")
_CONDITION = re.compile(r"\[([\w-]+)\]\s*")


def asset(name: str) -> str:
    """A file that lies beside this one."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


@cache
def texts(language: str) -> dict[str, Any]:
    """All words of a language: those of the page, and those of measures, claims and pictures."""
    return tomllib.loads(asset(f"{language}.toml")) | tomllib.loads(
        asset(f"{language}-figures.toml")
    )


@cache
def formulas() -> dict[str, str]:
    """MathML by name, the same in both languages."""
    return tomllib.loads(asset("formulas.toml"))


def _glue(found: re.Match[str]) -> str:
    """A formula with the punctuation at it, which would otherwise begin or end a line alone."""
    return f'<span class="keep">{found[0]}</span>' if found[1] or found[3] else found[0]


class Words:
    """The words of one language.

    Args:
        language: "en" or "zh".
        conditions: what holds of this data; `no-X` holds where X does not.
        fill: from the name of a blank to HTML, None where there is nothing to put there.
    """

    def __init__(self, language: str, conditions: Iterable[str], fill: Fill) -> None:
        self.language = language
        self.tag = TAGS[language]
        self._conditions = frozenset(conditions)
        self._fill = fill
        self._words = texts(language)

    def __contains__(self, key: str) -> bool:
        return self._find(key) is not None

    def paragraphs(self, key: str, more: Mapping[str, str | None] | None = None) -> list[str]:
        """The text of a key as paragraphs of HTML; those left without a sentence are dropped."""
        text = self._find(key)
        if text is None:
            raise KeyError(f"there is no text {key!r} in {self.language}.toml or its figures")
        space = " " if self.language == "en" else ""
        blocks = [block.split("\n") for block in text.strip().split("\n\n")]
        filled = [[self._line(line.strip(), more or {}) for line in block] for block in blocks]
        kept = [[line for line in block if line] for block in filled]
        return [_GLUED.sub(_glue, space.join(block)) for block in kept if block]

    def line(self, key: str, more: Mapping[str, str | None] | None = None) -> str:
        """The text of a key as one run of HTML, "" where nothing is left of it."""
        return (" " if self.language == "en" else "").join(self.paragraphs(key, more))

    def _find(self, key: str) -> str | None:
        node: Any = self._words
        for part in key.split("."):
            node = node.get(part) if isinstance(node, dict) else None
        return node if isinstance(node, str) else None

    def _line(self, line: str, more: Mapping[str, str | None]) -> str | None:
        while match := _CONDITION.match(line):
            name = match[1]
            if (name.removeprefix("no-") in self._conditions) == name.startswith("no-"):
                return None
            line = line[match.end() :]
        values: dict[str, str] = {}
        for name in _BLANK.findall(line):
            value = more[name] if name in more else self._blank(name)
            if value is None:
                return None
            values[name] = value
        return _BLANK.sub(lambda blank: values[blank[1]], line)

    def _blank(self, name: str) -> str | None:
        room, _, rest = name.partition(".")
        if room == "math":
            return formulas()[rest]
        if room == "words":
            return self.line(rest)
        return self._fill(name)
