"""The language rule of docstrings, as `make check` applies it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_spec = importlib.util.spec_from_file_location("language", ROOT / "scripts" / "language.py")
assert _spec is not None
assert _spec.loader is not None
language = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(language)


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ('"""What a run leaves."""\n', 1, "begins with 'What'"),
        ('def f():\n    """\n    Whether it fits."""\n', 2, "begins with 'Whether'"),
        ('class A:\n    x = 3\n    """Of every row."""\n', 3, "begins with 'Of'"),
        ('async def f():\n    """Which rows."""\n', 2, "begins with 'Which'"),
        (
            'def f(n, rows):\n    """Draw rows.\n\n    Args:\n        n: how many.\n'
            '        rows: of the split.\n    """\n',
            6,
            "'rows: of' lacks its noun",
        ),
    ],
)
def test_docstring_against_the_rule_is_reported_with_its_line(
    source: str, line: int, message: str
) -> None:
    ((place, text),) = language.faults(source)
    assert place == line
    assert message in text


def test_docstrings_with_nouns_and_verbs_pass() -> None:
    source = (
        '"""Whatever follows begins with a noun: ok."""\n'
        "def f(n):\n"
        '    """Return the rows.\n\n    Args:\n        n: number of rows.\n    """\n'
        '    return "What is no docstring"\n'
    )
    assert list(language.faults(source)) == []


def test_frequencies_are_per_thousand_words_of_all_docstrings() -> None:
    found = language.frequencies(["it is told " * 40, "what it is, where there is none " * 10])
    assert found["told, tells"] == pytest.approx(1000 * 40 / (120 + 70))
    assert found["where for if"] == pytest.approx(1000 * 10 / 190)
    assert found["clause as a noun (what it is)"] == pytest.approx(1000 * 10 / 190)


def test_sources_of_the_package_keep_the_rule(capsys: pytest.CaptureFixture[str]) -> None:
    assert language.main(count=False) == 0, capsys.readouterr().out
