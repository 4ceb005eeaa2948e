"""Build the site of the documentation, without the network; a warning fails the build.

    python tools/docs.py

The two READMEs are its front pages, `docs/` its guides, and the docstrings of the packages in
REFERENCE its API reference. Pages are staged in build/docs, and the site is written to build/site.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
STAGE = ROOT / "build" / "docs"
PAPERS = {
    "README.md": "index.md",
    "README.zh-CN.md": "zh.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Pages of the root, and their names on the site."""
REFERENCE = (
    *(
        "data",
        "recipes",
        "training",
        "runs",
        "fitted",
        "evaluation",
        "doctor",
        "understand",
        "sweep",
    ),
    *("plots", "core", "parts", "nets", "objectives", "metrics", "distributions"),
)
"""Packages of the API reference, in the order of the menu."""
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)\s]*)?\)")


def on_site(text: str, folder: Path) -> str:
    """Text of a page with its links on the site; a link to a file off the site leaves its text.

    Args:
        text: Markdown.
        folder: in the repository, that the links are relative to.
    """

    def rewritten(match: re.Match[str]) -> str:
        image, label, target, anchor = match.groups()
        path = (folder / target).resolve().relative_to(ROOT).as_posix()
        place = PAPERS.get(path, path.removeprefix("docs/"))
        if path not in PAPERS and not path.startswith("docs/"):
            return label
        return f"{image}[{label}]({place}{anchor or ''})"

    return LINK.sub(rewritten, text)


def reference_page(package: str) -> str:
    """API reference of a package: of its public names, or of its modules if it exports none."""
    folder = ROOT / "src" / "vaelab" / package
    if "__all__" in (folder / "__init__.py").read_text("utf-8"):
        return f"::: vaelab.{package}\n"
    modules = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    return "\n".join(f"::: vaelab.{package}.{module}\n" for module in modules)


def stage() -> None:
    """Write the pages of the site to build/docs."""
    shutil.rmtree(STAGE.parent, ignore_errors=True)
    shutil.copytree(ROOT / "docs", STAGE)
    for page in STAGE.glob("*.md"):
        page.write_text(on_site(page.read_text("utf-8"), ROOT / "docs"), "utf-8")
    for source, name in PAPERS.items():
        (STAGE / name).write_text(on_site((ROOT / source).read_text("utf-8"), ROOT), "utf-8")
    reference = STAGE / "reference"
    reference.mkdir()
    for package in REFERENCE:
        (reference / f"{package}.md").write_text(reference_page(package), "utf-8")


def main() -> int:
    """Stage the pages and build the site; the exit status is that of the builder."""
    stage()
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    return subprocess.run(command, cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main())
