"""Sentences that can be shown in another language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Message(str):
    """A sentence in English that can be shown in another language.

    Args:
        key: its name in the translations; empty for a template of blanks and punctuation alone.
        template: the sentence, with blanks in braces.
        **blanks: values of the blanks; a part of the sentence may be a message of its own.

    >>> Message("few", "{n} rows are too few.", n="3")
    '3 rows are too few.'
    """

    key: str
    template: str
    blanks: dict[str, Any]

    def __new__(cls, key: str, template: str, /, **blanks: Any) -> Message:
        message = super().__new__(cls, template.format(**blanks))
        message.key, message.template, message.blanks = key, template, blanks
        return message


def joined(mark: str, parts: Sequence[str]) -> Message:
    """Parts of a sentence with a mark between them.

    >>> joined(" · ", ["rate 2", "distortion 9"])
    'rate 2 · distortion 9'
    """
    blanks = {f"part{i}": part for i, part in enumerate(parts)}
    return Message("", mark.join(f"{{{name}}}" for name in blanks), **blanks)
