"""Sentences that can be shown in another language."""

from __future__ import annotations

from typing import Any


class Message(str):
    """A sentence in English that can be shown in another language.

    Args:
        key: its name in the translations.
        template: the sentence, with blanks in braces.
        **blanks: values of the blanks; a part of the sentence may be a message of its own.

    >>> Message("few", "{n} rows are too few.", n="3")
    '3 rows are too few.'
    """

    key: str
    blanks: dict[str, Any]

    def __new__(cls, key: str, template: str, **blanks: Any) -> Message:
        message = super().__new__(cls, template.format(**blanks))
        message.key, message.blanks = key, blanks
        return message
