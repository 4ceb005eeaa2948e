"""Every snippet of the README and of docs/ runs: python blocks in order, sh blocks line by line.

Its trainings are shortened, as what they come to is not looked at; the slow tests run them as they
are written.
"""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import vaelab
from vaelab.recipes import parts_by_name, registry

ROOT = Path(__file__).parents[1]
SOURCE = Path(vaelab.__file__).parent
MODULES = [
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
    for path in sorted(SOURCE.rglob("*.py"))
    if ">>> " in path.read_text()
]
PAGES = [p for p in [ROOT / "README.md", *ROOT.glob("docs/*.md")] if "```" in p.read_text()]


def blocks(page: Path) -> list[tuple[str, str]]:
    return re.findall(r"^```(python|sh)\n(.*?)^```", page.read_text(), re.M | re.S)


def as_written(code: str) -> str:
    return code


def shortened(code: str) -> str:
    """With a twentieth of the training."""
    return re.sub(r"(?<=epochs[ =])\d+", lambda found: str(max(1, int(found[0]) // 20)), code)


@pytest.mark.timeout(1800)  # a machine may be busy
@pytest.mark.parametrize("pace", [shortened, pytest.param(as_written, marks=pytest.mark.slow)])
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_snippet_runs(
    page: Path, pace: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vaelab.commands.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, "RECIPES", dict(registry.RECIPES))  # a page may add a family
    registered = {kind: dict(parts) for kind, parts in parts_by_name.REGISTERED.items()}
    monkeypatch.setattr(parts_by_name, "REGISTERED", registered)
    names: dict[str, object] = {}
    for language, code in blocks(page):
        if language == "python":
            exec(compile(pace(code), str(page), "exec"), names)
            continue
        for line in pace(code).strip().splitlines():
            program, *arguments = shlex.split(line, comments=True)
            assert program == "vaelab", f"only vaelab commands belong in sh blocks, not {line!r}"
            assert main(arguments) == 0, line


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings(module: str) -> None:
    found = doctest.testmod(importlib.import_module(module))
    assert found.attempted > 0
    assert found.failed == 0


def test_the_chinese_readme_has_the_same_snippets() -> None:
    english, chinese = (
        [re.sub(r" *#.*| --lang zh", "", code) for _, code in blocks(ROOT / name)]
        for name in ("README.md", "README.zh-CN.md")
    )
    assert english == chinese


def test_the_first_example_is_five_lines_from_an_array_to_samples() -> None:
    first = next(code for language, code in blocks(ROOT / "README.md") if language == "python")
    assert len([line for line in first.splitlines() if line.strip()]) == 5


def test_links_inside_the_project_lead_somewhere() -> None:
    for page in [*ROOT.glob("README*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} → {target}"


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_every_page_of_docs_can_be_found_from_the_readme(readme: str) -> None:
    linked = set(re.findall(r"\]\((docs/[^)#]+\.md)", (ROOT / readme).read_text()))
    assert linked == {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}


def test_the_benchmarks_page_ends_with_its_notes() -> None:
    notes = (ROOT / "benchmarks" / "speed" / "notes.md").read_text()
    assert (ROOT / "docs" / "benchmarks.md").read_text().endswith(f"## Notes\n\n{notes}")
