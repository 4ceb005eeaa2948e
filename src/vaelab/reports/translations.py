"""Texts of a page in two languages, with conditions and blanks that the data decides.

A text is lines, a line a sentence, a blank line a new paragraph. A line may begin with conditions
in square brackets and hold blanks in braces, with a format as in Python:

    [labels] A classifier is right on {measurement.accuracy:.0%} of {data.sizes.2:,} examples.

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

Lookup = Callable[[str], Any]
"""From the name of a blank to its value, None if there is none; only Markup is not escaped."""

BLANK = re.compile(r"\{([\w.-]+)(?::([^}]*))?\}")
_GLUED = re.compile(r"([（“(]?)(<math>(?:(?!</math>).)*</math>)([，。；：、？！）”,.;:)]*)")
_CONDITION = re.compile(r"\[([\w-]+)\]\s*")


def find(tree: Any, path: str) -> Any:
    """The value at a dotted path of nested dicts and lists, or None.

    >>> find({"sizes": [1437, 180]}, "sizes.1"), find({"a": 1}, "a.b")
    (180, None)
    """
    for part in path.split("."):
        if isinstance(tree, Mapping):
            tree = tree.get(part)
        else:
            tree = tree[int(part)] if isinstance(tree, list) and part.isdigit() else None
    return tree


def fill(text: str, lookup: Lookup) -> Markup | None:
    """HTML with its blanks filled, or None if one has no value.

    >>> fill("of {n:,} {things}", {"n": 1200, "things": "<b>"}.get)
    Markup('of 1,200 &lt;b&gt;')
    """
    values: list[Markup] = []
    for name, form in BLANK.findall(text):
        value = lookup(name)
        if value is None:
            return None
        values.append(escape(format(value, form).replace("-", "−") if form else value))
    return Markup(BLANK.sub(lambda blank: values.pop(0), text))


def _glue(found: re.Match[str]) -> str:
    """A formula with its punctuation, which would otherwise begin or end a line alone."""
    return f'<span class="keep">{found[0]}</span>' if found[1] or found[3] else found[0]


class Texts:
    """All texts of a page in one language, as HTML.

    Args:
        language: "en" or "zh".
        tree: HTML by dotted key, as read from TOML files.
        conditions: names that hold for this data; `no-X` holds if X does not.
        lookup: values of the blanks.
    """

    def __init__(
        self,
        language: str,
        tree: Mapping[str, Any],
        conditions: Iterable[str] = (),
        lookup: Lookup = lambda name: None,
    ) -> None:
        self.language, self.tag = language, TAGS[language]
        self._tree, self._conditions, self._lookup = tree, frozenset(conditions), lookup
        self._space = Markup(" " if language == "en" else "")

    def __contains__(self, key: str) -> bool:
        return self._find(key) is not None

    def paragraphs(self, key: str, blanks: Mapping[str, Any] | None = None) -> list[Markup]:
        """The paragraphs of a text; those left without a sentence are dropped.

        Args:
            key: dotted key of the text.
            blanks: values that take precedence over those of `lookup`.

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

    def line(self, key: str, blanks: Mapping[str, Any] | None = None) -> Markup:
        """A text as one run of HTML; empty if nothing is left of it."""
        return self._space.join(self.paragraphs(key, blanks))

    def join(self, *sentences: str) -> Markup:
        """Sentences one after another, without those that are empty."""
        return self._space.join(filter(None, sentences))

    def first(self, *keys: str, blanks: Mapping[str, Any] | None = None) -> Markup:
        """The text of the first key that exists; empty if none does."""
        return next((self.line(key, blanks) for key in keys if key in self), Markup())

    def _find(self, key: str) -> str | None:
        text = find(self._tree, key)
        return text if isinstance(text, str) else None

    def _line(self, line: str, blanks: Mapping[str, Any]) -> Markup | None:
        while match := _CONDITION.match(line):
            name = match[1]
            if (name.removeprefix("no-") in self._conditions) == name.startswith("no-"):
                return None
            line = line[match.end() :]
        return fill(line, lambda name: blanks[name] if name in blanks else self._blank(name))

    def _blank(self, name: str) -> Any:
        room, _, key = name.partition(".")
        return self.line(key) if room == "words" else self._lookup(name)
