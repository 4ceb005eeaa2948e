"""Texts of a page in two languages, with conditions and blanks that the data decides.

A text is lines, a line a sentence, a blank line a new paragraph. A line may begin with conditions
in square brackets and hold blanks in braces:

    [labels] The classes are separated by {vae-2.knn_accuracy}.

A line is left out if a condition does not hold, or if a blank has no value on this data. A page
about data without labels therefore says less, and never "null".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from markupsafe import Markup, escape

LANGUAGES = ("en", "zh")
TAGS = {"en": "en", "zh": "zh-Hans"}

Fill = Callable[[str], str | None]
"""From the name of a blank to its value, or None; a str is escaped, Markup is not."""

_BLANK = re.compile(r"\{([\w.-]+)\}")
_GLUED = re.compile(r"([（“(]?)(<math>(?:(?!</math>).)*</math>)([，。；：、？！）”,.;:)]*)")
_CONDITION = re.compile(r"\[([\w-]+)\]\s*")


def _glue(found: re.Match[str]) -> str:
    """A formula with its punctuation, which would otherwise begin or end a line alone."""
    return f'<span class="keep">{found[0]}</span>' if found[1] or found[3] else found[0]


class Texts:
    """All texts of a page in one language, as HTML.

    Args:
        language: "en" or "zh".
        tree: HTML by dotted key, as read from TOML files.
        conditions: names that hold for this data; `no-X` holds if X does not.
        fill: values of the blanks.
    """

    def __init__(
        self,
        language: str,
        tree: Mapping[str, Any],
        conditions: Iterable[str] = (),
        fill: Fill = lambda name: None,
    ) -> None:
        self.language, self.tag = language, TAGS[language]
        self._tree, self._conditions, self._fill = tree, frozenset(conditions), fill
        self._space = Markup(" " if language == "en" else "")

    def __contains__(self, key: str) -> bool:
        return self._find(key) is not None

    def paragraphs(self, key: str, blanks: Mapping[str, str | None] | None = None) -> list[Markup]:
        """The paragraphs of a text; those left without a sentence are dropped.

        Args:
            key: of the text.
            blanks: values that take precedence over those of `fill`.

        Raises:
            KeyError: for an unknown key.
        """
        text = self._find(key)
        if text is None:
            raise KeyError(f"there is no text {key!r} in the {self.language} translation")
        blocks = [block.split("\n") for block in text.strip().split("\n\n")]
        filled = [[self._line(line.strip(), blanks or {}) for line in block] for block in blocks]
        kept = [[line for line in block if line] for block in filled]
        return [Markup(_GLUED.sub(_glue, self._space.join(block))) for block in kept if block]

    def line(self, key: str, blanks: Mapping[str, str | None] | None = None) -> Markup:
        """A text as one run of HTML; empty if nothing is left of it."""
        return self._space.join(self.paragraphs(key, blanks))

    def join(self, *sentences: str) -> Markup:
        """Sentences one after another, without those that are empty."""
        return self._space.join(filter(None, sentences))

    def first(self, *keys: str, blanks: Mapping[str, str | None] | None = None) -> Markup:
        """The text of the first key that exists; empty if none does."""
        return next((self.line(key, blanks) for key in keys if key in self), Markup())

    def _find(self, key: str) -> str | None:
        node: Any = self._tree
        for part in key.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        return node if isinstance(node, str) else None

    def _line(self, line: str, blanks: Mapping[str, str | None]) -> Markup | None:
        while match := _CONDITION.match(line):
            name = match[1]
            if (name.removeprefix("no-") in self._conditions) == name.startswith("no-"):
                return None
            line = line[match.end() :]
        values: dict[str, Markup] = {}
        for name in _BLANK.findall(line):
            value = blanks[name] if name in blanks else self._blank(name)
            if value is None:
                return None
            values[name] = escape(value)
        return Markup(_BLANK.sub(lambda blank: values[blank[1]], line))

    def _blank(self, name: str) -> str | None:
        room, _, key = name.partition(".")
        return self.line(key) if room == "words" else self._fill(name)
