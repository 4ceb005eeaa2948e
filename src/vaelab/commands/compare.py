"""`vaelab compare RUN RUN …`: prints the table of `vaelab.compare`."""

from __future__ import annotations

import itertools
import json as writer
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from tyro.conf import Positional, arg

from vaelab.evaluation.definitions import DEFINITIONS, GROUPS
from vaelab.evaluation.settings import unlike
from vaelab.metrics.estimate import Estimate
from vaelab.reports.evaluation_table import UNITS, written
from vaelab.runs.differences import differing
from vaelab.utils.progress import say
from vaelab.utils.text import escape_control
from vaelab.verbs.compare import PAIRED, Judged, described
from vaelab.verbs.compare import compare as side_by_side


def compare(
    runs: Positional[Annotated[tuple[str, ...], arg(metavar="RUN")]], json: bool = False
) -> None:
    """Put evaluated runs side by side, with paired differences to the first of them.

    Args:
        runs: folders of two or more runs, each evaluated on the same data; RUN@PRIOR for one that
            was evaluated with a prior fitted afterwards.
        json: print one JSON object instead of the table.
    """
    found = side_by_side(*runs)
    if json:
        print(writer.dumps(found.to_json(), ensure_ascii=False))
    else:
        show(list(found.runs), found.differences)


def show(judged: list[Judged], differences: dict[str, dict[str, Estimate]]) -> None:
    """Print figures side by side, then the paired differences."""
    first, names = judged[0], [run.name for run in judged]
    called = dict(zip(names, map(escape_control, shorter(names)), strict=True))
    apart = ", ".join(differing([run.settings for run in judged]))
    print(escape_control(apart or "No setting of recipe or training differs."))
    print(escape_control(f"{described(first.record)[:1].upper()}{described(first.record)[1:]}"))
    console = Console()
    for group, heading in GROUPS.items():
        figures = [
            name
            for name, about in DEFINITIONS.items()
            if about.group == group and any(name in run.record["figures"] for run in judged)
        ]
        if not figures:
            continue
        shown = Table(box=SIMPLE_HEAD, show_edge=False, title=heading, title_justify="left")
        shown.add_column("")
        for run in judged:
            shown.add_column(Text(called[run.name]), justify="right", overflow="fold")
        for name in figures:
            cells = [
                written(name, run.record) if name in run.record["figures"] else "–"
                for run in judged
            ]
            about = DEFINITIONS[name]
            shown.add_row(f"{about.title}[dim]{UNITS[about.unit]}[/]", *cells)
        console.print(shown)
    for run in judged[1:]:
        for found in unlike(first.record, run.record):
            mine, its = (_short(value) for value in found.values)
            titles = dict.fromkeys(DEFINITIONS[name].title for name in found.figures)
            say(
                f"{called[run.name]} has {found.setting.replace('_', ' ')} {its}, "
                f"{called[first.name]} has {mine}: they cannot be compared in {', '.join(titles)}"
            )
    if not any(differences.values()):
        return
    print(f"Differences to {called[first.name]} on the same examples, in nats; below 0 is less")
    shown = Table(box=SIMPLE_HEAD, show_edge=False)
    shown.add_column("")
    for name in differences:
        shown.add_column(Text(called[name]), justify="right", overflow="fold")
    for name in PAIRED:
        if any(name in found for found in differences.values()):
            cells = [str(found.get(name, "–")).replace("-", "−") for found in differences.values()]
            shown.add_row(DEFINITIONS[name].title, *cells)
    console.print(shown)


def shorter(names: Sequence[str]) -> list[str]:
    """Paths without the folders that all of them begin with.

    >>> shorter(["/home/me/runs/vae", "/home/me/runs/ae@mixture"])
    ['vae', 'ae@mixture']
    """
    parts = [Path(name).parts for name in names]
    alike = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*parts, strict=False))
    shared = min(len(list(alike)), *(len(p) - 1 for p in parts))
    return [str(Path(*p[shared:])) for p in parts]


def _short(value: Any) -> str:
    """A setting for people: many values, and parts of settings, on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "none" if value is None else str(value)
