"""An evaluation in the terminal: a table in groups, all ± one standard error, and notes."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from vaelab.evaluation.definitions import DEFINITIONS, GROUPS, Definition
from vaelab.evaluation.record import Record
from vaelab.metrics.estimate import Estimate
from vaelab.reports.translations import BLANK, find
from vaelab.utils.messages import Message
from vaelab.utils.progress import say

UNITS = {"nats": " nats", "bits/dim": " bits/dim", "share": "", "number": "", "distance": ""}
NAMES, NUMBERS = 22, 26


def show(path: Path, record: Record) -> None:
    """Print the record of a run."""
    binarized = {"no": "", "dynamic": f", binarized once by seed {record['seed']}"}
    how = binarized.get(record["binarize"], ", binarized at one half")
    prior = "" if record["prior"] is None else f" with the prior {record['prior']}"
    print(
        f"{path}: {record['recipe']}{prior}, {record['likelihood']} likelihood, on {record['n']:,} "
        f"{record['split']} examples of {record['data']}{how}"
    )
    console = Console()
    for group, heading in GROUPS.items():
        names = [name for name in record["figures"] if DEFINITIONS[name].group == group]
        if names:
            console.print()
            console.print(f"{heading}{subtitle(group, record)}", style="bold", highlight=False)
            console.print(_grid(names, record))
    for note in remarks(record):
        say(note)


def _grid(names: list[str], record: Record) -> Table:
    """Figures of one group; all groups have the same columns, and only the last one folds."""
    shown = Table.grid(padding=(0, 2))
    shown.add_column(width=NAMES, no_wrap=True)
    shown.add_column(width=NUMBERS, justify="right", no_wrap=True)
    shown.add_column(style="dim")
    for name in names:
        about = DEFINITIONS[name]
        unit = UNITS[about.unit]
        shown.add_row(about.title, f"{written(name, record)}{unit}", meaning_of(about, record))
    return shown


def subtitle(group: str, record: Record) -> str:
    """The material of a group, if that is not the split alone; else empty."""
    if group == "samples":
        return (
            f" · {record['sample_count']:,} {record['output']}, in {record['features']}, "
            f"k = {record['neighbours']}"
        )
    if group == "factors":
        about = record["disentanglement"]
        return (
            f" · {', '.join(about['factors'])}; means of {about['points']:,} codes, "
            f"{about['seeds']} seeds"
        )
    return ""


def meaning_of(about: Definition, record: Record) -> str:
    """A figure's meaning, with the numbers of this evaluation in it."""
    return str(BLANK.sub(lambda b: format(find(record, b[1]) or 0, b[2] or ""), about.meaning))


def written(name: str, record: Record) -> str:
    """A figure and its standard error; a count and an infinite figure alone.

    A share whose error leads out of [0, 1] is written with the part of the interval that is inside,
    and one that could be any as 0–1.
    """
    found, unit = record["figures"][name], DEFINITIONS[name].unit
    value, se = found["value"], found["se"]
    if value is None:
        return "∞"
    if se is None or se == 0:
        return f"{value:g}" if se == 0 else f"{value:.3g} ± ?"
    if unit == "nats" and se >= 0.005:
        return f"{value:.2f} ± {se:.2f}".replace("-", "−")
    if unit == "share" and Estimate(value, se, 1).is_any_share:
        return "0–1"
    text = str(Estimate(value, se, 1)).replace("-", "−")
    if unit == "share" and not se <= value <= 1 - se:
        middle, places = text.partition(" ± ")[0], len(text.rpartition(".")[2])
        low, high = max(value - se, 0.0), min(value + se, 1.0)
        return f"{middle} ({low:.{places}f}–{high:.{places}f})"
    return text


def remarks(record: Record) -> list[str]:
    """Notes of the evaluation, and what its figures must be read with."""
    found = list(record["notes"])
    if vague := [
        DEFINITIONS[name].title for name in record["figures"] if written(name, record) == "0–1"
    ]:
        found.append(
            Message(
                "vague",
                "{titles} cannot be determined, 0–1: a few held-out examples decide, as happens if "
                "all samples are alike.",
                titles=" and ".join(vague),
            )
        )
    if record["figures"].get("nll") and not record["discrete"]:
        found.append(
            Message(
                "density",
                "The likelihood is a density of data at the model's scale, (raw − offset) / scale, "
                "of positive columns in their own units: nats may be negative, and there are no "
                "bits per dimension.",
            )
        )
    if "bdmc_nll_above" in record:
        found.append(
            Message(
                "sandwich",
                "On {annealed} simulated examples −log p(x) lies between {below} and {above} nats; "
                "{acceptance} of Hamiltonian moves on the real ones were accepted.",
                annealed=str(record["annealed"]),
                below=f"{record['bdmc_nll_below']:.2f}",
                above=f"{record['bdmc_nll_above']:.2f}",
                acceptance=f"{record['acceptance']:.0%}",
            )
        )
    return found
