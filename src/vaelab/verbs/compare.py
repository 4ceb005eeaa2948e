r"""`compare`: runs side by side, and differences on the same examples.

    paired: d̄ = 1/N Σ_n (b_n − a_n),   se² = Σ (d_n − d̄)² / (N (N − 1))

Runs that were evaluated on the same x share its luck: easy examples are easy for both. The paired
difference leaves that luck out, and its standard error is often a tenth of that of either figure.
It covers one training of each; another seed of the training may differ by more.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from vaelab.evaluation.definitions import DEFINITIONS
from vaelab.evaluation.record import Record, figure, file_name, read_of_each
from vaelab.evaluation.settings import unlike
from vaelab.metrics.estimate import Estimate
from vaelab.reports.evaluation_table import written
from vaelab.runs.differences import differing, settings, settings_of
from vaelab.runs.run import Run
from vaelab.utils import atomic_files
from vaelab.utils.hints import hinting
from vaelab.utils.progress import counted
from vaelab.utils.readers import reading
from vaelab.utils.tables import Tabular
from vaelab.verbs.evaluate import EvaluationResult, evaluate

if TYPE_CHECKING:
    import pandas as pd

PAIRED = ("neg_elbo", "nll", "rate", "distortion")


@dataclass(frozen=True, eq=False)
class Judged:
    """An evaluated run.

    Attributes:
        name: name in the comparison.
        record: content of its evaluation.json.
        of_each: figures of every example, (N,), by name.
        settings: the recipe and the training, with the fitted prior if it is judged with one.
    """

    name: str
    record: Record
    of_each: dict[str, Tensor]
    settings: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Comparison(Tabular):
    """Runs side by side.

    Attributes:
        runs: the evaluated runs; the first is the reference.
        differences: by run, paired differences to the reference, by figure; below 0 is less.
    """

    runs: tuple[Judged, ...]
    differences: dict[str, dict[str, Estimate]]

    def to_frame(self) -> pd.DataFrame:
        """One line per figure and run, with the paired difference to the first run if it exists."""
        import pandas as pd

        rows = []
        for run in self.runs:
            apart = self.differences.get(run.name, {})
            for name, about in run.record["figures"].items():
                d = apart.get(name)
                rows.append(
                    {
                        "figure": name,
                        "title": DEFINITIONS[name].title,
                        "run": run.name,
                        "value": about["value"],
                        "se": about["se"],
                        "n": about["n"],
                        "unit": about["unit"],
                        "difference": None if d is None else d.value,
                        "difference_se": None if d is None else d.se,
                    }
                )
        return pd.DataFrame(rows)

    def shown(self) -> pd.DataFrame:
        """One line per figure, a column per run and one per difference, each ± standard error."""
        import pandas as pd

        present = {name for run in self.runs for name in run.record["figures"]}
        rows = []
        for name in (name for name in DEFINITIONS if name in present):
            cells = {"figure": f"{DEFINITIONS[name].title}, {DEFINITIONS[name].unit}"}
            for run in self.runs:
                has = name in run.record["figures"]
                cells[run.name] = written(name, run.record) if has else "–"
            for other, apart in self.differences.items():
                cells[f"{other} − {self.runs[0].name}"] = str(apart.get(name, "–"))
            rows.append(cells)
        return pd.DataFrame(rows)

    def to_json(self) -> dict[str, Any]:
        """JSON values: figures by run, differences, and settings that are not shared."""
        first = self.runs[0]
        return {
            "unit": "nats per example",
            "n": first.record["n"],
            "data": first.record["data"],
            "split": first.record["split"],
            "runs": {run.name: run.record["figures"] for run in self.runs},
            "reference": first.name,
            "settings": differing([run.settings for run in self.runs]),
            "differences": {
                name: {key: figure(value) for key, value in found.items()}
                for name, found in self.differences.items()
            },
            "unlike": {
                run.name: [asdict(found) for found in unlike(first.record, run.record)]
                for run in self.runs[1:]
            },
        }


Comparable = Run | EvaluationResult | str | Path


@hinting
def compare(*runs: Comparable | Sequence[Comparable], **options: Any) -> Comparison:
    """Compare runs on the same examples, with paired differences to the first of them.

    Args:
        *runs: two or more runs, evaluations, or folders of evaluated runs (RUN@PRIOR for one that
            was evaluated with a fitted prior). A run without an evaluation is evaluated.
        **options: settings of `evaluate` for runs that have to be evaluated.

    Raises:
        ValueError: for fewer than two, or if they were evaluated on different examples or with
            likelihoods of different kinds.
        FileNotFoundError: for a folder without an evaluation of its present weights.
    """
    given: list[Any] = []
    for each in runs:
        given.extend(each if isinstance(each, list | tuple) else [each])
    if len(given) < 2:
        raise ValueError(f"{counted(len(given), 'run')} named; name two or more to compare")
    found: list[Judged] = []
    for each in given:
        found.append(_judged(each, [other.name for other in found], options))
    check(found)
    differences = {other.name: paired(found[0], other) for other in found[1:]}
    return Comparison(tuple(found), differences)


def _judged(run: Any, taken: Sequence[str], options: dict[str, Any]) -> Judged:
    """A run with its evaluation, under a name that is not taken."""
    if isinstance(run, str | Path):
        return read(str(run))
    if isinstance(run, Run):
        if run.path is not None and not options:
            try:
                return read(str(run.path))
            except FileNotFoundError:  # not evaluated yet
                pass
        run = evaluate(run, **options)
    if not isinstance(run, EvaluationResult):
        raise TypeError(
            f"a {type(run).__name__} is given; expected runs, their folders, or evaluations"
        )
    base = run.run.recipe.name if run.run.path is None else str(run.run.path)
    names = [base, *(f"{base} {i}" for i in range(2, len(taken) + 3))]
    name = next(name for name in names if name not in taken)
    prior = run.record["prior"]
    about = settings_of(run.run.recipe.to_json() | {"training": run.run.training})
    return Judged(name, run.record, run.of_each, about | ({"prior": prior} if prior else {}))


def read(run: str) -> Judged:
    """Read the evaluation in the folder of a run, RUN or RUN@PRIOR.

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
    with reading(kept, "record of an evaluation"):
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
"""Checks of the parts of an evaluation that are read."""


def check(judged: list[Judged]) -> None:
    """Refuse runs that cannot be compared.

    Raises:
        ValueError: if runs were judged on other examples, or with likelihoods of other kinds.
    """
    first = judged[0]
    for other in judged[1:]:
        if other.record["digest"] != first.record["digest"]:
            raise ValueError(
                f"{first.name} was judged on {described(first.record)}, {other.name} on "
                f"{described(other.record)}: these are not the same numbers, so nothing can be "
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


def described(record: Record) -> str:
    """Rows of an evaluation in words."""
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
