"""How many small wrong changes of the source do the tests notice? By room, from a random sample.

    python benchmarks/mutants/run.py --n 25 --seed 0 --rooms core parts --page docs/guarantees.md

Every room's tests run once under coverage, so that a mutant meets only the test files that execute
its lines, the tests that do so first. torch and the other libraries are imported once; each mutant
is a fork of this process in which an import hook serves the changed source: no file is written.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import signal
import sys
import time
import tomllib
import traceback
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

import coverage
import pytest
from generate import Mutant, sample

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".mutants"
FAILED = KEPT / "failed"
BEGIN, END = "<!-- mutants: begin -->", "<!-- mutants: end -->"
PRELOADED = (
    "torch",
    "numpy",
    "pandas",
    "scipy.stats",
    "scipy.linalg",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.datasets",
    "matplotlib.figure",
    "PIL.Image",
    "safetensors.torch",
    "zuko",
    "rich.console",
    "tyro",
)


@dataclass(frozen=True)
class Room:
    """A folder of the source with the tests that hold it."""

    name: str
    tests: tuple[str, ...]

    @property
    def files(self) -> list[Path]:
        return sorted((ROOT / "src/vaelab" / self.name).rglob("*.py"))


ROOMS = {
    room.name: room
    for room in (
        Room("core", ("tests/core", "tests/parts", "tests/training/test_step.py")),
        Room("distributions", ("tests/distributions", "tests/parts")),
        Room("parts", ("tests/parts", "tests/core/test_oracles.py")),
        Room("objectives", ("tests/objectives", "tests/core/test_oracles.py")),
        Room("metrics", ("tests/metrics", "tests/core/test_oracles.py")),
        Room("training", ("tests/training",)),
        Room("data", ("tests/data",)),
        Room("compile", ("tests/compile", "tests/training/test_step_program.py")),
    )
}


@dataclass(frozen=True)
class Outcome:
    """A mutant with its verdict: killed, survived, or equivalent to the source."""

    mutant: Mutant
    verdict: str
    seconds: float
    reason: str = ""


class Overlay(importlib.abc.MetaPathFinder):
    """An import hook that serves one module from a mutant's code."""

    def __init__(self, mutant: Mutant) -> None:
        parts = Path(mutant.path).relative_to("src").with_suffix("").parts
        self.name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self.code = mutant.code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path)
        if spec and spec.origin:
            spec.loader = _Loader(fullname, spec.origin, self.code)
        return spec


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self.text = text

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.text, self.path, "exec", dont_inherit=True)


class Reach:
    """A plugin of pytest: the lines that each test executes, its seconds, and if it fails."""

    def __init__(self, files: list[Path]) -> None:
        self.coverage = coverage.Coverage(data_file=None, include=[str(f) for f in files])
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item):  # type: ignore[no-untyped-def]
        self.coverage.switch_context(item.nodeid)
        start = time.monotonic()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.monotonic() - start
            self.coverage.switch_context("")

    def pytest_runtest_logreport(self, report) -> None:  # type: ignore[no-untyped-def]
        if report.failed:
            self.failed.add(report.nodeid)

    def table(self) -> dict[str, object]:
        data = self.coverage.get_data()
        lines = {}
        for name in data.measured_files():
            by_line = data.contexts_by_lineno(name).items()
            lines[str(Path(name).relative_to(ROOT))] = {
                n: [c for c in contexts if c] for n, contexts in by_line
            }
        return {"lines": lines, "seconds": self.seconds, "failed": sorted(self.failed)}


def reach(room: Room, keep: bool) -> dict[str, object]:
    """Lines executed by each test of a room, from one run under coverage, or from the last."""
    kept = KEPT / f"{room.name}.reach.json"
    if keep and kept.exists():
        return json.loads(kept.read_text())

    def measured() -> int:
        plugin = Reach(room.files)
        plugin.coverage.start()
        tests = [t for t in (*room.tests, f"src/vaelab/{room.name}") if (ROOT / t).exists()]
        pytest.main([*tests, *OPTIONS, "--doctest-modules"], plugins=[plugin])
        plugin.coverage.stop()
        kept.write_text(json.dumps(plugin.table()))
        return 0

    forked(measured, 1800)
    return json.loads(kept.read_text())


# Plain assertions: pytest's rewriting would import a module whose doctest runs past the overlay.
OPTIONS = ("-p", "no:cacheprovider", "-q", "--no-header", "--no-summary", "--assert=plain")


def tests_for(mutant: Mutant, table: dict[str, object]) -> list[str]:
    """The tests that execute a mutant's lines, quickest first, then the others of their files."""
    lines, seconds, failed = table["lines"], table["seconds"], set(table["failed"])
    of_file = lines.get(mutant.path, {})
    span = [str(n) for n in range(mutant.line, mutant.last + 1)]
    direct = {test for n in span for test in of_file.get(n, ())}
    if not direct and any(n in of_file for n in span):  # executed on import: any user may notice
        direct = {test for tests in of_file.values() for test in tests}
    files = {test.split("::")[0] for test in direct}
    others = {test for test in seconds if test.split("::")[0] in files} - direct
    by_time = [sorted(group - failed, key=seconds.get) for group in (direct, others)]
    return [*by_time[0], *by_time[1]]


def judge(mutant: Mutant, table: dict[str, object]) -> tuple[str, float, str]:
    """Run the tests that may notice a mutant, until one fails that passes without it."""
    tests = tests_for(mutant, table)
    if not tests:
        return "survived", 0.0, "no test executes it"
    limit = 30 + 4 * sum(table["seconds"][test] for test in tests)
    start = time.monotonic()
    code = forked(lambda: tried(tests, mutant), limit)
    seconds = time.monotonic() - start
    if code in (0, 5):
        return "survived", seconds, f"{len(tests)} tests"
    blamed = FAILED.read_text().split("\n")[:1] if code == 1 else []
    trusted = table.setdefault("trusted", set())
    if blamed and blamed[0] not in trusted and forked(lambda: tried(blamed, None), limit):
        table["failed"] = [*table["failed"], *blamed]
        return judge(mutant, table)
    # Nothing to blame: an import that crashes, or tests that are not those of the table.
    if code not in (1, -1) and forked(lambda: tried([*tests, "--collect-only"], None), limit):
        raise SystemExit("the tests have changed since their coverage was measured")
    trusted.update(blamed)
    return "killed", seconds, f"{len(tests)} tests"


def tried(tests: list[str], mutant: Mutant | None) -> int:
    """The exit status of pytest on a mutant, or on the source; the failure is in FAILED."""
    if mutant:
        sys.meta_path.insert(0, Overlay(mutant))
    FAILED.write_text("")
    return int(pytest.main([*tests, *OPTIONS, "-x", "--doctest-modules"], plugins=[_Failures()]))


class _Failures:
    def pytest_runtest_logreport(self, report) -> None:  # type: ignore[no-untyped-def]
        if report.failed:
            FAILED.write_text(report.nodeid)


def forked(function: Callable[[], int], limit: float) -> int:
    """The exit status of a function in a fork, its output in a log; -1 after `limit` seconds."""
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        log = os.open(KEPT / "last.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        code = 3
        try:
            code = function()
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(code)
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


def equivalents() -> dict[tuple[str, str, str], str]:
    """Mutants that compute the same as the source, with the reason."""
    table = tomllib.loads((Path(__file__).parent / "equivalent.toml").read_text())
    return {(e["file"], e["before"], e["after"]): e["reason"] for e in table.get("mutant", [])}


def run(room: Room, n: int, seed: int, keep: bool) -> list[Outcome]:
    """Judge n mutants of a room; the outcomes are kept in `.mutants`."""
    known, table = equivalents(), reach(room, keep)
    if not table["lines"]:
        raise SystemExit(f"no test of {room.name} ran: {KEPT / 'last.log'} says why")
    print(f"{room.name}: {len(table['seconds'])} tests, {len(table['failed'])} fail as it is")
    for test in table["failed"]:
        print(f"  fails without a mutant: {test}")
    outcomes = []
    for mutant in sample(room.files, ROOT, n, seed):
        reason = known.get((mutant.path, mutant.before, mutant.after))
        verdict = ("equivalent", 0.0, reason) if reason else judge(mutant, table)
        outcomes.append(Outcome(mutant, *verdict))
        print(f"  {verdict[0]:10} {verdict[1]:5.1f} s  {mutant.path}:{mutant.line}", flush=True)
        if verdict[0] == "survived":
            print(f"    - {mutant.before}\n    + {mutant.after}\n    {verdict[2]}", flush=True)
    return outcomes


def row(room: Room, seed: int, outcomes: list[Outcome]) -> dict[str, object]:
    """A room's line of the table."""
    count: dict[str, int] = defaultdict(int)
    for outcome in outcomes:
        count[outcome.verdict] += 1
    return {"room": room.name, "n": len(outcomes), "seed": seed, **count}


def page(rows: list[dict[str, object]]) -> str:
    """The table in Markdown."""
    lines = [
        "| room | mutants | killed | equivalent | survived | score |",
        "|---|---|---|---|---|---|",
    ]
    total: dict[str, int] = defaultdict(int)
    for line in rows:
        for key in ("n", "killed", "equivalent", "survived"):
            total[key] += int(line.get(key, 0))  # type: ignore[call-overload]
        lines.append(_line(str(line["room"]), line))
    return "\n".join([*lines, _line("**all**", total)])


def _line(name: str, count: Mapping[str, object]) -> str:
    n, killed, equivalent, survived = (
        int(str(count.get(key, 0))) for key in ("n", "killed", "equivalent", "survived")
    )
    share = f"{100 * killed / max(1, killed + survived):.0f}%"
    return f"| {name} | {n} | {killed} | {equivalent} | {survived} | {share} |"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rooms", nargs="*", default=list(ROOMS), choices=list(ROOMS))
    parser.add_argument("--n", type=int, default=25, help="mutants of each room")
    parser.add_argument("--seed", type=int, default=0, help="seed of the sample")
    parser.add_argument("--keep", action="store_true", help="coverage of the last run is used")
    parser.add_argument("--page", type=Path, help="Markdown file whose marked block is replaced")
    options = parser.parse_args()
    os.chdir(ROOT)
    os.environ["OMP_NUM_THREADS"] = "1"
    KEPT.mkdir(exist_ok=True)
    for name in PRELOADED:
        if importlib.util.find_spec(name.split(".")[0]):
            importlib.import_module(name)
    scores = KEPT / "scores.json"
    rows = json.loads(scores.read_text()) if scores.exists() else {}
    for name in options.rooms:
        outcomes = run(ROOMS[name], options.n, options.seed, options.keep)
        rows[name] = row(ROOMS[name], options.seed, outcomes)
        scores.write_text(json.dumps(rows, indent=2))
    table = page([rows[name] for name in ROOMS if name in rows])
    print(table)
    if options.page:
        text = options.page.read_text()
        start, end = text.index(BEGIN) + len(BEGIN), text.index(END)
        options.page.write_text(f"{text[:start]}\n{table}\n{text[end:]}")


if __name__ == "__main__":
    main()
