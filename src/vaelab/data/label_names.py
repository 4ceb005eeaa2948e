"""Names of classes from labels of any type."""

import re
from typing import Any


def label_name(label: Any) -> str:
    """A label as the data's classes write it: 1, 1.0 and "1" are one label.

    >>> label_name(1.0), label_name(True), label_name("cat")
    ('1', 'True', 'cat')
    """
    if hasattr(label, "item"):
        label = label.item()
    if isinstance(label, bytes):
        label = label.decode()
    whole = isinstance(label, float) and label.is_integer()
    return str(int(label)) if whole else str(label)


def without_decimals(name: str) -> str:
    """A whole number without its decimals, "1" for "1.0"; any other name as it is."""
    return name.partition(".")[0] if re.fullmatch(r"-?(0|[1-9]\d*)\.0+", name) else name
