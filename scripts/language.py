"""Check the language rule: docstrings open with a noun or an imperative verb.

python scripts/language.py            exit 1 and one line for each violation
python scripts/language.py --count    openings and constructions per 1,000 words of docstrings
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
FORBIDDEN = re.compile(r"(What|Where|Whether|How|Of|Somebody|Which|Why)\b")
ARGUMENT = re.compile(r"^ +\w+(?: \([^)]*\))?: (of)\b", re.M)
CONSTRUCTIONS = {
    "clause as a noun (what it is)": re.compile(
        r"\bwhat (?:it|is|was|came|they|a|the|there)\b", re.I
    ),
    "where for if": re.compile(r"\bwhere (?:it|there|none|they|nothing|one|a|the)\b", re.I),
    "argument: of …": ARGUMENT,
    "told, tells": re.compile(r"\b(?:told|tells)\b", re.I),
}


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and text of every docstring of a module, attribute docstrings included."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for i, statement in enumerate(body):
            first = i == 0 and isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            after = i > 0 and isinstance(body[i - 1], ast.Assign | ast.AnnAssign)
            if (
                (first or after)
                and isinstance(statement, ast.Expr)
                and isinstance(statement.value, ast.Constant)
                and isinstance(statement.value.value, str)
            ):
                yield statement.lineno, statement.value.value


def violations() -> Iterator[str]:
    """Yield one line for each docstring that breaks the rule."""
    for path in sorted((ROOT / "src").rglob("*.py")):
        for line, text in docstrings(path):
            place = f"{path.relative_to(ROOT)}:{line}"
            if opening := FORBIDDEN.match(text.lstrip()):
                yield f"{place}: begins with {opening[0]!r}, not a noun or an imperative verb"
            if argument := ARGUMENT.search(text):
                yield f"{place}: the description {argument[0].strip()!r} lacks its noun"


def count() -> Iterator[str]:
    """Yield the frequency of openings and of the four constructions."""
    texts = [t for p in sorted((ROOT / "src").rglob("*.py")) for _, t in docstrings(p)]
    words = sum(len(text.split()) for text in texts)
    openings = Counter(m[0] for text in texts if (m := FORBIDDEN.match(text.lstrip())))
    yield f"{len(texts):,} docstrings, {words:,} words; forbidden openings: {dict(openings)}"
    for name, pattern in CONSTRUCTIONS.items():
        uses = sum(len(pattern.findall(text)) for text in texts)
        yield f"{name}: {1000 * uses / words:.1f} per 1,000 words"


if __name__ == "__main__":
    counting = sys.argv[1:] == ["--count"]
    lines = list(count() if counting else violations())
    print("\n".join(lines))
    sys.exit(0 if counting else bool(lines))
