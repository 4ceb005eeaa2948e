"""Mutants of a source file: mutmut's operators, without those that no test can miss or see.

Left out: `x = None` and `f(None)`, which crash on the first call and measure nothing, and the
wording of messages, which tests do not hold. Added: pairs of functions that are easily confused,
and numbers that are slightly rather than grossly wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_assignment, operator_string

CONFUSED = (
    ("all", "any"),
    ("argmax", "argmin"),
    ("exp", "expm1"),
    ("log", "log1p"),
    ("maximum", "minimum"),
    ("mean", "sum"),
    ("min", "max"),
    ("posterior", "prior"),
    ("repeat", "repeat_interleave"),
    ("round", "int"),
    ("std", "var"),
    ("zeros", "ones"),
)
SWAPS = dict(CONFUSED) | {b: a for a, b in CONFUSED}


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes:
        path: of the file, relative to the root of the repository.
        line: first line of the changed statement.
        last: last line of it.
        before: the changed lines, stripped and joined.
        after: the same lines with the change.
        code: the whole file with the change.
    """

    path: str
    line: int
    last: int
    before: str
    after: str
    code: str


class Source:
    """A file and the changes that can be made to it, each rendered when asked for."""

    def __init__(self, path: Path, root: Path) -> None:
        self.path, self.text = str(path.relative_to(root)), path.read_text()
        wrapper = MetadataWrapper(cst.parse_module(self.text), unsafe_skip_copy=True)
        visitor = _Visitor()
        wrapper.visit(visitor)
        self.module, self.changes = wrapper.module, visitor.changes

    def mutant(self, index: int) -> Mutant | None:
        """The file with change number `index`; None if it changes nothing or is no Python."""
        original, mutated, (first, last) = self.changes[index]
        code = cst.ensure_type(self.module.deep_replace(original, mutated), cst.Module).code
        if code == self.text or not _compiles(code):
            return None
        before, after = _changed(self.text.splitlines(), code.splitlines())
        return Mutant(self.path, first, last, before, after, code)


def sample(files: Sequence[Path], root: Path, n: int, seed: int) -> list[Mutant]:
    """Draw n mutants of the files at random, all changes equally likely, none twice."""
    sources = [Source(path, root) for path in files]
    places = [(source, i) for source in sources for i in range(len(source.changes))]
    Random(seed).shuffle(places)
    found: dict[str, Mutant] = {}
    for source, i in places:
        if len(found) == n:
            break
        mutant = source.mutant(i)
        if mutant:
            found[mutant.code] = mutant
    return list(found.values())


def _compiles(code: str) -> bool:
    try:
        compile(code, "<mutant>", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def _changed(before: list[str], after: list[str]) -> tuple[str, str]:
    """The lines that differ, without those that both share at either end."""
    shared = min(len(before), len(after))
    top = next((i for i in range(shared) if before[i] != after[i]), shared)
    tail = 0
    while tail < shared - top and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    cut = [" ".join(part.split()) for part in _parts(before, after, top, tail)]
    return cut[0], cut[1]


def _parts(before: list[str], after: list[str], top: int, tail: int) -> Iterator[str]:
    for lines in (before, after):
        yield "\n".join(lines[top : len(lines) - tail])


def swap_call(node: cst.Call) -> Iterator[cst.Call]:
    """`all(…)` becomes `any(…)`, `x.mean(…)` becomes `x.sum(…)`, and so on."""
    name = node.func.attr if isinstance(node.func, cst.Attribute) else node.func
    if isinstance(name, cst.Name) and name.value in SWAPS:
        yield node.with_deep_changes(name, value=SWAPS[name.value])


def swap_attribute(node: cst.Attribute) -> Iterator[cst.Attribute]:
    """`site.prior` becomes `site.posterior`, and the reverse."""
    if node.attr.value in ("prior", "posterior"):
        yield node.with_deep_changes(node.attr, value=SWAPS[node.attr.value])


def nudge(node: cst.Float) -> Iterator[cst.Float]:
    """A number that is a quarter too large."""
    yield node.with_changes(value=repr(1.25 * node.evaluated_value))


def mark(node: cst.SimpleString) -> Iterator[cst.SimpleString]:
    """A name that is another."""
    yield next(iter(operator_string(node)), node)  # type: ignore[misc]


def drop_argument(node: cst.Call) -> Iterator[cst.Call]:
    """A call with one argument less."""
    for i in range(len(node.args)):
        if len(node.args) > 1 or node.args[i].keyword:
            yield node.with_changes(args=[*node.args[:i], *node.args[i + 1 :]])


_LEFT_OUT = {operator_assignment, operator_string}
_OPERATORS: list[tuple[type, Callable[..., Iterable[cst.CSTNode]]]] = [
    *(
        (kind, operator)
        for kind, operator in mutation_operators
        if operator not in _LEFT_OUT and operator.__name__ != "operator_arg_removal"
    ),
    (cst.Call, swap_call),
    (cst.Call, drop_argument),
    (cst.Attribute, swap_attribute),
    (cst.Float, nudge),
    (cst.SimpleString, mark),
]


class _Visitor(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.changes: list[tuple[cst.CSTNode, cst.CSTNode, tuple[int, int]]] = []
        self._statements: list[cst.CSTNode] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if _is_left_out(node):
            return False
        if isinstance(node, cst.SimpleStatementLine):
            self._statements.append(node)
        for kind, operator in _OPERATORS:
            if isinstance(node, kind):
                for mutated in operator(node):
                    self.changes.append((node, mutated, self._lines(node)))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if self._statements and self._statements[-1] is original_node:
            self._statements.pop()

    def _lines(self, node: cst.CSTNode) -> tuple[int, int]:
        place = self.get_metadata(
            PositionProvider, self._statements[-1] if self._statements else node
        )
        return place.start.line, place.end.line


def _is_left_out(node: cst.CSTNode) -> bool:
    docstring = m.SimpleStatementLine(body=[m.Expr(m.SimpleString() | m.ConcatenatedString())])
    call = m.Call(func=m.Name("len") | m.Name("isinstance") | m.Name("cast") | m.Name("range"))
    kinds = (cst.Annotation, cst.Decorator, cst.Raise, cst.Import, cst.ImportFrom, cst.Assert)
    return (
        isinstance(node, (*kinds, cst.FormattedString, cst.ConcatenatedString))
        or m.matches(node, docstring)
        or (m.matches(node, call) and not m.matches(node, m.Call(func=m.Name("range"))))
        or m.matches(node, m.If(test=m.Name("TYPE_CHECKING")))
        or m.matches(node, m.Assign(targets=[m.AssignTarget(m.Name("__all__"))]))
    )
