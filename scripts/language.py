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

ROOT = Path(__file__).parents[1]
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
LIMIT = 0.5
"""Uses of one construction per 1,000 words of docstrings."""


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of every docstring of a module, attribute docstrings included."""
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for i, statement in enumerate(body):
            first = i == 0 and isinstance(
                node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
            )
            after = i > 0 and isinstance(body[i - 1], ast.Assign | ast.AnnAssign)
            if (
                (first or after)
                and isinstance(statement, ast.Expr)
                and isinstance(statement.value, ast.Constant)
                and isinstance(statement.value.value, str)
            ):
                yield statement.lineno, statement.value.value


def faults(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and message of each docstring of a module that breaks the rule."""
    for line, text in docstrings(source):
        if opening := FORBIDDEN.match(text.lstrip()):
            yield line, f"begins with {opening[0]!r}, not a noun or an imperative verb"
        for argument in ARGUMENT.finditer(text):
            below = text[: argument.start()].count("\n")
            yield line + below, f"the description {argument[0].strip()!r} lacks its noun"


def frequencies(texts: list[str]) -> dict[str, float]:
    """Uses of each construction per 1,000 words."""
    words = sum(len(text.split()) for text in texts) or 1
    return {
        name: 1000 * sum(len(pattern.findall(text)) for text in texts) / words
        for name, pattern in CONSTRUCTIONS.items()
    }


def main(count: bool) -> int:
    """Print the violations, or the counts, and return the exit status."""
    sources = {p: p.read_text("utf-8") for p in sorted((ROOT / "src").rglob("*.py"))}
    texts = [text for source in sources.values() for _, text in docstrings(source)]
    per_1000 = frequencies(texts)
    if count:
        words = sum(len(text.split()) for text in texts)
        openings = Counter(m[0] for text in texts if (m := FORBIDDEN.match(text.lstrip())))
        print(f"{len(texts):,} docstrings, {words:,} words; forbidden openings: {dict(openings)}")
        for name, uses in per_1000.items():
            print(f"{name}: {uses:.1f} per 1,000 words")
        return 0
    found = [
        f"{path.relative_to(ROOT)}:{line}: {message}"
        for path, source in sources.items()
        for line, message in faults(source)
    ]
    found += [
        f"docstrings: {uses:.1f} uses of '{name}' per 1,000 words, more than {LIMIT}"
        for name, uses in per_1000.items()
        if uses > LIMIT
    ]
    for line in found:
        print(line)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] == ["--count"]))
