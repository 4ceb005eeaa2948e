r"""`vaelab compare RUN RUN …`: runs side by side, and differences on the same examples.

    paired: d̄ = 1/N Σ_n (b_n − a_n),   se² = Σ (d_n − d̄)² / (N (N − 1))

Runs that were judged on the same x share its luck: easy examples are easy for both. The paired
difference leaves that luck out, and its standard error is often a tenth of that of either figure.
It knows one training of each; another seed of the training may differ by more.
"""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor
from tyro.conf import Positional, arg

from vaelab.evaluation.definitions import DEFINITIONS, GROUPS
from vaelab.evaluation.record import Record, figure, file_name, read_of_each
from vaelab.evaluation.settings import unlike
from vaelab.metrics.estimate import Estimate
from vaelab.reports.evaluation_table import UNITS, written
from vaelab.runs.differences import differing, settings
from vaelab.utils import atomic_files
from vaelab.utils.progress import counted, say
from vaelab.utils.text import escape_control

PAIRED = ("neg_elbo", "nll", "rate", "distortion")


@dataclass(frozen=True, eq=False)
class Judged:
    """A run that was evaluated.

    Attributes:
        name: the name as typed.
        record: the contents of evaluation.json.
        of_each: the figures of every example.
        settings: the recipe and the training, with the fitted prior if it is judged with one.
    """

    name: str
    record: Record
    of_each: dict[str, Tensor]
    settings: dict[str, Any]


def compare(
    runs: Positional[Annotated[tuple[str, ...], arg(metavar="RUN")]], json: bool = False
) -> None:
    """Put evaluated runs side by side, with paired differences to the first of them.

    Args:
        runs: folders of two or more runs, each evaluated on the same data; RUN@PRIOR for one that
            was evaluated with a prior fitted afterwards.
        json: print one JSON object instead of the table.
    """
    if len(runs) < 2:
        raise ValueError(f"{counted(len(runs), 'run')} named; name two or more to compare")
    judged = [read(path) for path in runs]
    check(judged)
    differences = {other.name: paired(judged[0], other) for other in judged[1:]}
    if json:
        _print_json(judged, differences)
    else:
        show(judged, differences)


def read(run: str) -> Judged:
    """The evaluation stored in a run: RUN, or RUN@PRIOR.

    Raises:
        FileNotFoundError: if there is no evaluation of the run's present weights.
        ValueError: if it is damaged.
    """
    folder, _, prior = run.partition("@")
    flag = f" --prior {shlex.quote(prior)}" if prior else ""
    how = f"run `vaelab evaluate {shlex.quote(folder)}{flag}` first"
    path = Path(folder) / file_name(prior or None)
    # A prior's name may hold a point: the suffix is added, not replaced.
    kept, of_each = Path(f"{path}.json"), Path(f"{path}.safetensors")
    if not kept.is_file():
        what = "was not evaluated" if Path(folder).is_dir() else "does not exist"
        raise FileNotFoundError(f"{run} {what}; {how}")
    record, figures = atomic_files.read_json(kept), read_of_each(of_each)
    if figures is None or not isinstance(record, dict) or "figures" not in record:
        raise FileNotFoundError(
            f"{run} has no evaluation of its present weights by this version; {how}"
        )
    if wrong := [name for name, fits in SOUND.items() if not fits(record.get(name))]:
        raise ValueError(f"{kept} is damaged: {', '.join(wrong)} is missing or odd; {how}")
    return Judged(run, record, figures, settings(folder) | ({"prior": prior} if prior else {}))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_figure(found: Any) -> bool:
    return isinstance(found, dict) and all(
        name in found and (found[name] is None or _is_number(found[name]))
        for name in ("value", "se")
    )


SOUND: dict[str, Callable[[Any], bool]] = {
    "digest": lambda v: isinstance(v, str),
    "discrete": lambda v: isinstance(v, bool),
    "n": lambda v: isinstance(v, int),
    "seed": lambda v: isinstance(v, int),
    "split": lambda v: isinstance(v, str),
    "data": lambda v: isinstance(v, str),
    "binarize": lambda v: isinstance(v, str),
    "figures": lambda v: isinstance(v, dict) and all(map(_is_figure, v.values())),
}
"""Fields read from an evaluation, with the check of each."""


def check(judged: list[Judged]) -> None:
    """Refuse what cannot be compared.

    Raises:
        ValueError: if runs were judged on other examples, or with likelihoods of other kinds.
    """
    first = judged[0]
    for other in judged[1:]:
        if other.record["digest"] != first.record["digest"]:
            raise ValueError(
                f"{first.name} was judged on {_data(first.record)}, {other.name} on "
                f"{_data(other.record)}: these are not the same numbers, so nothing can be "
                "compared. Evaluate both on one split with one --seed and --limit; runs whose "
                "likelihoods see the data differently (binarized or not) cannot be compared"
            )
        for name in set(first.of_each) & set(other.of_each):
            if first.of_each[name].shape != other.of_each[name].shape:
                raise ValueError(
                    f"the evaluations of {first.name} and {other.name} hold {name} of other "
                    "numbers of examples; evaluate both anew"
                )
        if other.record["discrete"] != first.record["discrete"]:
            kinds = {True: "a probability", False: "a density"}
            raise ValueError(
                f"the likelihood of {first.name} is {kinds[first.record['discrete']]}, that of "
                f"{other.name} {kinds[other.record['discrete']]}: their nats have no common zero"
            )


def _data(record: Record) -> str:
    how = {"no": "", "dynamic": f", binarized once by seed {record['seed']}"}
    return (
        f"{record['n']:,} {record['split']} examples of {record['data']}"
        f"{how.get(record['binarize'], ', binarized at one half')}"
    )


def paired(first: Judged, other: Judged) -> dict[str, Estimate]:
    """Differences, other less first, of the figures that both have for every example."""
    apart = {name for found in unlike(first.record, other.record) for name in found.figures}
    return {
        name: Estimate.mean(other.of_each[name].double() - first.of_each[name].double())
        for name in PAIRED
        if name in first.of_each and name in other.of_each and name not in apart
    }


def show(judged: list[Judged], differences: dict[str, dict[str, Estimate]]) -> None:
    """Print figures side by side, then the paired differences."""
    first, names = judged[0], [run.name for run in judged]
    called = dict(zip(names, map(escape_control, shorter(names)), strict=True))
    apart = ", ".join(differing([run.settings for run in judged]))
    print(escape_control(apart or "No setting of recipe or training differs."))
    print(escape_control(f"{_data(first.record)[:1].upper()}{_data(first.record)[1:]}"))
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


def _print_json(judged: list[Judged], differences: dict[str, dict[str, Estimate]]) -> None:
    first = judged[0]
    about: dict[str, Any] = {
        "unit": "nats per example",
        "n": first.record["n"],
        "data": first.record["data"],
        "split": first.record["split"],
        "runs": {run.name: run.record["figures"] for run in judged},
        "reference": first.name,
        "settings": differing([run.settings for run in judged]),
        "differences": {
            name: {key: figure(value) for key, value in found.items()}
            for name, found in differences.items()
        },
        "unlike": {
            run.name: [asdict(found) for found in unlike(first.record, run.record)]
            for run in judged[1:]
        },
    }
    print(json.dumps(about, ensure_ascii=False))
