"""Import rules between rooms, and other rules about the source tree.

`ROOMS` is the one table of who may import whom; `python tests/test_arrows.py` writes it into
`docs/architecture.md`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import vaelab

ROOT = Path(vaelab.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))
PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"

# Each room from the ground up, and the rooms below it that it may import.
ROOMS: dict[str, str] = {
    "version": "",
    "utils": "",
    "nets": "",
    "distributions": "",
    "compile": "",
    "core": "distributions utils",
    "data": "utils",
    "parts": "core distributions nets",
    "objectives": "core distributions utils",
    "metrics": "compile core distributions utils",
    "recipes": "core data nets objectives parts utils",
    "training": "compile core data objectives utils",
    "fitted": "core data distributions objectives parts recipes training utils version",
    "plots": "core data distributions metrics training utils",
    "runs": "core data distributions fitted metrics objectives plots recipes training utils "
    "version",
    "doctor": "core data distributions fitted metrics parts recipes runs training utils",
    "evaluation": "compile core data metrics parts recipes runs training utils version",
    "sklearn": "core data recipes training utils",
    "reports": "data doctor evaluation metrics plots runs training utils",
    "sweep": "core data metrics plots recipes runs training utils version",
    "understand": "core data metrics plots recipes reports runs training utils version",
    "explore": "compile core data distributions plots recipes runs sweep training utils version",
    "verbs": "data doctor evaluation explore metrics recipes reports runs sweep training "
    "understand utils",
    "commands": "core data doctor evaluation explore fitted metrics plots recipes reports runs "
    "sweep training understand utils verbs version",
}
ARROWS: dict[str, set[str]] = {room: set(below.split()) for room, below in ROOMS.items()}
# The package itself binds the public names of rooms below the commands.
ARROWS["__init__"] = set(ROOMS) - {"commands"}
ARROWS["__main__"] = {"commands"}


def room(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imports(path: Path, source: str) -> set[str]:
    """Return the rooms that a module imports, at any depth of its code.

    Names for a type checker alone are no arrow: nothing is imported when the code runs.
    """
    package = ("vaelab", *path.relative_to(ROOT).parent.parts)
    imported = set()
    tree = ast.parse(source)
    for block in [node for node in ast.walk(tree) if isinstance(node, ast.If)]:
        if ast.unparse(block.test) == "TYPE_CHECKING" and room(path) != "__init__":
            block.body = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            kept = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*kept, *filter(None, [node.module])])
            # `from vaelab import recipes` imports a room, `import __version__` does not.
            names = [f"{base}.{a.name}" for a in node.names] if base == "vaelab" else [base]
        for name in names:
            first, _, rest = name.partition(".")
            if first == "vaelab":
                imported.add(rest.split(".")[0])
    return imported & set(ROOMS)


def table() -> str:
    """Return the table of rooms in Markdown, from the ground up."""
    rows = (
        f"| `{name}` | {', '.join(f'`{b}`' for b in below.split()) or 'nothing of ours'} |"
        for name, below in ROOMS.items()
    )
    return "\n".join(["| room | may import |", "|---|---|", *rows])


def with_table(page: str) -> str:
    """Replace the table between its markers on a page."""
    marked = re.compile(r"(<!-- rooms -->\n).*?(<!-- /rooms -->)", re.S)
    return marked.sub(lambda m: m[1] + table() + "\n" + m[2], page)


def identity(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_rooms_in_the_tree_are_those_of_the_table() -> None:
    assert {room(path) for path in MODULES} == set(ARROWS)


@pytest.mark.parametrize("path", MODULES, ids=identity)
def test_module_imports_only_rooms_below_it(path: Path) -> None:
    above = imports(path, path.read_text()) - ARROWS[room(path)] - {room(path)}
    assert not above, f"{identity(path)} imports {sorted(above)}"


def test_rooms_allow_no_import_that_is_not_used() -> None:
    used: dict[str, set[str]] = {name: set() for name in ROOMS}
    for path in MODULES:
        if room(path) in used:
            used[room(path)] |= imports(path, path.read_text()) - {room(path)}
    assert {name: ARROWS[name] - used[name] for name in ROOMS} == {name: set() for name in ROOMS}


def test_rooms_are_listed_from_the_ground_up() -> None:
    order = list(ROOMS)
    for name, below in ROOMS.items():
        assert all(order.index(b) < order.index(name) for b in below.split()), name


def test_architecture_page_shows_the_table() -> None:
    page = PAGE.read_text()
    assert table() in page
    assert page == with_table(page), "run `python tests/test_arrows.py`"


@pytest.mark.parametrize(
    ("module", "line", "imported"),
    [
        ("core/draw.py", "from vaelab.nets import Shape", {"nets"}),
        ("core/draw.py", "import vaelab.data.spec", {"data"}),
        ("core/draw.py", "from vaelab import recipes, __version__", {"recipes"}),
        ("data/spec.py", "from .splits import Split", {"data"}),
        ("data/spec.py", "from ..core import VAE", {"core"}),
        ("reports/understand/figures.py", "from ...commands.main import main", {"commands"}),
        ("runs/run.py", "def f():\n    from ..plots import maps", {"plots"}),
        ("runs/run.py", "from . import train", {"runs"}),
        ("runs/run.py", "import torch, json", set()),
    ],
)
def test_imports_of_every_form_are_seen(module: str, line: str, imported: set[str]) -> None:
    assert imports(ROOT / module, line) == imported


def test_package_imports_no_room_but_version_until_used() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text())
    source = "\n".join(
        ast.unparse(n) for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)
    )
    assert imports(ROOT / "__init__.py", source) == {"version"}


@pytest.mark.parametrize("path", MODULES, ids=identity)
def test_module_pickles_nothing(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name.split(".")[0] for alias in node.names}
            names |= {(getattr(node, "module", None) or "").split(".")[0]}
            assert not names & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve"}
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in {("torch", "load"), ("torch", "save")}
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False


def recipes() -> set[str]:
    return {
        node.name
        for path in (ROOT / "recipes").glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef)
        and any(isinstance(d, ast.Name) and d.id == "recipe" for d in node.decorator_list)
    }


def branches_on(tree: ast.AST, names: set[str]) -> list[int]:
    """Return the lines that compare a value with the name of a recipe."""
    lines = []
    for node in ast.walk(tree):
        compared: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            compared = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            compared = [node.value]
        texts = {
            part.value.replace("-", "_")
            for expression in compared
            for part in ast.walk(expression)
            if isinstance(part, ast.Constant) and isinstance(part.value, str)
        }
        if texts & names:
            lines.append(node.lineno if isinstance(node, ast.Compare) else node.value.lineno)
    return lines


# The study compares four named models: its words and its table may tell them apart. Nothing that
# trains, judges, keeps or draws a model may.
ABOUT_MODELS = (ROOT / "understand", ROOT / "reports" / "understand")


@pytest.mark.parametrize(
    "path", [p for p in MODULES if not set(ABOUT_MODELS) & set(p.parents)], ids=identity
)
def test_module_does_not_branch_on_the_name_of_a_recipe(path: Path) -> None:
    assert branches_on(ast.parse(path.read_text()), recipes()) == []


def test_branches_of_every_form_are_seen() -> None:
    assert {"vae", "ae", "ladder"} <= recipes()
    for line in (
        "if recipe.name == 'ae': pass",
        "x = 1 if name in ('vae', 'beta-vae') else 2",
        "match name:\n    case 'ladder': pass",
    ):
        assert branches_on(ast.parse(line), {"ae", "vae", "ladder"}), line
    assert not branches_on(ast.parse("if name == 'other': pass"), {"ae"})


# Modules to be split; none may be added, and none may grow beyond these lines.
LONG = {
    "data/spec.py": 430,
}


def test_modules_have_at_most_400_lines_but_for_those_to_be_split() -> None:
    sizes = {identity(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: n for name, n in sizes.items() if n > LONG.get(name, 400)} == {}
    assert [name for name in LONG if sizes[name] <= 400] == []


def test_import_changes_no_global_of_torch() -> None:
    pattern = re.compile(r"torch\.(set_default_dtype|set_num_threads|use_deterministic_algorithms)")
    changed = [identity(path) for path in MODULES if pattern.search(path.read_text())]
    assert changed == []


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
