"""Who may import whom: `docs/architecture.md` says it, this holds it.

Three ground rooms know nothing of each other: tensors (nets), probability (walk), data.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import vaelab

ROOT = Path(vaelab.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# Each room, and the rooms below it that it may use.
ARROWS: dict[str, set[str]] = {
    "nets": set(),
    "walk": set(),
    "data": {"spelling", "progress"},
    "files": set(),
    "typed": set(),
    "spelling": set(),
    "progress": set(),
    "version": set(),
    "programs": set(),
    "parts": {"walk", "nets"},
    "objectives": {"walk"},
    "metrics": {"programs", "walk"},
    "training": {"walk", "objectives", "data", "programs", "typed"},
    "design": {"data", "nets", "parts", "typed"},
    "recipe": {"data", "design", "objectives", "spelling", "typed", "walk"},
    "recipes": {"data", "design", "objectives", "walk", "recipe", "parts", "nets"},
    "fitted": {
        *("recipes", "recipe", "design", "training", "objectives", "parts", "data", "walk"),
        *("files", "progress", "spelling", "typed", "version"),
    },
    "codes": {"data", "walk"},
    "run": {"codes", "recipes", "recipe", "files", "data", "walk", "fitted", "version"},
    "apps": {
        *("run", "codes", "training", "metrics", "data", "recipe", "recipes", "design", "files"),
        *("objectives", "parts", "progress", "spelling", "typed", "walk", "fitted", "version"),
    },
}
ARROWS["cli"] = set(ARROWS)
# The public names: everything is below them but the commands, and `apps` is met only when asked.
ARROWS["__init__"] = set(ARROWS) - {"cli"}


def room(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[0]


def imports(path: Path, source: str) -> set[str]:
    """The rooms a module imports, wherever in it; "" is the package itself."""
    package = ("vaelab", *path.relative_to(ROOT).parent.parts)
    found = set()
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            kept = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*kept, *filter(None, [node.module])])
            # `from vaelab import files` imports a room, `from vaelab import __version__` does not.
            names = [f"{base}.{a.name}" for a in node.names] if base == "vaelab" else [base]
        for name in names:
            first, _, rest = name.partition(".")
            if first == "vaelab":
                found.add(rest.split(".")[0])
    return {name for name in found if name in ARROWS}


def identity(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_the_rooms_are_the_ones_that_are_known() -> None:
    """A new room needs its place among the arrows."""
    assert {room(path) for path in MODULES} <= set(ARROWS) | {"__main__"}


@pytest.mark.parametrize("path", MODULES, ids=identity)
def test_a_room_uses_only_rooms_below_it(path: Path) -> None:
    above = imports(path, path.read_text()) - ARROWS.get(room(path), {"cli"}) - {room(path)}
    assert not above, f"{identity(path)} imports {sorted(above)}"


def test_the_arrows_have_no_circle() -> None:
    settled: set[str] = set()
    while len(settled) < len(ARROWS):
        free = {name for name in ARROWS if name not in settled and ARROWS[name] <= settled}
        assert free, f"a circle among {sorted(set(ARROWS) - settled)}"
        settled |= free


@pytest.mark.parametrize(
    ("where", "line", "found"),
    [
        ("walk/draw.py", "from vaelab.nets import Shape", {"nets"}),
        ("walk/draw.py", "import vaelab.data.spec", {"data"}),
        ("walk/draw.py", "from vaelab import files, __version__", {"files"}),
        ("data/spec.py", "from .splits import Split", {"data"}),
        ("data/spec.py", "from ..walk import VAE", {"walk"}),
        ("apps/pictures/maps.py", "from ...cli import main", {"cli"}),
        ("run.py", "def f():\n    from .apps import train", {"apps"}),
        ("run.py", "from . import files", {"files"}),
        ("run.py", "import torch, json", set()),
    ],
)
def test_the_eye_sees_imports_of_every_kind(where: str, line: str, found: set[str]) -> None:
    assert imports(ROOT / where, line) == found


def test_the_package_is_light_until_it_is_used() -> None:
    """`import vaelab` alone reaches no app: nothing at its top level imports one."""
    tree = ast.parse((ROOT / "__init__.py").read_text())
    source = "\n".join(
        ast.unparse(n) for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)
    )
    assert "apps" not in imports(ROOT / "__init__.py", source)


@pytest.mark.parametrize("path", MODULES, ids=identity)
def test_nothing_is_pickled(path: Path) -> None:
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
    """Lines that compare something with the name of a recipe, or look one up in a dict."""
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


# The page that compares four named models is about them: its words and its table may tell them
# apart. Nothing that trains, judges, keeps or draws a model may.
ABOUT_MODELS = ROOT / "apps" / "understand"


@pytest.mark.parametrize(
    "path", [path for path in MODULES if ABOUT_MODELS not in path.parents], ids=identity
)
def test_nothing_branches_on_the_name_of_a_recipe(path: Path) -> None:
    assert branches_on(ast.parse(path.read_text()), recipes()) == []


def test_the_eye_sees_branches_of_every_kind() -> None:
    assert {"vae", "ae", "ladder"} <= recipes()
    for line in (
        "if recipe.name == 'ae': pass",
        "x = 1 if name in ('vae', 'beta-vae') else 2",
        "match name:\n    case 'ladder': pass",
    ):
        assert branches_on(ast.parse(line), {"ae", "vae", "ladder"}), line
    assert not branches_on(ast.parse("if name == 'other': pass"), {"ae"})


def test_rooms_are_small() -> None:
    sizes = {identity(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: n for name, n in sizes.items() if n > 400} == {}
    assert sorted(sizes.values())[len(sizes) // 2] <= 150


def test_no_global_of_torch_is_changed_at_import() -> None:
    pattern = re.compile(r"torch\.(set_default_dtype|set_num_threads|use_deterministic_algorithms)")
    changed = [identity(path) for path in MODULES if pattern.search(path.read_text())]
    assert changed == []
